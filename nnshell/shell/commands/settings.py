"""`set` and `set_var`: settings and script variables."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any

import cmd2
from cmd2 import Choices, CompletionItem, Completions

from nnshell.reports.table import Column, Table
from nnshell.shell.api import edits, norm_functions, simulation
from nnshell.shell.commands.base import Commands
from nnshell.shell.parser import Parser
from nnshell.support.errors import UsageError
from nnshell.support.settings import SETTINGS, Setting, current_names, describe, why_dropped

if TYPE_CHECKING:
    from nnshell.shell.app import Shell

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_BRIEF = (Column("Setting"), Column("Value", wraps=True))
_VERBOSE = (
    *_BRIEF,
    Column("Default", detail=1),
    Column("Group", detail=2),
    Column("Meaning", wraps=True),
)


def set_parser() -> Parser:
    parser = Parser(
        description="Show all settings, show one (NAME), or change one (NAME VALUE).",
        example='set input_norm_func "x: x/128-1"',
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="Show defaults and meaning as well."
    )
    parser.add_argument(
        "name", nargs="?", choices_provider=setting_names, help="Setting to show or change."
    )
    parser.add_argument(
        "value", nargs="?", completer=complete_value, help="New value of the setting."
    )
    return parser


def run_set(shell: Shell, args: argparse.Namespace) -> None:
    if args.name is None:
        shell.show(_all_settings(shell, verbose=args.verbose))
    elif not why_dropped(args.name):
        for name in current_names(args.name):
            _show_or_change(shell, name, args.value)


def _show_or_change(shell: Shell, name: str, text: str | None) -> None:
    before = _get(shell, name)
    if text is None:
        shell.write(f"{name}: {before!r}")
        return
    _change(shell, name, text)
    shell.pfeedback(f"{name} - was: {before!r}\nnow: {_get(shell, name)!r}")


def _get(shell: Shell, name: str) -> Any:
    if name in shell.settables:
        return shell.settables[name].value
    return shell.session.settings[name]


def _change(shell: Shell, name: str, text: str) -> None:
    if name not in shell.settables:
        setting = describe(name)
        value = setting.parse(text)
        if setting.name == "input_norm_func" and text:
            norm_functions.parse_norm(text)  # a mistake is told where it is typed
        if setting.suffix:
            simulation.check_setting(setting.name, text)
        projects = [opened.project for opened in shell.session.opened]
        edits.change_setting(projects, setting.name, value)
        shell.session.settings.assign(name, value)
        return
    settable = shell.settables[name]
    if isinstance(settable.value, bool):
        text = str(Setting(name, "shell", bool, False, settable.description).parse(text))
    try:
        settable.value = text
    except ValueError as error:
        raise UsageError(f"setting {name} does not take {text!r}", hint=str(error)) from None


def _all_settings(shell: Shell, *, verbose: bool) -> Table:
    values = shell.session.settings
    rows = [
        (name, _text(values[name]), _text(setting.default), setting.group, setting.doc)
        for name, setting in SETTINGS.items()
    ]
    rows += [
        (name, _text(settable.value), "", "shell", settable.description)
        for name, settable in sorted(shell.settables.items())
    ]
    columns = _VERBOSE if verbose else _BRIEF
    return Table("Settings", columns, tuple(row[: len(columns)] for row in rows))


def _text(value: Any) -> str:
    return repr(value) if value == "" else str(value)


def setting_names(shell: Shell) -> Choices:
    """Every setting with its meaning, for completion."""
    described = {name: setting.doc for name, setting in SETTINGS.items()}
    described |= {name: settable.description for name, settable in shell.settables.items()}
    return Choices([CompletionItem(name, display_meta=doc) for name, doc in described.items()])


def complete_value(
    shell: Shell,
    text: str,
    line: str,
    begin: int,
    end: int,
    arg_tokens: dict[str, list[str]],
) -> Completions:
    """The values that the setting on the line takes."""
    name = arg_tokens["name"][0]
    settable = shell.settables.get(name)
    if settable is not None:
        boolean = isinstance(settable.value, bool)
        choices = ["true", "false"] if boolean else [str(c) for c in settable.choices or ()]
    else:
        setting = describe(name)
        choices = [str(choice) for choice in setting.choices if choice != ""]
        choices = ["true", "false"] if setting.type is bool else choices
    if not choices and name.endswith(("_directory", "_file", "chip")):
        return shell.path_complete(text, line, begin, end)
    return shell.basic_complete(text, line, begin, end, choices)


def set_var_parser() -> Parser:
    parser = Parser(
        description="Define a script variable; $(NAME) stands for its value from then on.",
        example="set_var IMAGES sample:calibration",
    )
    parser.add_argument("name", nargs="?", help="Name of the variable; without it, all are listed.")
    parser.add_argument("value", nargs="?", help="New value; without it, the variable is shown.")
    return parser


class SettingCommands(Commands):
    """Commands about the session itself."""

    DEFAULT_CATEGORY = "Session"

    @cmd2.with_argparser(set_var_parser)
    def do_set_var(self, args: argparse.Namespace) -> None:
        """Define a script variable."""
        session = self.session
        if args.name is None:
            rows = tuple(sorted(session.variables.own.items()))
            self._cmd.show(Table("Variables", (Column("Name"), Column("Value")), rows))
        elif args.value is not None:
            define_variable(session.variables.own, args.name, args.value)
        elif args.name in session.variables:
            self._cmd.write(f"{args.name}: {session.variables[args.name]!r}")
        else:
            raise UsageError(f"variable {args.name} is not defined", hint="give it a value")


def define_variable(variables: dict[str, str], name: str, value: str) -> None:
    """Add a variable; UsageError when $(NAME) could not find it."""
    if not _VARIABLE.fullmatch(name):
        hint = "use letters, digits and _, such as IMAGES"
        raise UsageError(f"'{name}' is not the name of a variable", hint=hint)
    variables[name] = value
