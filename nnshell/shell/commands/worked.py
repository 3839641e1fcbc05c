"""The arithmetic at the prompt: `explain`, `quantize_values`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cmd2

from nnshell.shell.api import (
    arrays,
    distributions,
    explain,
    flow,
    formulas,
    quantized_values,
    scales,
    select,
    value_tables,
    worked,
)
from nnshell.shell.commands.base import Commands, write_json
from nnshell.shell.completion import complete_input, complete_selector
from nnshell.shell.options import add_input_options, add_table_options, input_options
from nnshell.shell.parser import Parser
from nnshell.support.errors import UsageError
from nnshell.support.files import read_text

if TYPE_CHECKING:
    from numpy.typing import NDArray


def quantize_values_parser() -> Parser:
    parser = Parser(
        description="Quantize a handful of numbers with every calibrator: integers, scale, zero "
        "point, and how much of the error is rounding and how much clipping.",
        example="quantize_values -0.16 -0.04 0.07 -0.08 0 -0.09 15 --levels 255",
    )
    add = parser.add_argument
    add("numbers", nargs="*", type=float, help="Numbers to quantize.")
    add("--file", metavar="FILE", completer=cmd2.Cmd.path_complete,
        help="Read the numbers from a text file or a .npy array.")  # fmt: skip
    add("--node", metavar="NODE", completer=complete_selector,
        help="Quantize the weights of a node, or with --input what it makes.")  # fmt: skip
    add("--input", metavar="FILES", completer=complete_input,
        help="Inputs that --node is run on, in float.")  # fmt: skip
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


def explain_parser() -> Parser:
    parser = Parser(
        description="Show where integers come from. `explain scales NODE`: the formulas of its "
        "scales with numbers; `explain formula [NODE]`: the same in symbols, or the chain of all "
        "layers; `explain dataflow NODE`: what was folded, and the bits at each step; "
        "`explain NODE`: one output value by hand, from the input's integers to the result.",
        example="explain _conv1_Conv_fusion --at 0,5,5 --input sample:test",
    )
    add = parser.add_argument
    add("what", completer=complete_selector,
        help="What to explain: scales, formula, dataflow, or a node to work through.")  # fmt: skip
    add("node", nargs="?", completer=complete_selector,
        help="Node to explain (`help selectors`).")  # fmt: skip
    add("--channel", type=int, default=0, metavar="N", help="Output channel to explain.")
    add("--at", type=_place, metavar="C,Y,X",
        help="Place of the output value; the middle by default.")  # fmt: skip
    add("--input", metavar="FILE", completer=cmd2.Cmd.path_complete,
        help="Input to run (its first sample); random numbers by default.")  # fmt: skip
    add("--json", metavar="FILE", completer=cmd2.Cmd.path_complete,
        help="Write the numbers of one value to a file, as JSON.")  # fmt: skip
    add_input_options(parser, files="")
    return parser


def _place(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a place such as 0,5,5") from None


class WorkedCommands(Commands):
    """Commands that show arithmetic on numbers of one's own."""

    DEFAULT_CATEGORY = "Quantize"

    @cmd2.with_argparser(explain_parser)
    def do_explain(self, args: argparse.Namespace) -> None:
        """Show where integers come from."""
        if args.what == "scales":
            self.write(self._scales(args))
        elif args.what == "formula":
            self.write(formulas.formula_text(self.graph(), args.node))
        elif args.what == "dataflow":
            self.write(self._dataflow(args))
        elif args.node is not None:
            raise UsageError(
                f"'{args.what}' cannot be explained", hint="explain scales, formula, dataflow, NODE"
            )
        else:
            self._value(args)

    def _scales(self, args: argparse.Namespace) -> str:
        project = self.project()
        selector = "*" if args.node is None else args.node
        clip = project.basis.options.kernel.weight_clip if project.quantized else "none"
        return scales.scales_text(project.graph, selector, args.channel, clip)

    def _dataflow(self, args: argparse.Namespace) -> str:
        project = self.project()
        if args.node is None:
            raise UsageError("which node?", hint="explain dataflow NODE")
        notes = project.pass_records, project.import_notes
        story = [
            line.note.text
            for line in explain.explain(project.graph, args.node, *notes)
            if line.note.done
        ]
        return formulas.dataflow_text(project.graph, args.node, story)

    def _value(self, args: argparse.Namespace) -> None:
        project = self.project()
        key, _ = select.select_one(project.graph, args.what)
        value = worked.work_through(project.graph, key, self._sample(args), args.at)
        if args.json:
            write_json(args.json, value.to_json())
        self.write_lines(value.lines)

    def _sample(self, args: argparse.Namespace) -> list[NDArray[Any]]:
        """The first sample of --input, or a random one of the range that calibration saw."""
        project = self.project()
        if args.input is None:
            return worked.random_sample(project.graph)
        images = flow.load_inputs([args.input], options=input_options(args))
        return [array[0] for array in images.open(project)[0].arrays]

    @cmd2.with_argparser(quantize_values_parser)
    def do_quantize_values(self, args: argparse.Namespace) -> None:
        """Quantize numbers with every calibrator."""
        numbers = [*args.numbers, *(_numbers_in(args.file) if args.file else ())]
        if args.node is not None:
            numbers += self._values_of(args)
        elif args.input is not None:
            raise UsageError("--input is for --node", hint="--node NODE --input FILES")
        rows = quantized_values.quantize_values(
            numbers,
            bits=args.bits,
            levels=args.levels,
            clip_types=_chosen(args.clip_type, quantized_values.CLIP_TYPES),
            forms=_chosen(args.form, quantized_values.FORMS),
        )
        if args.json:
            write_json(args.json, [row.to_json() for row in rows])
        self.show(value_tables.summary_table(rows), args)
        if args.format in ("table", "plain") and not args.csv:
            self.show_beside(value_tables.integer_table(numbers, rows), args)

    def _values_of(self, args: argparse.Namespace) -> list[float]:
        """Values of the weights that --node names, or of its float output on --input."""
        project = self.project()
        if args.input is None:
            names = distributions.constants_of(project.graph, args.node)
            values = [array for _, array in distributions.constant_values(project.graph, names)]
            if not values:
                raise UsageError(f"{args.node} has no weights", hint="--input FILES: what it makes")
            widest = max(values, key=lambda array: array.size)  # the weights, not the bias
            return [float(value) for value in widest.ravel()]
        key, _ = select.select_one(project.graph, args.node)
        images = flow.load_inputs([args.input])
        parts = flow.run_batches(project, images.open(project), "float", keys=[key])
        return [float(value) for _, result in parts for value in result[key].ravel()]


def _chosen(name: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return names if name == "all" else (name,)


def _numbers_in(file: str) -> list[float]:
    """Numbers of a text file, between blanks, commas or new lines."""
    if file.endswith(".npy"):
        return [float(value) for value in arrays.map_npy(file).ravel()]
    words = read_text(Path(file)).replace(",", " ").split()
    try:
        return [float(word) for word in words]
    except ValueError as error:
        raise UsageError(f"not a list of numbers: {error}", where=file) from None
