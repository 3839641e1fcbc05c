"""A shell in this process, for tours."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from nnshell.shell.app import Shell
from nnshell.shell.commands import command_sets
from nnshell.shell.process import _logging_to
from nnshell.shell.session import Session


class Output(io.StringIO):
    """What the shell prints; ``new`` is what came since it was last asked."""

    _read = 0

    def new(self) -> str:
        text = self.getvalue()[self._read :]
        self._read += len(text)
        return text


@pytest.fixture
def output() -> Output:
    return Output()


@pytest.fixture
def shell(output: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """A shell in an empty folder that believes that a person types."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Shell, "at_prompt", property(lambda self: not self._places))
    made = Shell(Session(), command_sets(), stdin=io.StringIO(), stdout=output)
    with _logging_to(made):
        yield made
