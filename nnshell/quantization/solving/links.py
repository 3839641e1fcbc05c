"""Links: one output of one node to one input of one reader, with a record at either end.

The producer writes the upper end (it *offers*), the reader the lower one (it *demands*). While both
say the same the link is agreed; otherwise it is split, and the side that spoke last pushes, for as
long as the link stays split. Every change is written down, so that a trial can be undone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nnshell.ir.records import Answer, Record

if TYPE_CHECKING:
    from nnshell.quantization.solving.network import Unit

State = tuple[Record | None, Record | None, bool, bool]


@dataclass(slots=True, eq=False)
class Link:
    """Output ``output`` of ``producer``, read as input ``index`` of ``reader``."""

    producer: Unit
    output: int
    reader: Unit
    index: int
    inner: bool = False  # within a fusion
    upper: Record | None = None
    lower: Record | None = None
    split: bool = False
    upwards: bool = False  # the reader spoke last

    @property
    def known(self) -> bool:
        return self.upper is not None

    @property
    def value(self) -> Record | None:
        """The agreed record, or the one that is being pushed."""
        return self.lower if self.split and self.upwards else self.upper

    @property
    def wish(self) -> Record | None:
        """What the reader wants of the producer, if it is that way round."""
        return self.lower if self.split and self.upwards else None

    def __str__(self) -> str:
        output = f"[{self.output}]" if self.output else ""
        return f"{self.producer.path}{output} -> {self.reader.path}[{self.index}]"


@dataclass(slots=True, eq=False)
class Board:
    """All links in the order in which they became known, and the changes since a mark."""

    known: list[Link] = field(default_factory=list)
    split_count: int = 0
    _changes: list[tuple[Link, State] | tuple[Unit, Answer | None]] = field(default_factory=list)

    def offer(self, link: Link, record: Record) -> None:
        """The producer says what it gives."""
        if link.upper is None:
            self.known.append(link)
            self._write(link, record, record, False, False)
        elif link.split:
            agreed = link.lower is not None and record.equals(link.lower)
            lower = record if agreed else link.lower
            self._write(link, record, lower, not agreed, link.upwards)
        elif not record.equals(link.upper):
            self._write(link, record, link.upper, True, False)

    def demand(self, link: Link, record: Record) -> None:
        """The reader says what it wants."""
        if link.upper is None:
            self.known.append(link)
            self._write(link, record, record, False, False)
        elif link.split:
            agreed = record.equals(link.upper)
            upper = record if agreed else link.upper
            self._write(link, upper, record, not agreed, link.upwards)
        elif not record.equals(link.upper):
            self._write(link, link.upper, record, True, True)

    def settle(self, link: Link, record: Record) -> None:
        """Both ends have this record."""
        self._write(link, record, record, False, False)

    def keep(self, unit: Unit, answer: Answer) -> None:
        """The records of a node, until they are undone."""
        self._changes.append((unit, unit.records))
        unit.records = answer

    def _write(
        self, link: Link, upper: Record | None, lower: Record | None, split: bool, upwards: bool
    ) -> None:
        self._changes.append((link, (link.upper, link.lower, link.split, link.upwards)))
        self.split_count += split - link.split
        link.upper, link.lower, link.split, link.upwards = upper, lower, split, upwards

    # -- trials ----------------------------------------------------------------------------

    def mark(self) -> int:
        """A point to go back to."""
        return len(self._changes)

    def undo(self, mark: int) -> None:
        """Everything as it was at the mark; what records were pinned to stays pinned."""
        while len(self._changes) > mark:
            changed, before = self._changes.pop()
            if isinstance(changed, Link):
                assert isinstance(before, tuple)
                self.split_count += before[2] - changed.split
                changed.upper, changed.lower, changed.split, changed.upwards = before
            else:
                assert not isinstance(before, tuple)
                changed.records = before

    def agreed_before(self, mark: int) -> dict[Link, Record]:
        """Links that have changed since the mark and were agreed then, with their records."""
        first: dict[Link, State] = {}
        for changed, before in self._changes[mark:]:
            if isinstance(changed, Link) and isinstance(before, tuple):
                first.setdefault(changed, before)
        return {
            link: upper
            for link, (upper, _, split, _) in first.items()
            if upper is not None and not split
        }

    def accept(self, mark: int) -> None:
        """The changes since the mark, at the outermost, are final."""
        for changed, _ in self._changes[mark:]:
            if not isinstance(changed, Link):
                changed.accept()
        del self._changes[mark:]
