"""Options that several commands share."""

from __future__ import annotations

from nnshell.shell.parser import Parser
from nnshell.shell.render import FORMATS


def add_format_option(parser: Parser) -> None:
    parser.add_argument(
        "--format", choices=FORMATS, default="table", help="form of the table (`help formats`)"
    )
