"""`help`: the commands grouped by task, one command, or one topic."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from cmd2 import Choices

from nnshell.shell import pager, suggestions, topics
from nnshell.shell.api import (
    onnx_importer,
    tflite_folding,
    tflite_operators,
)
from nnshell.shell.parser import Parser
from nnshell.support.errors import UsageError

if TYPE_CHECKING:
    from nnshell.shell.app import Shell

# The tasks in the order of a session, and the command that shows what each is about.
GROUPS = (
    ("Open and look", "show"),
    ("Prepare the graph", "fusions"),
    ("Quantize", "aquant"),
    ("Check the result", "qerror"),
    ("Put it on the chip", "simulate"),
    ("Session", "set"),
    ("Scripts and help", "run_script"),
)

_MODELS = ("onnx", "tflite")  # topics that list operators


def help_parser() -> Parser:
    parser = Parser(
        description="List the commands by task, or explain a command or a topic.",
        example="help aquant",
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="Show an example of every command."
    )
    parser.add_argument(
        "topic", nargs="?", choices_provider=help_topics, help="Command or topic to explain."
    )
    return parser


def help_topics(shell: Shell) -> Choices:
    """Commands and topics, for completion."""
    return Choices.from_values([*shell.get_visible_commands(), *topics.TOPICS, *_MODELS])


def run_help(shell: Shell, topic: str | None, *, verbose: bool) -> None:
    if topic is None:
        shell.write_long("\n".join(overview(shell, verbose=verbose)))
    elif topic in _MODELS:
        shell.write(onnx_operators() if topic == "onnx" else tflite_operator_names())
    elif topic in topics.TOPICS:
        shell.write_long(topics.TOPICS[topic].strip())
    else:
        _explain(shell, topic)


def onnx_operators() -> str:
    """The operators of ONNX files that `open` reads."""
    steps, folded = set(onnx_importer.IMPORTS), set(onnx_importer.FOLDABLE)
    return _operators("ONNX files (opset 7 and newer)", steps, folded)


def tflite_operator_names() -> str:
    """The operators of TFLite files that `open` reads."""
    folded = set(tflite_folding.FOLDABLE)
    return _operators("TFLite files", set(tflite_operators.TRANSLATIONS), folded)


def _operators(files: str, results: set[str], evaluated: set[str]) -> str:
    steps, folded = sorted(results), sorted(evaluated - results)
    lines = [f"Operators of {files} that become steps:", ""]
    lines += [
        *_wrapped(steps),
        "",
        "Those that are computed when a file is read, on constants:",
        "",
    ]
    lines += [*_wrapped(folded), "", "`open` names every operator that it cannot read, and why."]
    return "\n".join(lines)


def _wrapped(names: list[str]) -> list[str]:
    return textwrap.wrap(", ".join(names), width=78, initial_indent="  ", subsequent_indent="  ")


def _explain(shell: Shell, command: str) -> None:
    function = shell.get_command_func(command)
    if function is None:
        error = suggestions.unknown_command(command, shell.get_visible_commands())
        raise UsageError(error.message, hint=error.hint)
    parser = shell.command_parsers.get(function)
    if parser is None:
        shell.write((function.__doc__ or "").strip())
    elif pager.pages(shell):
        with parser.output_to(shell.stdout):
            pager.write_styled(shell, parser.format_help())
    else:
        parser.print_help(shell.stdout)


def overview(shell: Shell, *, verbose: bool) -> list[str]:
    """The lines of `help`: each task with its commands and a worked example."""
    grouped = commands_by_group(shell)
    lines: list[str] = []
    for group, shown in GROUPS:
        lines += [group]
        for command in grouped.get(group, ()):
            lines += [f"  {command:<14} {summary(shell, command)}"]
            lines += [f"  {'':<14} {example(shell, command)}"] if verbose else []
        if not verbose and example(shell, shown):
            lines += [f"  for example:   {example(shell, shown)}"]
        lines += [""]
    lines += [f"Topics: {', '.join((*topics.TOPICS, *_MODELS))}"]
    return [*lines, "`help COMMAND` and `help TOPIC` explain one; Tab completes names and files."]


def commands_by_group(shell: Shell) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for command in sorted(shell.get_visible_commands()):
        function = shell.get_command_func(command)
        if function is not None:
            grouped.setdefault(shell._get_command_category(function), []).append(command)
    return grouped


def summary(shell: Shell, command: str) -> str:
    """The first line of a command's documentation."""
    function = shell.get_command_func(command)
    text = (function.__doc__ or "").strip() if function else ""
    return text.splitlines()[0] if text else ""


def example(shell: Shell, command: str) -> str:
    """A line that uses the command, "" for commands of cmd2's own."""
    function = shell.get_command_func(command)
    parser = shell.command_parsers.get(function) if function else None
    return parser.example if isinstance(parser, Parser) else ""
