"""`lab`: the tables of courses, on sample data or on one's own."""

from __future__ import annotations

import argparse

import cmd2
from cmd2 import Choices

from nnshell.shell.api import lab_work, labs, lesson_data
from nnshell.shell.commands.base import Commands
from nnshell.shell.options import add_table_options
from nnshell.shell.parser import Parser
from nnshell.support.errors import UsageError


def lab_parser() -> Parser:
    parser = Parser(
        description="List the labs, or run one: it prints its tables, what is published, what "
        "follows, and what to type for a part of it. The session is left alone.",
        example="lab b",
    )
    add = parser.add_argument
    add("name", nargs="?", choices_provider=lab_names, help="Name of a lab.")
    add("--data", metavar="FOLDER", completer=cmd2.Cmd.path_complete,
        help="Your own model and data (`help data`) instead of the samples.")  # fmt: skip
    add("--limit", type=int, metavar="N", help="Measure N test samples at most.")
    add("--calibration", type=int, default=256, metavar="N",
        help="Calibrate on N samples at most (256).")  # fmt: skip
    add_table_options(parser)
    return parser


def lab_names(_: cmd2.Cmd) -> Choices:
    """Names of labs, with their titles."""
    items = [cmd2.CompletionItem(lab.name, display_meta=lab.title) for lab in labs.LABS.values()]
    return Choices(items)


class LabCommands(Commands):
    """Commands that answer the questions of courses."""

    DEFAULT_CATEGORY = "Scripts and help"

    @cmd2.with_argparser(lab_parser)
    def do_lab(self, args: argparse.Namespace) -> None:
        """List labs or run one."""
        if args.name is None:
            if args.data:
                raise UsageError("which lab?", hint="lab NAME --data FOLDER; `lab` lists them")
            self.show(labs.labs_table(), args)
            return
        for option in ("limit", "calibration"):
            if getattr(args, option) is not None and getattr(args, option) < 1:
                raise UsageError(f"--{option} is at least 1")
        lab = labs.find(args.name)
        data = lesson_data.find(args.data) if args.data else lab.sample
        work = lab_work.LabWork(data, args.limit, args.calibration)
        form = args.format in ("table", "plain")
        shown = self.show
        if form:
            self.write_lines([f"Lab {lab.name}: {lab.title}", f"model {data.model}"])
        for part in lab.run(work):
            if isinstance(part, str):
                if form:
                    self.write(part)
                continue
            shown(part, args)
            if self.session.opened:
                self.project().keep(part)
            shown = self.show_beside  # files are of the first table
        if form:
            self.write_lines(_ending(lab, data))


def _ending(lab: labs.Lab, data: lesson_data.LessonData) -> list[str]:
    """What is published, what follows, and what to type."""
    lines = [f"published: {lab.published}", f"conclusion: {lab.conclusion}", "at the prompt:"]
    for line in lab.prompt:
        for name, value in data.variables().items():
            line = line.replace(name, value)
        lines.append(f"    {line}")
    return lines
