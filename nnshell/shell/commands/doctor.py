"""`doctor`: what is installed, and what to do about what is missing."""

from __future__ import annotations

import argparse

import cmd2

from nnshell.shell import environment
from nnshell.shell.commands.base import Commands
from nnshell.shell.options import add_format_option
from nnshell.shell.parser import Parser


def doctor_parser() -> Parser:
    parser = Parser(
        description="Show versions, cores, extras and tools, and how to get what is missing.",
        example="doctor",
    )
    add_format_option(parser)
    return parser


class DoctorCommands(Commands):
    """Commands about the installation."""

    DEFAULT_CATEGORY = "Scripts and help"

    @cmd2.with_argparser(doctor_parser)
    def do_doctor(self, args: argparse.Namespace) -> None:
        """Show what is installed and what is missing."""
        self._cmd.show(environment.report(), args.format)
