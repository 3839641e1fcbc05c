"""What a shell says and where: places in scripts, a record of what was printed, and a guide."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a script."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(slots=True)
class Transcript:
    """What commands printed, in plain form: results, notes and warnings, failures."""

    results: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Guide(Protocol):
    """A tutorial that leads through the prompt; ``busy`` while it runs a line itself."""

    busy: bool

    def read(self, line: str) -> str:
        """The line that stands for what was entered."""

    def run(self, line: str) -> bool:
        """Run a line; True when it asks to quit nnshell."""

    def toolbar(self) -> str:
        """What can be typed now."""
