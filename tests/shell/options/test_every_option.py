"""Every option of every command, by discovery: the outcome with it differs from that without it.

An option without a case in ``cases`` fails; so does a case without an option. Options "accepted
for old scripts" must change nothing, and only those say so in `help`. Options of NNTool's that are
not had must give their reason.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import pytest

from nnshell.shell.app import Shell
from nnshell.shell.commands import command_sets
from nnshell.shell.parser import _NotHere
from nnshell.shell.session import Session

from .cases import COMMANDS, SETUPS, Case, Command, Fails
from .harness import COLUMNS, Outcome, Place, at_terminal_width, begin
from .models import write_files

_IDLE = "for old scripts"  # what help then says


def _own_parsers() -> dict[str, argparse.ArgumentParser]:
    """The parsers of nnshell's commands; those of cmd2's own are cmd2's to test."""
    shell = Shell(Session(), command_sets(), stdin=io.StringIO(), stdout=io.StringIO())
    parsers = {}
    for name in shell.get_all_commands():
        function = shell.get_command_func(name)
        parser = shell.command_parsers.get(function) if function else None
        if function is not None and function.__module__.startswith("nnshell") and parser:
            parsers[name] = parser
    return parsers


PARSERS = _own_parsers()


def _options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """What may be left out, by its longest spelling."""
    actions = {}
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction | _NotHere):
            continue
        if action.option_strings:
            actions[max(action.option_strings, key=len)] = action
        elif action.nargs in ("?", "*", "..."):
            actions[action.dest] = action
    return actions


def _same_option(parser: argparse.ArgumentParser, name: str) -> str:
    """The spelling with underscores of an option that is spelled with hyphens as well."""
    other = f"--{name[2:].replace('-', '_')}" if name.startswith("--") else name
    return other if other in _options(parser) else name


def _cases(command: Command) -> dict[str, Case]:
    cases = {name: case for group in command.groups for name, case in group.items()}
    return cases | dict(command.options)


OPTIONS = [
    pytest.param(command, name, id=f"{command} {name}")
    for command, parser in sorted(PARSERS.items())
    for name in _options(parser)
]
REFUSED = [
    pytest.param(command, option, action.nargs, id=f"{command} {option}")
    for command, parser in sorted(PARSERS.items())
    for action in parser._actions
    if isinstance(action, _NotHere)
    for option in action.option_strings
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory of all sessions."""
    path = tmp_path_factory.mktemp("options").resolve()
    write_files(path)
    with chdir(path), at_terminal_width(COLUMNS):
        yield path


@pytest.fixture(scope="module")
def places(folder: Path) -> dict[tuple[str, str, bool], Place]:
    """Sessions by setup, model and terminal, begun when first asked for."""
    return {}


def _place(places: dict[tuple[str, str, bool], Place], folder: Path, case: Case) -> Place:
    assert case.setup is not None and case.model is not None
    key = (case.setup, case.model, case.terminal)
    if key not in places:
        lines = [line.format(model=case.model) for line in SETUPS[case.setup]]
        places[key] = begin(lines, folder, terminal=case.terminal)
    return places[key]


def _outcomes(place: Place, name: str, case: Case) -> tuple[Outcome, Outcome]:
    inputs = case.inputs or f"{case.model}.npz"
    base = f"{name} {case.base or ''}".format(inputs=inputs).strip()
    then = [line.format(inputs=inputs) for line in case.then or ()]
    without = place.outcome([base, *then])
    return without, place.outcome([f"{base} {case.words}", *then])


def _whole(command: Command, case: Case) -> Case:
    """The case with what it leaves to its command."""
    base = command.base if case.base is None else case.base
    return replace(
        case,
        base=f"{base} {case.also}".strip(),
        setup=case.setup or command.setup,
        model=case.model or command.model,
        then=command.then if case.then is None else case.then,
    )


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_every_option_has_a_case_and_every_case_an_option(name: str) -> None:
    """A command that is new, too, gets its cases in cases.py."""
    options = {_same_option(PARSERS[name], option) for option in _options(PARSERS[name])}
    assert set(_cases(COMMANDS[name])) == options, "cases.py has one for each option"


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_an_option_changes_what_is_printed_or_written(
    name: str, option: str, folder: Path, places: dict[tuple[str, str, bool], Place]
) -> None:
    parser, command = PARSERS[name], COMMANDS[name]
    case = _whole(command, _cases(command)[_same_option(parser, option)])
    if case.needs and importlib.util.find_spec(case.needs) is None:
        pytest.skip(f"needs {case.needs}")
    words = case.words or option
    words = words.replace(_same_option(parser, option), option)
    without, with_it = _outcomes(_place(places, folder, case), name, replace(case, words=words))
    assert bool(without.failures) == (case.fails is Fails.WITHOUT), without.failures
    assert bool(with_it.failures) == (case.fails is Fails.WITH), with_it.failures
    said = _options(parser)[option].help or ""
    if case.idle:
        assert with_it == without
        assert said == argparse.SUPPRESS or _IDLE in said
    else:
        assert with_it != without
        assert _IDLE not in said


@pytest.mark.parametrize(("name", "option", "nargs"), REFUSED)
def test_options_that_are_not_had_give_their_reason(
    name: str, option: str, nargs: int, folder: Path, places: dict[tuple[str, str, bool], Place]
) -> None:
    place = _place(places, folder, Case("", setup="nothing", model="data"))
    outcome = place.outcome([" ".join([name, "data.npz", option, *["1"] * nargs])])
    (message,) = outcome.failures
    assert message.startswith(f"option {option} is not part of nnshell ({name}) - ")


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_the_same_line_twice_has_the_same_outcome(
    name: str, folder: Path, places: dict[tuple[str, str, bool], Place]
) -> None:
    """What differs by itself would make every option seem to have an effect."""
    command = COMMANDS[name]
    place = _place(places, folder, _whole(command, Case("")))
    base = f"{name} {command.base}".format(inputs=f"{command.model}.npz").strip()
    assert place.run([base]) == place.run([base])
