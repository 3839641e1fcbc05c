"""Tables in one command: `sweep` over quantization options, `size`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cmd2

from nnshell.shell.api import flow, project_sizes, size_table, studies, sweeps
from nnshell.shell.commands.base import Commands, write_json
from nnshell.shell.options import (
    add_cluster_option,
    add_input_options,
    add_table_options,
    input_options,
)
from nnshell.shell.parser import Parser
from nnshell.shell.progress import progress
from nnshell.support.errors import UsageError

if TYPE_CHECKING:
    from nnshell.experiments.sweep import Row, Spread
    from nnshell.inputs.options import InputOptions
    from nnshell.quantization import Statistics

_AXES = (
    ("bits", "Bits of weights and activations: a list such as 8,6,4,3."),
    ("weight_bits", "Bits of weights: a list."),
    ("act_bits", "Bits of activations: a list."),
    ("clip_type", "Calibrators of activations: a list such as none,mse,kth."),
    ("weight_clip", "Calibrators of weights: a list such as none,std3,std2,std1."),
    ("quantized_dimension", "Scales of weights: channel, tensor, or both in a list."),
    ("allow_asymmetric_out", "Whether outputs may have a zero point: true,false."),
    (
        "quantize",
        "What is quantized: a list of nothing, weights, activations, all, bias=float, "
        "bias=int32, bias=unscaled.",
    ),
    ("calibration", "Numbers of calibration samples: a list such as 1,10,100."),
)


def sweep_parser() -> Parser:
    parser = Parser(
        description="Quantize with every combination of options and measure each on INPUTS: one "
        "row each. Every option takes a list. Ranges come from --calibrate_on, by default the "
        "inputs themselves; the graph stays as it is. Ctrl-C keeps the rows that are done.",
        example="sweep sample:test --calibrate_on sample:calibration --bits 8,4",
    )
    group = parser.add_argument_group("options to combine")
    for name, text in _AXES:
        group.add_argument(f"--{name}", metavar="A,B,...", help=text)
    group.add_argument("--option", action="append", metavar="KEY=A,B", default=[],
                       help="Any other option of aquant: narrow_weights=true,false.")  # fmt: skip
    add = parser.add_argument
    add("--published", metavar="FILE", completer=cmd2.Cmd.path_complete,
        help="CSV file of options and `accuracy` in percent, to print beside.")  # fmt: skip
    add("--calibrate_on", metavar="FILES", completer=cmd2.Cmd.path_complete,
        help="Files to calibrate on.")  # fmt: skip
    add("--json", metavar="FILE", completer=cmd2.Cmd.path_complete,
        help="Write the rows to a file, as JSON.")  # fmt: skip
    add_cluster_option(parser)
    add_input_options(parser)
    add_table_options(parser)
    return parser


def size_parser() -> Parser:
    parser = Parser(
        description="Show how large the network is: parameters in float and quantized, files of "
        "each form, memory on the chip.",
        example="size",
    )
    parser.add_argument("--json", metavar="FILE", completer=cmd2.Cmd.path_complete,
                        help="Write the sizes to a file, as JSON.")  # fmt: skip
    add_table_options(parser)
    return parser


def _pair(text: str) -> tuple[str, str]:
    """The option and the list of ``KEY=A,B``."""
    key, equals, values = text.partition("=")
    if not equals:
        raise UsageError(f"--option {text} has no list", hint="--option narrow_weights=true,false")
    return key.strip(), values


def _calibration_options(args: argparse.Namespace, samples: int | None) -> InputOptions:
    """Input options for calibration: --limit and --seed are those of INPUTS alone."""
    options = input_options(args)
    if args.calibrate_on:
        return replace(options, limit=samples, seed=None)
    return options if samples is None else replace(options, limit=samples)


class TableCommands(Commands):
    """Commands that make a whole table."""

    DEFAULT_CATEGORY = "Check the result"

    @cmd2.with_argparser(sweep_parser)
    def do_sweep(self, args: argparse.Namespace) -> None:
        """Measure every combination of quantization options."""
        lists = {name: getattr(args, name) for name, _ in _AXES if getattr(args, name)}
        lists |= dict(_pair(text) for text in args.option)
        axes = {name: sweeps.values_of(name, text) for name, text in lists.items()}
        published = sweeps.read_published(args.published) if args.published else ()
        if not axes:
            raise UsageError("no option has a list", hint="sweep INPUTS --bits 8,6,4")
        count = len(sweeps.combinations(axes))
        batches = self.batches(args)
        with self.cluster(args) as cluster:
            spread = None if cluster is None else cluster.rows(self.project(), batches)
            rows, complete = self._rows(args, axes, batches, count, spread)
        if args.json:
            write_json(args.json, [row.to_json() for row in rows])
        samples = sum(len(batch) for batch in batches)
        project = self.project()
        table = studies.keep_sweep(
            project, axes, rows, samples, complete=complete, published=published
        )
        self.show(table, args)
        self.session.partial = not complete

    def _rows(
        self,
        args: argparse.Namespace,
        axes: dict[str, list[Any]],
        batches: Any,
        count: int,
        spread: Spread | None,
    ) -> tuple[list[Row], bool]:
        """The rows in order, all of them unless Ctrl-C ended the sweep after the first."""
        rows: dict[int, Row] = {}
        complete = True
        base = self.project().quantization_options
        try:
            with progress("sweeping", count) as done:
                for place, row in sweeps.sweep(
                    self.graph(), axes, batches, self._calibration(args), base, spread
                ):
                    rows[place] = row
                    done(1)
        except KeyboardInterrupt:
            if not rows:
                raise
            complete = False
        return [rows[place] for place in sorted(rows)], complete

    def _calibration(self, args: argparse.Namespace) -> Any:
        """How a row with so many samples is calibrated."""
        files = [args.calibrate_on] if args.calibrate_on else args.input_files

        def calibrate(samples: int | None, clip_types: frozenset[str]) -> Statistics:
            twin = self.project().copy()
            images = flow.load_inputs(files, options=_calibration_options(args, samples))
            return flow.calibrate(twin, images, clip_type=clip_types)

        return calibrate

    @cmd2.with_argparser(size_parser)
    def do_size(self, args: argparse.Namespace) -> None:
        """Show how large the network is."""
        sizes = project_sizes.measure_sizes(self.project())
        if args.json:
            write_json(args.json, sizes.to_json())
        title = f"{sizes.model}: sizes"
        rows, sentences = sizes.rows(), sizes.sentences()
        self.show(size_table.size_table(title, rows, sentences, sizes.to_json()), args)
