"""The page to hand in: `report`."""

from __future__ import annotations

import argparse

import cmd2

from nnshell.shell.api import flow, pages
from nnshell.shell.commands.base import Commands
from nnshell.shell.options import add_input_options, input_options
from nnshell.shell.parser import Parser
from nnshell.shell.progress import progress


def report_parser() -> Parser:
    parser = Parser(
        description="Write one HTML page about the network: the script that made it, its graph "
        "before and after, a table of layers, histograms of weights, memory, cycles and energy, "
        "tables of `sweep`, answers to questions of tutorials. With INPUTS also histograms of "
        "activations, the error of each layer and, where they are labelled, accuracy and "
        "confusions. The file holds all it needs: it opens without a network, and prints.",
        example="report lenet.html sample:test",
    )
    parser.add_argument(
        "file", metavar="FILE", completer=cmd2.Cmd.path_complete, help="HTML file to write."
    )
    add_input_options(parser, files="*")
    return parser


class PageCommands(Commands):
    """Commands that write pages."""

    DEFAULT_CATEGORY = "Check the result"

    @cmd2.with_argparser(report_parser)
    def do_report(self, args: argparse.Namespace) -> None:
        """Write a page to look at, print or hand in."""
        project = self.project()
        if not args.input_files:
            path = pages.report(project, args.file)
            self.write(f"wrote {path}")
            self._cmd.note(f"`report {args.file} INPUTS` adds activations, errors and accuracy")
            return
        images = flow.load_inputs(args.input_files, options=input_options(args), split="test")
        inputs = images.open(project)
        with progress("looking at the network", pages.PASSES_OVER_SAMPLES * len(inputs)) as done:
            path = pages.report(project, args.file, inputs, progress=done)
        self.write(f"wrote {path}")
