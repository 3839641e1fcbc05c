"""`history`: the commands that made the graph, or the lines that were typed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from nnshell.shell.parser import Parser

if TYPE_CHECKING:
    from nnshell.session.steps import Step
    from nnshell.shell.app import Shell


def history_parser() -> Parser:
    parser = Parser(
        description="Show the commands that made the current graph what it is: those that its "
        "state file holds. A script of them makes it again.",
        example="history --script > again.nns",
    )
    parser.add_argument("-s", "--script", action="store_true", help="Leave the line numbers out.")
    parser.add_argument(
        "-t", "--typed", action="store_true", help="Show all lines that were typed, newest last."
    )
    parser.add_argument("-n", "--last", type=int, metavar="N", help="Show only the last N lines.")
    return parser


def run_history(shell: Shell, args: argparse.Namespace) -> None:
    lines = shell.typed_lines() if args.typed else list(map(line_of, shell.session.project.recipe))
    first = max(len(lines) - args.last, 0) if args.last is not None else 0
    for number, line in enumerate(lines[first:], start=first + 1):
        shell.write(line if args.script else f"{number:4}  {line}")


def line_of(step: Step) -> str:
    """A step as a command line: as it was typed, or its name when a program took it."""
    return step.line or step.command
