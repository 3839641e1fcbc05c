"""Calibration and quantization."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cmd2

from nnshell.shell.api import edits, flow, image_sets, quantization_options
from nnshell.shell.commands.base import Commands
from nnshell.shell.completion import complete_tuning
from nnshell.shell.options import (
    add_input_options,
    add_quantization_options,
    input_options,
    option_value,
    options_file,
    quantization_values,
)
from nnshell.shell.parser import Parser
from nnshell.support.errors import UsageError
from nnshell.support.files import write_atomically

if TYPE_CHECKING:
    from nnshell.quantization import QuantizationOptions

_DONE = "Quantization set. Use qshow command to see it."


def aquant_parser() -> Parser:
    parser = Parser(
        description="Run the float graph on images to see the range of every tensor, and "
        "quantize it: give each tensor a scale and a zero point.",
        example="aquant sample:calibration -D 128 -O -1",
    )
    add_input_options(parser, files="*")
    parser.add_argument(
        "--stats", metavar="FILE", completer=cmd2.Cmd.path_complete,
        help="Take the ranges from a file instead of from images.",
    )  # fmt: skip
    add_quantization_options(parser)
    return parser


def fquant_parser() -> Parser:
    parser = Parser(
        description="Quantize with ranges of random inputs: for trying things out only.",
        example="fquant --uniform 1.0",
    )
    add = parser.add_argument
    add(
        "--uniform",
        type=float,
        default=0.0,
        metavar="MAX",
        help="Draw inputs uniformly from -MAX to MAX.",
    )
    add(
        "--normal",
        type=float,
        default=0.2,
        metavar="SCALE",
        help="Draw inputs from a normal distribution of this deviation.",
    )
    add("--num_inference", type=int, default=1, metavar="N", help="Number of random inputs.")
    add(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="Seed of the random inputs: equal seeds give equal inputs.",
    )
    add_quantization_options(parser)
    return parser


def qtune_parser() -> Parser:
    parser = Parser(
        description="Quantize again with other options for some nodes, from the ranges at hand. "
        f"KEY is one of {', '.join(quantization_options.ACCEPTED)}.",
        example="qtune --step * clip_type=std3",
    )
    parser.add_argument(
        "--step", nargs="+", action="append", metavar=("SELECTOR", "KEY=VALUE"),
        completer=complete_tuning, help="Nodes (`help selectors`) and the options to set for them.",
    )  # fmt: skip
    parser.add_argument(
        "--json", metavar="FILE", completer=cmd2.Cmd.path_complete,
        help="Read the same from a JSON file: {SELECTOR: {KEY: VALUE}}.",
    )  # fmt: skip
    parser.checks.append(_check_tuning)
    return parser


def _check_tuning(args: argparse.Namespace) -> None:
    options = quantization_options.QuantizationOptions()
    for selector, *pairs in args.step or ():
        options.with_node(selector, dict(map(option_value, pairs)))


def qtunesave_parser() -> Parser:
    parser = Parser(
        description="Write the quantization options of the graph and of single nodes to a file, "
        "to be edited and read by `qtune --json`.",
        example="qtunesave options.json",
    )
    parser.add_argument("file", completer=cmd2.Cmd.path_complete, help="File to write.")
    return parser


class QuantizeCommands(Commands):
    """Commands that quantize."""

    DEFAULT_CATEGORY = "Quantize"

    @cmd2.with_argparser(aquant_parser)
    def do_aquant(self, args: argparse.Namespace) -> None:
        """Calibrate on images and quantize."""
        options = self._options(args)
        if args.stats:
            flow.quantize(self.project(), args.stats, options)
        elif args.input_files:
            self._calibrate(args, options)
        else:
            raise UsageError("no input files", hint="`aquant FILES`, or --stats FILE")
        self.write(_DONE)

    @cmd2.with_argparser(fquant_parser)
    def do_fquant(self, args: argparse.Namespace) -> None:
        """Quantize with ranges of random inputs."""
        project, options = self.project(), self._options(args)
        ranges = flow.calibrate_randomly(
            project,
            uniform=args.uniform,
            normal=args.normal,
            num_inference=args.num_inference,
            seed=args.seed,
            clip_type=options.clip_types,
        )
        flow.quantize(project, ranges, options)
        self.write(_DONE)

    def _calibrate(self, args: argparse.Namespace, options: QuantizationOptions) -> None:
        project, clip_types = self.project(), options.clip_types
        with self.inputs(args, "calibrating", "train") as (inputs, done):
            ranges = flow.calibrate(project, inputs, clip_type=clip_types, progress=done)
        project.input_options = image_sets.resolve_options(project, input_options(args)).options
        flow.quantize(project, ranges, options, inputs=args.input_files)

    @cmd2.with_argparser(qtune_parser)
    def do_qtune(self, args: argparse.Namespace) -> None:
        """Quantize some nodes differently."""
        selected: dict[str, dict[str, Any]] = options_file(args.json) if args.json else {}
        for selector, *pairs in args.step or ():
            selected.setdefault(selector, {}).update(map(option_value, pairs))
        if not selected:
            raise UsageError("nothing to tune", hint="`qtune --step SELECTOR KEY=VALUE`")
        edits.tune(self.project(), selected)
        self.write("quantization options set")

    @cmd2.with_argparser(qtunesave_parser)
    def do_qtunesave(self, args: argparse.Namespace) -> None:
        """Write the quantization options to a file."""
        values = edits.tuning(self.project())
        write_atomically(Path(args.file), (json.dumps(values, indent=1) + "\n").encode())
        self.write(f"saved quantization options to {args.file}")

    def _options(self, args: argparse.Namespace) -> QuantizationOptions:
        values = {**(options_file(args.json) if args.json else {}), **quantization_values(args)}
        return quantization_options.QuantizationOptions.from_mapping(values)
