"""What every command set has: the shell it belongs to, its session, its tables."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cmd2 import CommandSet

from nnshell.files import write_atomically
from nnshell.reports.table import Table
from nnshell.shell.render import csv_text

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph
    from nnshell.shell.app import Shell  # noqa: F401 - names the type in the string below
    from nnshell.shell.session import Session


class Commands(CommandSet["Shell"]):
    """Commands of one task; a command parses, calls the API and hands rows to the shell."""

    @property
    def session(self) -> Session:
        return self._cmd.session

    def graph(self) -> Graph:
        """The current graph; GraphError when none is open."""
        return self._cmd.session.graph

    def write(self, text: str) -> None:
        self._cmd.write(text)

    def show(self, table: Table, args: argparse.Namespace) -> None:
        """A table in the form that the options of tables ask for."""
        if getattr(args, "csv", None):
            write_atomically(Path(args.csv), (csv_text(table) + "\n").encode())
        else:
            self._cmd.show(table, args.format, getattr(args, "width", None))
