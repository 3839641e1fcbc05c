"""The commands, one CommandSet per file."""

from __future__ import annotations

from typing import Any

from cmd2 import CommandSet

from nnshell.shell.commands.doctor import DoctorCommands
from nnshell.shell.commands.settings import SettingCommands


def command_sets() -> tuple[CommandSet[Any], ...]:
    """A fresh instance of every command set, for one shell."""
    return (SettingCommands(), DoctorCommands())
