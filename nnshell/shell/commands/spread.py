"""How values are spread: `weights`, `stats`, `astats`."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cmd2

from nnshell.shell.api import (
    distribution_tables,
    distributions,
    engines,
    flow,
    image_sets,
    studies,
    tensor_text,
    text_histogram,
)
from nnshell.shell.commands.base import Commands
from nnshell.shell.completion import complete_selector
from nnshell.shell.options import add_input_options, add_table_options
from nnshell.shell.parser import Parser, not_here
from nnshell.support.errors import UsageError

if TYPE_CHECKING:
    from nnshell.reports.distributions import Distribution

_KEPT = (
    "kept by the last calibration: ranges, and after --clip_type mse, entropy and others that need "
    "them histograms; `activations INPUTS` looks at more"
)
_WIDTH = 80  # of pictures that do not go to a terminal


def weights_parser() -> Parser:
    parser = Parser(
        description="Show how weights and biases are spread: range, mean, sigma, how many lie "
        "outside 1, 2, 3 and 5 sigma (what --weight_clip std3 would cut), a histogram.",
        example="weights",
    )
    parser.add_argument(
        "selector", nargs="?", completer=complete_selector, help="Nodes to show (`help selectors`)."
    )
    add = parser.add_argument
    add("--channels", action="store_true", help="Show a row for each output channel.")
    _add_hist_option(parser)
    add("--values", action="store_true", help="Print the values themselves.")
    add("--int", action="store_true", help="Print the integers of a quantized graph.")
    add("--channel", type=int, metavar="N", help="Print the values of this channel only.")
    add_table_options(parser)
    return parser


def _add_hist_option(parser: Parser) -> None:
    parser.add_argument(
        "--hist",
        action="store_true",
        help="Draw a histogram of each, with lines at 1, 2 and 3 sigma and the integers' range.",
    )


def stats_parser() -> Parser:
    parser = Parser(
        description="Show how weights and biases are spread, and the Q format that holds them.",
        example="stats",
    )
    _add_kept_options(parser)
    return parser


def activations_parser() -> Parser:
    return _activations_parser("activations sample:test --limit 20")


def astats_parser() -> Parser:
    return _activations_parser("astats sample:test --limit 20")


def _activations_parser(example: str) -> Parser:
    parser = Parser(
        description="Run the float graph on inputs and show how the output of every layer is "
        "spread: range, mean, sigma, how many values lie outside 3, 1, 2 and 5 sigma, how many are "
        "0, a histogram. Before `fusions` the layers are those of the model file. Without INPUTS: "
        "what the last calibration kept.",
        example=example,
    )
    _add_hist_option(parser)
    add_input_options(parser, files="*")
    _add_kept_options(parser)
    return parser


def _add_kept_options(parser: Parser) -> None:
    add_table_options(parser)
    parser.add_argument(
        "-q", "--qsnr", type=float, metavar="DB", help="Accepted for old scripts, without effect."
    )
    parser.add_argument(
        "-d", "--detail", action="store_true", help="Accepted for old scripts, without effect."
    )
    not_here(parser, "use `weights`, or `dump` of the step", "-s", "--step", nargs=1)


class SpreadCommands(Commands):
    """Commands about how values are spread."""

    DEFAULT_CATEGORY = "Check the result"

    @cmd2.with_argparser(weights_parser)
    def do_weights(self, args: argparse.Namespace) -> None:
        """Show how weights are spread."""
        graph = self.graph()
        names = distributions.constants_of(graph, args.selector) if args.selector else None
        if args.values or args.int:
            self._values(args, names)
            return
        result = distributions.constant_distributions(graph, names, channels=args.channels)
        if args.hist:
            self._histograms(result)
            return
        title = f"{graph.name}: constants"
        self.show(distribution_tables.distribution_table(title, result), args)

    def _values(self, args: argparse.Namespace, names: set[str] | None) -> None:
        """The values of constants, floats or integers."""
        if names is None:
            raise UsageError("which constant?", hint="weights NODE --values")
        graph = self.graph()
        for name, values in distributions.constant_values(graph, names, integers=args.int):
            channel = args.channel if values.ndim else None
            self.write(tensor_text.tensor_text(name, values, channel=channel))

    def _histograms(self, entries: Sequence[Distribution]) -> None:
        """Each as a picture of characters, as wide as the terminal."""
        room = shutil.get_terminal_size().columns if self._cmd.stdout.isatty() else _WIDTH
        pictures = [
            "\n".join(text_histogram.text_histogram(entry.as_histogram(), room))
            for entry in entries
            if entry.histogram
        ]
        self._cmd.write_long("\n\n".join(pictures))

    @cmd2.with_argparser(stats_parser)
    def do_stats(self, args: argparse.Namespace) -> None:
        """Show how weights are spread, as NNTool's stats."""
        graph = self.graph()
        result = distributions.constant_distributions(graph)
        self.show(distribution_tables.distribution_table(f"{graph.name}: constants", result), args)

    @cmd2.with_argparser(activations_parser)
    def do_activations(self, args: argparse.Namespace) -> None:
        """Show how activations are spread."""
        self._activations(args)

    @cmd2.with_argparser(astats_parser)
    def do_astats(self, args: argparse.Namespace) -> None:
        """Show how activations are spread, by NNTool's name."""
        self._activations(args)

    def _activations(self, args: argparse.Namespace) -> None:
        project, notes = self.project(), studies.activation_notes(self.project())
        if args.input_files:
            result = self._measured(args)
        else:
            result = studies.kept_activations(project)
            notes = (_KEPT, *notes)
        if args.hist and any(entry.histogram for entry in result):
            self._histograms(result)
            return
        title = f"{project.name}: activations"
        self.show(distribution_tables.distribution_table(title, result, notes), args)

    def _measured(self, args: argparse.Namespace) -> list[Distribution]:
        """The outputs of the float graph on INPUTS."""
        graph = self.graph()
        engine = engines.make_engine(graph, "float", everything=True)
        with self.inputs(args, "running") as (inputs, done):
            batches = image_sets.noted(inputs, flow.batch_size(graph))
            return distributions.activation_distributions(graph, batches, engine.run, progress=done)
