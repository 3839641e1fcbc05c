"""Nodes of a model file that cannot be imported: collected, then reported all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nnshell.support.errors import ModelError

GENERAL_ADVICE = (
    "change the model and export it again, or export the part of it before what is at fault"
)


@dataclass(frozen=True, slots=True)
class Problem:
    """A node that cannot be imported, and why."""

    op: str
    name: str
    reason: str
    hint: str = ""

    @property
    def fault(self) -> str:
        """The operator, its node's name and the reason, in one line."""
        return f"{self.op} '{self.name}': {self.reason}"

    def __str__(self) -> str:
        return f"{self.fault}; {self.hint}" if self.hint else self.fault


def report(file_name: str, problems: Sequence[Problem]) -> ModelError:
    """The error that names every problem of a file."""
    first = problems[0]
    if len(problems) == 1:
        return ModelError(first.fault, where=file_name, hint=first.hint or GENERAL_ADVICE)
    return ModelError(
        f"{len(problems)} nodes of {file_name} cannot be imported",
        hint="" if all(problem.hint for problem in problems) else GENERAL_ADVICE,
        details=[str(problem) for problem in problems],
    )
