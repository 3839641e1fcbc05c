"""Sessions in which an option must show: one shell, brought back to where it was after each line.

A ``Setup`` is the lines that come first; they run once. An ``Outcome`` is what lines printed, which
files they wrote and what failed; notes on standard error are no part of it, as an option that is
only mentioned has no effect.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nnshell.shell.app import Shell
from nnshell.shell.commands import command_sets
from nnshell.shell.session import Session

_TIMES = re.compile(r"[\d,.]+ images/s|[\d.]+ s\b")  # differ between runs of the same line
COLUMNS = "200"  # of the terminal, where a case has one


class Terminal(io.StringIO):
    """Text streams of somebody at a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What lines printed and wrote, and the messages of those that failed."""

    printed: str
    files: tuple[tuple[str, bytes], ...]
    failures: tuple[str, ...]


@dataclass
class Place:
    """A shell in a folder, after the lines of a setup."""

    shell: Shell
    folder: Path
    outcomes: dict[tuple[str, ...], Outcome] = field(default_factory=dict)

    def outcome(self, lines: Sequence[str]) -> Outcome:
        """What these lines do, from the setup's session; each combination runs once."""
        key = tuple(lines)
        if key not in self.outcomes:
            self.outcomes[key] = self.run(key)
        return self.outcomes[key]

    def run(self, lines: Sequence[str]) -> Outcome:
        session, shell = self.shell.session, self.shell
        before = {path: path.stat().st_mtime_ns for path in _files(self.folder)}
        restore, variables = session.remember(), dict(session.variables.own)
        typed = len(shell._typed)
        shell.stdout = type(shell.stdout)()
        failures: list[str] = []
        try:
            for line in lines:
                failed = shell.failures
                shell.onecmd_plus_hooks(line)
                failures += [shell.last_failure] if shell.failures > failed else []
            printed = _TIMES.sub("(time)", shell.stdout.getvalue())
        finally:
            if shell.guide is not None:
                shell.onecmd_plus_hooks("quit")
            restore()
            session.variables.own.clear()
            session.variables.own.update(variables)
            del shell._typed[typed:]
        changed = [path for path in _files(self.folder) if before.get(path) != _time(path)]
        files = tuple((str(p.relative_to(self.folder)), p.read_bytes()) for p in changed)
        for path in changed:
            path.unlink()
            for folder in path.parents:
                if folder != self.folder and folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
        return Outcome(printed, files, tuple(failures))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _time(path: Path) -> int:
    return path.stat().st_mtime_ns


@contextmanager
def at_terminal_width(columns: str) -> Iterator[None]:
    """Terminals of this width, whatever the tests run in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", columns)
        patch.setenv("NO_COLOR", "1")
        yield


def begin(lines: Sequence[str], folder: Path, *, terminal: bool) -> Place:
    """A shell in ``folder`` (the working directory) after ``lines``, which must all succeed."""
    kind = Terminal if terminal else io.StringIO
    shell = Shell(Session(), command_sets(), stdin=kind(), stdout=kind())
    for line in lines:
        shell.onecmd_plus_hooks(line)
        assert not shell.failures, f"{line}: {shell.last_failure}"
    assert Path(os.getcwd()) == folder
    return Place(shell, folder)
