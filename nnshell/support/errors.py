"""Errors a user can act on: one line that says what, where and what to type instead."""

from __future__ import annotations

from collections.abc import Sequence

# Characters of a part of an error that are shown; names in a damaged file may have any length.
_MESSAGE, _WHERE, _HINT = 800, 400, 400


class NNShellError(Exception):
    """Something the user can fix.

    ``where`` names the node, file or line at fault; ``hint`` is what to type instead. Both are
    printed on the same line as the message. ``details`` get a line each below it: several nodes
    of one file, each with its own reason.
    """

    def __init__(
        self, message: str, *, where: str = "", hint: str = "", details: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        self.details = tuple(details)

    def __str__(self) -> str:
        where = f" ({one_line(self.where, _WHERE)})" if self.where else ""
        hint = f" - {one_line(self.hint, _HINT)}" if self.hint else ""
        details = "".join(f"\n  {one_line(detail, _MESSAGE)}" for detail in self.details)
        return f"{one_line(self.message, _MESSAGE)}{where}{hint}{details}"


def one_line(text: str, longest: int = _MESSAGE) -> str:
    """A text from anywhere as one line that is safe to print: control characters as escapes.

    Of a text with more than ``longest`` characters the middle is left out.
    """
    if len(text) > longest:
        end = longest // 4
        text = f"{text[: longest - end]} ... {text[-end:]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class ModelError(NNShellError):
    """A model file that is missing, corrupt, or asks for something nnshell does not do."""


class GraphError(NNShellError):
    """A graph that is malformed, or a node that does not exist or does not fit a command."""


class InputError(NNShellError):
    """Images or arrays that cannot be read, or do not fit the graph."""


class QuantizationError(NNShellError):
    """A step that needs quantization or statistics that are not there, or cannot be made."""


class StateError(NNShellError):
    """A state file that is corrupt, of another version, or belongs to another model."""


class UsageError(NNShellError):
    """A command, option or setting that does not exist or has a value it does not take."""
