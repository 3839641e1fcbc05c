"""Errors a user can act on: one line that says what, where and what to type instead."""

from __future__ import annotations


class NNShellError(Exception):
    """Something the user can fix.

    ``where`` names the node, file or line at fault; ``hint`` is what to type instead. Both are
    printed on the same line as the message.
    """

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        where = f" ({self.where})" if self.where else ""
        hint = f" - {self.hint}" if self.hint else ""
        return f"{self.message}{where}{hint}"


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
