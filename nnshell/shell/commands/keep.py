"""Keeping work: states, statistics, settings and variables."""

from __future__ import annotations

import argparse

import cmd2

from nnshell.shell.api import flow
from nnshell.shell.commands.base import Commands
from nnshell.shell.parser import Parser
from nnshell.support.errors import QuantizationError


def save_state_parser() -> Parser:
    parser = Parser(
        description="Write the commands that made the graph and its ranges to a small file; "
        "`open` of that file needs no images. Without PATH it lies beside the model, "
        "of sample:lenet in the working directory.",
        example="save_state",
    )
    parser.add_argument(
        "path", nargs="?", completer=cmd2.Cmd.path_complete, help="Folder or file to write to."
    )
    return parser


def save_stats_parser() -> Parser:
    parser = Parser(
        description="Write the ranges of the calibration, for `aquant --stats`.",
        example="save_stats ranges.json",
    )
    parser.add_argument("file", completer=cmd2.Cmd.path_complete, help="File to write.")
    return parser


class KeepCommands(Commands):
    """Commands that keep work for later."""

    DEFAULT_CATEGORY = "Session"

    @cmd2.with_argparser(save_state_parser)
    def do_save_state(self, args: argparse.Namespace) -> None:
        """Write a state file."""
        path = flow.save_state(self.project(), args.path)
        self.session.current.mark_saved()
        self.write(f"saved state to {path}")

    @cmd2.with_argparser(save_stats_parser)
    def do_save_stats(self, args: argparse.Namespace) -> None:
        """Write the ranges of the calibration."""
        statistics = self.project().statistics
        if statistics is None:
            raise QuantizationError("there are no ranges yet", hint="run aquant first")
        statistics.save(args.file)
        self.write(f"saved ranges to {args.file}")
