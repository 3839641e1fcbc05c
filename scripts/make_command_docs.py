"""Write docs/commands/: one page per command, made from the parsers that also make `help`.

python scripts/make_command_docs.py            write the pages
python scripts/make_command_docs.py --check    say which are missing, stale or left over
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from cmd2 import Cmd2ArgumentParser

from nnshell.shell.app import Shell
from nnshell.shell.commands import command_sets
from nnshell.shell.commands.help import GROUPS, commands_by_group, example, summary
from nnshell.shell.session import Session

FOLDER = Path(__file__).parents[1] / "docs" / "commands"
_MADE = "<!-- Made by scripts/make_command_docs.py from the command's own help: do not edit. -->"
_OLD = (
    "Accepted for old scripts",
    "not here",
    "Refused",
)  # how the help of options begins that do nothing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    wanted = pages()
    if parser.parse_args().check:
        wrong = stale(wanted)
        print("\n".join(wrong) or "all pages are as the commands say")
        return 1 if wrong else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in FOLDER.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"wrote {len(wanted)} pages to {FOLDER}")
    return 0


def stale(wanted: dict[str, str]) -> list[str]:
    """One line for each page that is missing, differs from what the command says, or is left."""
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    wrong = [f"{name} is missing" for name in wanted if name not in found]
    wrong += [f"{name} is stale" for name in found if found[name] != wanted.get(name, found[name])]
    return wrong + [f"{name} is of no command" for name in found if name not in wanted]


def pages() -> dict[str, str]:
    """File name and text of every page, the index included."""
    with io.StringIO() as nowhere:
        shell = Shell(Session(), command_sets(), stdin=nowhere, stdout=nowhere)
        grouped = commands_by_group(shell)
        texts = {"index.md": _index(shell, grouped)}
        for group, commands in grouped.items():
            for command in commands:
                texts[f"{command}.md"] = _page(shell, command, group)
    return texts


def _index(shell: Shell, grouped: dict[str, list[str]]) -> str:
    lines = [_MADE, "", "# Commands", ""]
    lines += ["In the shell: `help` lists them, `help COMMAND` explains one."]
    for group, _ in GROUPS:
        lines += ["", f"## {group}", "", "| command | what it does | example |", "|---|---|---|"]
        for command in grouped[group]:
            shown = f"`{_cell(example(shell, command))}`" if example(shell, command) else ""
            link = f"[{command}]({command}.md)"
            lines.append(f"| {link} | {_cell(summary(shell, command))} | {shown} |")
    return "\n".join(lines) + "\n"


def _page(shell: Shell, command: str, group: str) -> str:
    function = shell.get_command_func(command)
    parser = shell.command_parsers.get(function) if function is not None else None
    lines = [_MADE, "", f"# {command}", "", f"*{group}*", ""]
    if parser is None:
        return "\n".join([*lines, (function.__doc__ or "").strip()]) + "\n"
    lines += [" ".join(str(parser.description or summary(shell, command)).split()), ""]
    lines += ["```text", _synopsis(command, parser), "```"]
    lines += _subcommands(parser)
    for title, actions in _groups(parser):
        lines += ["", f"## {title}", "", "| | |", "|---|---|"]
        lines += [f"| {_names(action)} | {_cell(_help(action))} |" for action in actions]
    if example(shell, command):
        lines += ["", "## Example", "", "```nnshell", example(shell, command), "```"]
    return "\n".join(lines) + "\n"


def _synopsis(command: str, parser: Cmd2ArgumentParser) -> str:
    """NAME, then arguments; options are in the tables below it."""
    words = [command]
    if any(action.option_strings for action in _actions(parser)):
        words.append("[options]")
    for action in _actions(parser):
        if action.option_strings:
            continue
        name = _metavar(action)
        optional = action.nargs in ("?", "*")
        many = action.nargs in ("*", "+")
        words.append(f"[{name}{' ...' if many else ''}]" if optional else name + " ..." * many)
    return " ".join(words)


def _subcommands(parser: Cmd2ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from ("", "## Commands below it", "", "| | |", "|---|---|")
            for choice in action._choices_actions:
                yield f"| `{choice.dest}` | {_cell(choice.help or '')} |"


def _groups(parser: Cmd2ArgumentParser) -> Iterator[tuple[str, list[argparse.Action]]]:
    """The groups of the parser that have arguments; options without effect come last."""
    old = []
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action in _actions(parser)]
        old += [action for action in actions if _help(action).startswith(_OLD)]
        kept = [action for action in actions if action not in old]
        if kept:
            title = group.title or "Options"
            yield title[:1].upper() + title[1:], kept
    if old:
        yield "Options of NNTool without effect here", old


def _actions(parser: Cmd2ArgumentParser) -> list[argparse.Action]:
    """Arguments with a meaning of their own: neither -h, nor subcommands, nor what help hides."""
    left_out = (argparse._HelpAction, argparse._SubParsersAction)
    return [
        action
        for action in parser._actions
        if not isinstance(action, left_out) and action.help != argparse.SUPPRESS
    ]


def _names(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{_metavar(action)}`"
    value = "" if action.nargs == 0 else f" {_values(action)}"
    return ", ".join(f"`{name}{value}`" for name in action.option_strings)


def _values(action: argparse.Action) -> str:
    if isinstance(action.metavar, tuple):
        first, *others = action.metavar
        return " ".join([first, *(f"{name} ..." for name in others)])
    name = _metavar(action)
    if isinstance(action.nargs, int):
        return " ".join([name] * action.nargs)
    return {"?": f"[{name}]", "+": f"{name} ...", "*": f"[{name} ...]"}.get(str(action.nargs), name)


def _metavar(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    return action.dest.upper()


def _help(action: argparse.Action) -> str:
    """Help, the values that are accepted, and the default where it says something."""
    text = " ".join(str(action.help or "").split()).replace("%%", "%")
    if action.choices is not None and not text.startswith(_OLD):
        text = f"{text.removesuffix('.')}: {_listed(action.choices)}."
    telling = isinstance(action.default, int | float | str) and action.nargs != 0
    if telling and action.default not in (argparse.SUPPRESS, ""):
        text = f"{text.removesuffix('.')} (default {action.default})."
    return text


def _listed(choices: Iterable[object]) -> str:
    return ", ".join(f"`{choice}`" for choice in choices if choice != "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
