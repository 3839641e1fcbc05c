"""What the process command line asks for. No cmd2 here: wrong usage is answered at once."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nnshell import __version__
from nnshell.shell.import_options import add_import_options, add_option, import_words

_VARIABLE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)=(?P<value>.*)", re.DOTALL)
_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Source:
    """A script file or one command, in the order they were given."""

    kind: Literal["script", "command"]
    text: str


@dataclass(frozen=True, slots=True)
class Generate:
    """The options of -g."""

    model_directory: str | None
    model_file: str | None
    tensor_directory: str | None
    header_file: str | None
    dump_tensors: bool
    anonymise: bool
    kernel_source: str | None  # names of generated expression kernels
    kernel_header: str | None


@dataclass(frozen=True, slots=True)
class Invocation:
    """A checked command line."""

    sources: tuple[Source, ...] = ()
    open_words: tuple[str, ...] = ()  # the `open` command for the positional file
    variables: tuple[tuple[str, str], ...] = ()
    makefile: str = ""  # whose variables make is asked for
    log_level: str | None = None
    generate: Generate | None = None
    interactive: bool = False
    keep_going: bool = False
    check: bool = False


def parse_command_line(words: Sequence[str]) -> Invocation:
    """Read the command line; wrong usage prints a message and exits with status 2."""
    parser = _parser()
    parsed = parser.parse_args(words)
    if parsed.generate and not parsed.graph:
        parser.error("-g needs a state file, as in `nnshell -g STATE.json`")
    if parsed.generate and parsed.sources:
        parser.error("-g generates and exits: it does not go with -s or -e")
    if parsed.check and not parsed.sources:
        parser.error("--check needs a script (-s FILE) or a command (-e COMMAND)")
    if parsed.template_file:
        parser.error("code templates of one's own (-c) are not supported")
    return Invocation(
        sources=tuple(parsed.sources),
        open_words=("open", parsed.graph, *import_words(parsed)) if parsed.graph else (),
        variables=tuple(parsed.variables),
        makefile=parsed.makefile or "",
        log_level=parsed.log_level,
        generate=_generate(parsed) if parsed.generate else None,
        interactive=parsed.interactive,
        keep_going=parsed.keep_going,
        check=parsed.check,
    )


def _generate(parsed: argparse.Namespace) -> Generate:
    return Generate(
        model_directory=parsed.model_directory,
        model_file=parsed.model_file,
        tensor_directory=parsed.tensor_directory,
        header_file=parsed.header_file,
        dump_tensors=not parsed.dont_dump_tensors,
        anonymise=parsed.anonymise,
        kernel_source=parsed.basic_kernel_source_file,
        kernel_header=parsed.basic_kernel_header_file,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nnshell",
        usage="nnshell [options] [GRAPH.onnx | GRAPH.tflite | STATE.json]",
        description="Put small neural networks on GAP8. Without -s, -e or -g, commands come from "
        "the keyboard or from standard input.",
    )
    parser.add_argument(
        "graph", nargs="?", metavar="GRAPH", help="Model (.onnx, .tflite) or state (.json) to open."
    )
    _add_script_options(parser)
    _add_generate_options(parser)
    add_import_options(parser)
    parser.add_argument("-v", "--version", action="version", version=f"nnshell {__version__}")
    return parser


def _add_script_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("scripts (exit status 1 when a command fails)")
    add_option(group, "script_file", "-s", dest="sources", metavar="FILE", action="append",
        type=_script, default=[], help="Run a script; repeatable, in order with -e.")  # fmt: skip
    add_option(group, "execute", "-e", dest="sources", metavar="COMMAND", action="append",
        type=_command, help="Run one command; repeatable.")  # fmt: skip
    add = group.add_argument
    add("-i", "--interactive", action="store_true", help="Stay at the prompt after -s and -e.")
    add("--keep-going", action="store_true", help="Run on after a failing command.")
    add("--keep_going", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    add("--check", action="store_true", help="Look for mistakes in -s and -e, and run nothing.")
    add("-D", dest="variables", metavar="NAME=VALUE", action="append", type=_variable,
        default=[], help="Define a script variable for $(NAME).")  # fmt: skip
    add("--makefile", metavar="FILE",
        help="Run make on this file for $(NAME); else ./Makefile is read as text.")  # fmt: skip
    add_option(group, "log_level", "-l", type=_level, metavar="LEVEL",
        help="Least level of messages: debug, info, warning or error.")  # fmt: skip


def _add_generate_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("generating code from a state")
    group.add_argument(
        "-g",
        "--generate",
        action="store_true",
        help="Write the files of a state for the AutoTiler, and exit.",
    )
    for name, short, metavar, text in (
        ("model_file", "-m", "FILE", "name of the model (model.c)"),
        ("model_directory", "-M", "DIR", "its directory"),
        ("tensor_directory", "-T", "DIR", "constants go here"),
        ("header_file", "-H", "FILE", "also write this header"),
        ("template_file", "-c", "FILE", argparse.SUPPRESS),
    ):
        add_option(group, name, short, metavar=metavar, help=text)
    for name, what in (("source", "generated expression kernels"), ("header", "their header")):
        add_option(group, f"basic_kernel_{name}_file", metavar="FILE", help=f"name of {what}")
    add_option(group, "dont_dump_tensors", "-d", action="store_true",
        help="Do not write constants.")  # fmt: skip
    group.add_argument(
        "--anonymise", action="store_true", help="Replace node names by hashes in generated code."
    )


def _script(text: str) -> Source:
    return Source("script", text)


def _command(text: str) -> Source:
    return Source("command", text)


def _variable(text: str) -> tuple[str, str]:
    match = _VARIABLE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return match["name"], match["value"]


def _level(text: str) -> Any:
    if text.lower() not in _LEVELS:
        raise argparse.ArgumentTypeError(f"'{text}' is not one of {', '.join(_LEVELS)}")
    return text.upper()
