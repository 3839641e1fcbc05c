"""Worked examples at the prompt: `quantize_values`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cmd2

from nnshell.shell.api import quantized_values, value_tables
from nnshell.shell.commands.base import Commands
from nnshell.shell.options import add_table_options
from nnshell.shell.parser import Parser
from nnshell.support.errors import UsageError
from nnshell.support.files import read_text, write_atomically


def quantize_values_parser() -> Parser:
    parser = Parser(
        description="Quantize a handful of numbers with every calibrator: integers, scale, zero "
        "point, and how much of the error is rounding and how much clipping.",
        example="quantize_values -0.16 -0.04 0.07 -0.08 0 -0.09 15 --levels 255",
    )
    add = parser.add_argument
    add("numbers", nargs="*", type=float, help="Numbers to quantize.")
    add("--file", metavar="FILE", completer=cmd2.Cmd.path_complete,
        help="Read the numbers from a text file.")  # fmt: skip
    add("--bits", type=int, default=8, metavar="BITS", help="Bits of the integers.")
    add("--levels", type=int, metavar="N",
        help="Number of integers in use (255: -127 to 127); all by default.")  # fmt: skip
    add("--clip_type", default="all", metavar="TYPE", choices=("all", *quantized_values.CLIP_TYPES),
        help="Calibrator to use.")  # fmt: skip
    add("--form", default="all", choices=("all", *quantized_values.FORMS),
        help="Form of the integers.")  # fmt: skip
    add("--json", metavar="FILE", completer=cmd2.Cmd.path_complete,
        help="Write the rows to a file, as JSON.")  # fmt: skip
    add_table_options(parser)
    return parser


class WorkedCommands(Commands):
    """Commands that show arithmetic on numbers of one's own."""

    DEFAULT_CATEGORY = "Quantize"

    @cmd2.with_argparser(quantize_values_parser)
    def do_quantize_values(self, args: argparse.Namespace) -> None:
        """Quantize numbers with every calibrator."""
        numbers = [*args.numbers, *(_numbers_in(args.file) if args.file else ())]
        rows = quantized_values.quantize_values(
            numbers,
            bits=args.bits,
            levels=args.levels,
            clip_types=_chosen(args.clip_type, quantized_values.CLIP_TYPES),
            forms=_chosen(args.form, quantized_values.FORMS),
        )
        if args.json:
            text = json.dumps([row.to_json() for row in rows])
            write_atomically(Path(args.json), f"{text}\n".encode())
        self.show(value_tables.summary_table(rows), args)
        if args.format in ("table", "plain") and not args.csv:
            self.show_beside(value_tables.integer_table(numbers, rows), args)


def _chosen(name: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return names if name == "all" else (name,)


def _numbers_in(file: str) -> list[float]:
    """Numbers of a text file, between blanks, commas or new lines."""
    words = read_text(Path(file)).replace(",", " ").split()
    try:
        return [float(word) for word in words]
    except ValueError as error:
        raise UsageError(f"not a list of numbers: {error}", where=file) from None
