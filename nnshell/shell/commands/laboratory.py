"""Experiments: export of the simulation, sensitivity, mixed precision."""

from __future__ import annotations

import argparse

import cmd2

from nnshell.shell.api import (
    experiment_tables,
    flow,
    mixed,
    sensitivity,
    studies,
)
from nnshell.shell.commands.base import Commands
from nnshell.shell.options import add_cluster_option, add_input_options, add_table_options
from nnshell.shell.parser import Parser
from nnshell.shell.progress import progress
from nnshell.support.errors import UsageError


def export_parser() -> Parser:
    parser = Parser(
        description="Write the graph as ONNX: its float meaning, or quantized, with a "
        "QuantizeLinear and DequantizeLinear pair after every tensor (qdq). `export c FOLDER` "
        "writes the quantized graph as a project in portable C.",
        example="export c lenet_c/",
    )
    add = parser.add_argument
    add("file", completer=cmd2.Cmd.path_complete, help="File to write, or `c` for a C project.")
    add(
        "folder",
        nargs="?",
        completer=cmd2.Cmd.path_complete,
        help="Folder to write the C project to.",
    )
    add(
        "--form",
        choices=("float", "qdq"),
        help="Form of the ONNX file (default: qdq if the graph is quantized).",
    )
    add(
        "--batch",
        type=int,
        metavar="N",
        help="Number of samples that one call of the C program runs (1).",
    )
    add(
        "--layout",
        choices=("planned", "simple"),
        help="Memory plan of the C program: tensors share memory (planned), or each has "
        "its own (simple).",
    )
    return parser


def sensitivity_parser() -> Parser:
    parser = Parser(
        description="Quantize each node alone, and all but each node, with the bits and clip types "
        "of the last aquant; the node that does most harm comes first. Below: what to try with the "
        "worst, and what it makes of the output's noise.",
        example="sensitivity sample:test --limit 20",
    )
    add_cluster_option(parser)
    add_input_options(parser)
    add_table_options(parser)
    return parser


def mixed_parser() -> Parser:
    parser = Parser(
        description="Choose the bits of each node's weights, as few bytes as a loss of accuracy "
        "allows or as little noise as a size allows, and quantize so (simulated).",
        example="mixed sample:test --limit 20 --drop 0.5",
    )
    parser.add_argument(
        "--drop", type=float, metavar="POINTS", help="Accuracy that may be lost, in points."
    )
    parser.add_argument(
        "--size", type=int, metavar="BYTES", help="Size of all weights and biases, in bytes."
    )
    add_input_options(parser)
    add_table_options(parser)
    return parser


class LaboratoryCommands(Commands):
    """Commands that experiment with bits."""

    DEFAULT_CATEGORY = "Quantize"

    @cmd2.with_argparser(export_parser)
    def do_export(self, args: argparse.Namespace) -> None:
        """Write the graph as ONNX, or as a project in C."""
        if args.file == "c" and args.folder is not None:
            self._export_c(args)
            return
        for name in ("folder", "batch", "layout"):
            if getattr(args, name) is not None:
                raise UsageError("only a C project has a folder, --batch and --layout",
                                 hint="export c FOLDER")  # fmt: skip
        form = flow.export(self.project(), args.file, args.form)
        self.write(f"wrote {args.file} ({form})")

    def _export_c(self, args: argparse.Namespace) -> None:
        if args.form is not None:
            raise UsageError("--form is for ONNX files", hint=f"export c {args.folder}")
        written = flow.export_c(
            self.project(),
            args.folder,
            batch=1 if args.batch is None else args.batch,
            layout=args.layout or "planned",
        )
        self.write(
            f"wrote {args.folder} ({len(written.files)} files): {written.arena_bytes:,} bytes of "
            f"RAM for tensors, {written.constant_bytes:,} bytes of constants; "
            f"`make -C {args.folder}` builds model_main"
        )

    @cmd2.with_argparser(sensitivity_parser)
    def do_sensitivity(self, args: argparse.Namespace) -> None:
        """Rank nodes by what quantizing them costs."""
        project, batches = self.project(), self.batches(args)
        graph, basis = project.graph, project.basis
        count = sensitivity.steps_to_try(graph)
        with self.cluster(args) as cluster, progress("trying nodes", count) as done:
            trials = None if cluster is None else cluster.trials(project, batches)
            result = sensitivity.sensitivity(graph, basis, batches, done, trials)
        advice = sensitivity.advise(graph, basis, batches, result)
        title = f"{graph.name}: sensitivity"
        self.show(project.keep(experiment_tables.sensitivity_table(title, result, advice)), args)

    @cmd2.with_argparser(mixed_parser)
    def do_mixed(self, args: argparse.Namespace) -> None:
        """Give each node's weights the bits they need."""
        project, batches = self.project(), self.batches(args)
        graph = project.graph
        with progress("trying widths", mixed.mixture_steps(graph)) as done:
            result = studies.mixed(
                project, batches, drop=args.drop, size_bytes=args.size, progress=done
            )
        table = experiment_tables.mixture_table(f"{graph.name}: mixed precision", result)
        self.show(project.keep(table), args)
