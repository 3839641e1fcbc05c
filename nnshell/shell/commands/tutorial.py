"""`tutorial`: walkthroughs, with a person or without."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import cmd2
from cmd2 import Choices, Completions

from nnshell.reports.table import Column, Table
from nnshell.shell.api import lesson_data, tutor, tutorial_folder, walkthrough
from nnshell.shell.commands.base import Commands
from nnshell.shell.parser import Parser
from nnshell.support.errors import UsageError

if TYPE_CHECKING:
    from nnshell.shell.app import Shell

_COLUMNS = (
    Column("Name"),
    Column("Steps", "right"),
    Column("Also in"),
    Column("Title", wraps=True),
)
_HOW = "`tutorial NAME` begins one; `tutorial NAME --auto` runs and checks it without a person"


def tutorial_parser() -> Parser:
    parser = Parser(
        description="List the tutorials, or take one step by step: Enter runs what a step "
        "suggests, or type it; questions take a number, a letter or a sentence. It goes on where "
        "you left it. Graphs and settings are afterwards as they were before.",
        example="tutorial lenet",
    )
    add = parser.add_argument
    add(
        "name",
        nargs="?",
        completer=complete_tutorial,
        help="Name of a tutorial, or a tutorial file.",
    )
    add("--auto", action="store_true", help="Run and check the tutorial without a person.")
    add("--language", metavar="CODE", choices_provider=language_codes,
        help="Language of the texts (en, fr, zh), where it is there.")  # fmt: skip
    add("--data", metavar="FOLDER", completer=cmd2.Cmd.path_complete,
        help="Your own model and data: see `help data`.")  # fmt: skip
    add("--step", type=int, metavar="N", help="Begin at step N (1).")
    where = f"Where its files go ({tutorial_folder.DEFAULT}; with --auto they are not kept)"
    add("--output", metavar="FOLDER", completer=cmd2.Cmd.path_complete, help=where)
    return parser


def complete_tutorial(shell: Shell, text: str, line: str, begin: int, end: int) -> Completions:
    """Names of tutorials, else files."""
    result = shell.basic_complete(text, line, begin, end, walkthrough.names())
    return result if result.items else shell.path_complete(text, line, begin, end)


def language_codes(_: Shell) -> Choices:
    """English, and what some tutorial is there in."""
    codes = {code for name in walkthrough.names() for code in walkthrough.languages(name)}
    return Choices.from_values(["en", *sorted(codes)])


def _languages(name: str) -> str | None:
    return ", ".join(walkthrough.languages(name)) or None


def _data(args: argparse.Namespace) -> dict[str, str]:
    """What the variables of a tutorial stand for in a folder of one's own."""
    return lesson_data.find(args.data).variables()


class TutorialCommands(Commands):
    """Commands that teach."""

    DEFAULT_CATEGORY = "Scripts and help"

    @cmd2.with_argparser(tutorial_parser)
    def do_tutorial(self, args: argparse.Namespace) -> None:
        """List tutorials or take one."""
        names = (args.name,) if args.name else walkthrough.names()
        loaded = [walkthrough.load(name, args.language or "") for name in names]
        if args.data:
            loaded = [tour.with_data(_data(args)) for tour in loaded]
        if args.step is not None and (args.auto or not args.name):
            hint = (
                "tutorial NAME --step N; without a person a tutorial is taken from its first step"
            )
            raise UsageError("--step is for a tutorial that a person takes", hint=hint)
        if args.auto:
            for chosen in loaded:
                output = Path(args.output) if args.output else None
                tutor.run_unattended(self._cmd, chosen, output)
        elif args.name:
            self._refuse_without_person()
            output = Path(args.output or tutorial_folder.DEFAULT)
            tutor.guide(self._cmd, loaded[0], args.step, output)
        else:
            rows = tuple(
                (tour.name, len(tour.steps), _languages(tour.name), tour.title) for tour in loaded
            )
            self._cmd.show(Table("Tutorials", _COLUMNS, rows, notes=(_HOW,)))

    def _refuse_without_person(self) -> None:
        if self._cmd.guide is not None:
            raise UsageError("a tutorial is running already", hint="`quit` leaves it")
        if not self._cmd.at_prompt:
            hint = "type it at the prompt, or add --auto to run it without a person"
            raise UsageError("a tutorial needs somebody at the prompt", hint=hint)
