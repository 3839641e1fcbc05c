"""What the search for records has tried, in the order it was tried."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nnshell.ir.records import Record
from nnshell.quantization.solving.links import Link


@dataclass(frozen=True, slots=True)
class Trial:
    """One link whose ends differed, who had their way, and what came of it."""

    producer: str
    reader: str
    input: int
    given: str  # the producer's record
    wanted: str  # the reader's
    upwards: bool  # the producer was asked for the reader's record
    split_before: int
    split_after: int = 0
    accepted: bool = False

    @classmethod
    def of(cls, link: Link, split: int) -> Trial:
        return cls(
            link.producer.path,
            link.reader.path,
            link.index,
            described(link.upper),
            described(link.lower),
            link.upwards,
            split,
        )

    def ended(self, split: int, accepted: bool) -> Trial:
        return replace(self, split_after=split, accepted=accepted)

    def __str__(self) -> str:
        asked = self.producer if self.upwards else self.reader
        record = self.wanted if self.upwards else self.given
        verdict = "kept" if self.accepted else "taken back"
        return (
            f"{self.producer} -> {self.reader}[{self.input}]: {asked} was asked for {record}: "
            f"{self.split_before} -> {self.split_after} links differ, {verdict}"
        )


def described(record: Record | None) -> str:
    """Type, scale and zero point in a few words."""
    if record is None:
        return "nothing"
    scales = "scales" if record.params.scale.size > 1 else f"{record.params.first_scale:.6g}"
    return f"{record.dtype} {scales}/{record.zero_point}"
