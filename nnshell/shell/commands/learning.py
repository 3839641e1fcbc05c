"""Improvements that need no training: equalization, bias correction, scales, learned rounding."""

from __future__ import annotations

import argparse

import cmd2

from nnshell.shell.api import (
    adaround,
    flow,
    improve,
    learning_tables,
    outliers,
    studies,
)
from nnshell.shell.commands.base import Commands
from nnshell.shell.options import add_input_options, add_table_options
from nnshell.shell.parser import Parser
from nnshell.shell.progress import progress
from nnshell.support.errors import UsageError


def weight_equalization_parser() -> Parser:
    parser = Parser(
        description="Scale channels between two filters so that their weights on both sides reach "
        "equally far (cross-layer equalization); float results stay the same. A graph that is "
        "quantized is calibrated again on INPUTS; kept when its output is less noisy.",
        example="weight_equalization sample:calibration",
    )
    parser.add_argument(
        "--threshold", type=float, default=0.01, metavar="X",
        help="Stop when no factor changes by more than X.",
    )  # fmt: skip
    add_input_options(parser, files="*")
    add_table_options(parser)
    return parser


def bcorr_parser() -> Parser:
    parser = Parser(
        description="Correct biases by the shift of means that quantization causes, layer by "
        "layer on calibration images; needs no labels. Kept when the output is less noisy.",
        example="bcorr sample:calibration --limit 20",
    )
    parser.add_argument(
        "--analytic", action="store_true",
        help="Take means from batch norms; INPUTS only judge the result.",
    )  # fmt: skip
    add_input_options(parser)
    return parser


def scale_search_parser() -> Parser:
    parser = Parser(
        description="Search the scales of weights and the ranges of activations that leave the "
        "least error of the layers' outputs on INPUTS. Kept when the output is less noisy.",
        example="scale_search sample:calibration --limit 20",
    )
    add_input_options(parser)
    return parser


def adaround_parser() -> Parser:
    parser = Parser(
        description="Learn how to round weights on calibration images, without labels, so that "
        "layers make what they make in float: gptq makes up for each rounding error by the "
        "weights that are still free; brecq and network (need torch) go on from the integers there "
        "are and learn the scales of activations as well, brecq block by block, network all layers "
        "at once, which is best with 1000 images or more. Kept when the output is less noisy.",
        example="adaround sample:calibration --limit 20",
    )
    add = parser.add_argument
    add("--method", choices=("gptq", "brecq", "network"), default="gptq",
        help="Method: in closed form (gptq), or by gradients.")  # fmt: skip
    add("--ranges", action="store_true",
        help="Tune the ranges of activations afterwards.")  # fmt: skip
    add("--iterations", type=int, metavar="N",
        help="Steps for each block (brecq, 200) or in all (network, 400).")  # fmt: skip
    add("--drop", type=float, default=0.5, metavar="P",
        help="Share of activations that brecq leaves unrounded (QDrop).")  # fmt: skip
    add_input_options(parser)
    return parser


def outliers_parser() -> Parser:
    parser = Parser(
        description="Which channel forces the scale of each tensor, worst first: of the weights "
        "of filters, or of what nodes make on INPUTS.",
        example="outliers sample:test --limit 20",
    )
    add_input_options(parser, files="*")
    add_table_options(parser)
    return parser


class LearningCommands(Commands):
    """Commands that choose integers better than rounding to the nearest."""

    DEFAULT_CATEGORY = "Quantize"

    @cmd2.with_argparser(weight_equalization_parser)
    def do_weight_equalization(self, args: argparse.Namespace) -> None:
        """Even out channels between filters."""
        project, batches = self.project(), None
        if args.input_files:
            batches = self.batches(args, "train")
        result = improve.equalize(project, batches, args.threshold)
        self.show(learning_tables.equalization_table(project.name, result.pairs), args)
        if result.change is not None:
            self.write(learning_tables.change_text(result.change, result.learned))

    @cmd2.with_argparser(bcorr_parser)
    def do_bcorr(self, args: argparse.Namespace) -> None:
        """Correct biases for the shift that quantization causes."""
        project = self.project()
        batches = self.batches(args, "train")
        if args.analytic:
            change = studies.correct_biases(project, batches, analytic=True)
        else:
            count = adaround.parts(project.graph, project.basis, batches)
            with progress("correcting", count) as done:
                change = studies.correct_biases(project, batches, progress=done)
        self.write(learning_tables.change_text(change))

    @cmd2.with_argparser(scale_search_parser)
    def do_scale_search(self, args: argparse.Namespace) -> None:
        """Search scales against the error of layers' outputs."""
        project = self.project()
        batches = self.batches(args, "train")
        with progress(
            "searching scales", adaround.parts(project.graph, project.basis, batches)
        ) as done:
            change = studies.search_scales(project, batches, progress=done)
        self.write(learning_tables.change_text(change))

    @cmd2.with_argparser(adaround_parser)
    def do_adaround(self, args: argparse.Namespace) -> None:
        """Learn how to round weights."""
        project = self.project()
        adaround.check_method(args.method)
        if (args.iterations is not None and args.iterations < 1) or not 0 <= args.drop < 1:
            raise UsageError("--iterations is 1 or more, --drop at least 0 and below 1")
        batches = self.batches(args, "train")
        with progress(
            "learning",
            adaround.parts(project.graph, project.basis, batches, args.method, args.iterations),
        ) as done:
            change = studies.adaround(
                project,
                batches,
                args.method,
                iterations=args.iterations,
                drop=args.drop,
                seed=args.seed or 0,
                tune_ranges=args.ranges,
                progress=done,
            )
        self.write(learning_tables.change_text(change))

    @cmd2.with_argparser(outliers_parser)
    def do_outliers(self, args: argparse.Namespace) -> None:
        """Show which channels force the scales."""
        project = self.project()
        if not args.input_files:
            result = outliers.weight_outliers(project.graph)
            self.show(project.keep(learning_tables.outlier_table(project.graph, result)), args)
            return
        with self.inputs(args, "reading") as (inputs, done):
            batches = flow.batches_of(project, inputs)
            result = outliers.activation_outliers(project.graph, batches, done)
        self.show(project.keep(learning_tables.outlier_table(project.graph, result)), args)
