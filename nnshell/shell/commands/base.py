"""What every command set has: the shell it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmd2 import CommandSet

if TYPE_CHECKING:
    from nnshell.shell.app import Shell  # noqa: F401 - names the type in the string below
    from nnshell.shell.session import Session


class Commands(CommandSet["Shell"]):
    """Commands of one task; a command parses, calls the API and hands rows to the shell."""

    @property
    def session(self) -> Session:
        return self._cmd.session
