"""What the chip gets: estimates and generated files."""

from __future__ import annotations

import argparse
import os
from functools import partial
from typing import TYPE_CHECKING

import cmd2

from nnshell.shell.api import (
    codegen,
    flow,
    simulation,
    simulation_tables,
    simulation_text,
    states,
    tensor_text,
    tensors,
)
from nnshell.shell.commands.base import Commands, write_json
from nnshell.shell.completion import complete_selector
from nnshell.shell.options import add_cluster_option, add_input_options, add_table_options
from nnshell.shell.parser import Parser, not_here
from nnshell.support.errors import GraphError, UsageError
from nnshell.support.settings import Settings

if TYPE_CHECKING:
    from nnshell.chips import SimulationReport
    from nnshell.inputs.input_set import InputSet


_MACHINE = ("csv", "json")
_OF_ONE_SETTING = ("summary", "explain", "tiled", "memory", "trace")


def simulate_parser() -> Parser:
    parser = Parser(
        description="Estimate cycles, memory and energy of one inference on GAP8, layer by layer. "
        "With INPUTS, the int8 graph also runs on them and the predictions are shown.",
        example="simulate sample:test --limit 5",
    )
    add = parser.add_argument
    path = cmd2.Cmd.path_complete
    add("--summary", action="store_true", help="Print the summary without the table of layers.")
    add("--explain", metavar="NODE", completer=complete_selector,
        help="Explain what a layer costs, and why (`help selectors`).")  # fmt: skip
    add("--tiled", action="store_true", help="Run INPUTS tile by tile through the planned buffers.")
    add("--memory", action="store_true", help="Show what lies where in L2, as a map and a table.")
    add("--json", metavar="FILE", completer=path, help="Write the report to a file, as JSON.")
    add("--trace", metavar="FILE", completer=path,
        help="Write a timeline for chrome://tracing or Perfetto.")  # fmt: skip
    add("--kernels", metavar="NAME", help="Kernel library or file to use instead of `set kernels`.")
    add(
        "--chip",
        metavar="FILE",
        completer=path,
        help="File that describes another chip, as chip.toml does GAP8.",
    )
    _add_sweep_options(parser)
    add_cluster_option(parser)
    add_input_options(parser, files="*")
    add_table_options(parser)
    return parser


def _add_sweep_options(parser: Parser) -> None:
    group = parser.add_argument_group("what if: one table of all combinations of LIST (1,2,4)")
    for name, text in (
        ("cores", "cores of the cluster"),
        ("fc_freq", "clocks of the fabric controller in Hz, such as 150M"),
        ("cl_freq", "clocks of the cluster in Hz"),
        ("voltage", "volt; clocks that are not listed are what it allows"),
        ("l1", "L1 budgets in bytes, such as 48k"),
        ("l2", "L2 budgets in bytes"),
    ):
        group.add_argument(f"--{name}", metavar="LIST", help=text)


def gen_parser() -> Parser:
    parser = Parser(
        description="Write the files for the chip's tool chain: the AutoTiler model, its header "
        "and the constants. Without any option the model is printed.",
        example="gen -M build -T build/tensors -t --header_file model.h",
    )
    add = parser.add_argument
    path = cmd2.Cmd.path_complete
    add(
        "model_file",
        nargs="?",
        metavar="FILE",
        completer=path,
        help="Model file to write (model.c).",
    )
    add(
        "-M",
        "--model_directory",
        metavar="DIR",
        completer=path,
        help="Folder to write the model to.",
    )
    add(
        "-T",
        "--tensor_directory",
        metavar="DIR",
        completer=path,
        help="Folder to write the constants to.",
    )
    add("-t", "--output_tensors", action="store_true", help="Write the constants as well.")
    add("-H", "--header_file", metavar="FILE", help="Header file to write as well.")
    add("--anonymise", action="store_true", default=None, help="Replace node names by hashes.")
    add(
        "--basic_kernel_source_file",
        metavar="FILE",
        help="File for the generated expression kernels.",
    )
    add(
        "--basic_kernel_header_file",
        metavar="FILE",
        help="Header of the generated expression kernels.",
    )
    not_here(parser, "`dump --checksum` prints checksums", "-c", "--checksums", nargs=1)
    return parser


def gen_project_parser() -> Parser:
    parser = Parser(
        description="Write an application for the GAP SDK around the network: model, state, "
        "Makefile, main.c, README. Files that are there are kept, but for the state.",
        example="gen_project lenet_app",
    )
    add = parser.add_argument
    add("directory", metavar="DIR", completer=cmd2.Cmd.path_complete, help="folder to write to")
    add("-o", "--overwrite", action="store_true", help="Replace files that are there.")
    reason = "the application's main.c marks where inputs and outputs belong"
    for option, nargs in (
        *(("--test_results", 0), ("--dump_tensors", 0), ("--save_inputs", 0)),
        *(("--tolerance", 1), ("--input_file", 1), ("--input_tensors", 1)),
    ):
        not_here(parser, reason, option, nargs=nargs)
    not_here(parser, "the application has a Makefile of its own", "--atproject")
    return parser


class ChipCommands(Commands):
    """Commands about the chip."""

    DEFAULT_CATEGORY = "Put it on the chip"

    @cmd2.with_argparser(simulate_parser)
    def do_simulate(self, args: argparse.Namespace) -> None:
        """Estimate cycles, memory and energy on GAP8."""
        lists = {name: getattr(args, name) for name in simulation.SWEPT if getattr(args, name)}
        if lists:
            self._sweep(lists, args)
            return
        _check_form(args)
        if args.cluster is not None:
            raise UsageError("--cluster is for lists", hint="simulate --l1 32k,48k,64k --cluster A")
        report = simulation.one_inference(self.project(), kernels=args.kernels, chip=args.chip)
        trace = partial(simulation.chrome_trace, report)
        for path, content in ((args.json, report.to_json), (args.trace, trace)):
            if path is not None:
                write_json(path, content())
        remark = simulation.remark(self.project())
        if remark and args.format == "table":
            self.write(remark)
        predicting = bool(args.input_files) and not args.tiled
        summary_last = predicting and args.format == "table"  # long tables would scroll it away
        if summary_last:
            self._predict(args)
        self._show_simulation(report, args)
        if args.tiled:
            self._run_tiled(report, args)
        elif predicting and not summary_last:
            self._predict(args)

    def _sweep(self, lists: dict[str, str], args: argparse.Namespace) -> None:
        _refuse_with_lists(lists, args)
        with self.cluster(args) as cluster:
            chip = args.chip or self.session.settings.chip or None
            run = None if cluster is None else cluster.points(self.project(), chip)
            result = simulation.sweep(
                self.project(), lists, kernels=args.kernels, chip=args.chip, run=run
            )
        if args.json is not None:
            write_json(args.json, simulation_tables.sweep_json(result))
        self.show(self.project().keep(simulation_tables.sweep_table(result)), args)

    def _run_tiled(self, report: SimulationReport, args: argparse.Namespace) -> None:
        with self.inputs(args, "running tile by tile") as (inputs, done):
            runs = simulation.tiled(self.project(), report, inputs.batches(1), done)
        self.show_beside(simulation_tables.tiled_table(runs), args)
        if not all(run.equal for run in runs):
            raise GraphError(
                "the tiled run differs from the whole int8 run", where=report.network.name
            )

    def _show_simulation(self, report: SimulationReport, args: argparse.Namespace) -> None:
        if args.memory and args.format in _MACHINE:
            self.show(simulation_tables.memory_table(report), args)
            return
        if args.explain is not None:
            result = simulation.explain_layer(self.project(), report, args.explain)
            self.write_lines(simulation_text.explanation(report, result))
        elif args.summary:
            self.write_lines((*simulation_text.summary(report), *simulation.levers(report)))
        elif not args.memory:
            self.show(simulation_tables.layer_table(report), args)
        if args.memory:
            self.write_lines(simulation_text.memory_map(report))
            self.show(simulation_tables.memory_table(report), args)

    def _predict(self, args: argparse.Namespace) -> None:
        """The int8 graph on inputs: the class of each, or else what every output says."""
        project = self.project()
        graph = project.graph
        with self.inputs(args, "running int8") as (inputs, done):
            classes = tensor_text.class_count(graph)
            if classes is None:
                parts = flow.run_batches(
                    project,
                    inputs,
                    "int8",
                    keys=[node.name for node in graph.outputs],
                    progress=done,
                )
                real = ((b.names, tensors.dequantized(graph, result)) for b, result in parts)
                table = tensor_text.output_table(graph.name, real)
            else:
                report = flow.validate(project, _labelled(inputs, classes), "int8", progress=done)
                table = tensor_text.prediction_table(report)
        self.show_beside(table, args)

    @cmd2.with_argparser(gen_parser)
    def do_gen(self, args: argparse.Namespace) -> None:
        """Write the files for the chip's tool chain."""
        if args.model_file is None and not args.output_tensors and args.model_directory is None:
            self.write(codegen.render_model(self.graph(), self.session.settings).rstrip())
            return
        directory, name = os.path.split(args.model_file or "")
        files = codegen.generate(
            self.graph(),
            self._settings(args),
            model_directory=directory or args.model_directory,
            model_file=name or None,
            tensor_directory=args.tensor_directory,
            header_file=args.header_file,
            anonymise=args.anonymise,
            dump_tensors=args.output_tensors,
        )
        self.write("\n".join(f"wrote {path}" for path in files.all() if path not in files.tensors))
        count, size = len(files.tensors), files.constant_bytes
        self.write(f"wrote {count} constants, {size:,} bytes" if count else "no constants written")

    @cmd2.with_argparser(gen_project_parser)
    def do_gen_project(self, args: argparse.Namespace) -> None:
        """Write an application for the GAP SDK."""
        files = states.generate_project(self.project(), args.directory, overwrite=args.overwrite)
        kept = [str(path) for path, written in files.items() if not written]
        self.write_lines([f"wrote {path}" for path, written in files.items() if written])
        if kept:
            self._cmd.note(f"kept, because they are there: {', '.join(kept)} (-o replaces them)")

    def _settings(self, args: argparse.Namespace) -> Settings:
        """The session's settings, with the names that the command gives."""
        settings = self.session.settings.copy()
        for name in ("basic_kernel_source_file", "basic_kernel_header_file"):
            if getattr(args, name) is not None:
                settings.assign(name, getattr(args, name))
        return settings


def _check_form(args: argparse.Namespace) -> None:
    """Refuse what a command cannot do together, before it writes anything."""
    if args.tiled and not args.input_files:
        raise UsageError("--tiled needs inputs", hint="simulate sample:test --tiled")
    for name in ("summary", "explain"):
        if getattr(args, name) and args.format in _MACHINE:
            raise UsageError(
                f"--{name} is text, not {args.format}", hint="--json FILE writes all numbers"
            )


def _refuse_with_lists(lists: dict[str, str], args: argparse.Namespace) -> None:
    """What belongs to one setting is not done for many."""
    values = [f"--{name}" for name in _OF_ONE_SETTING if getattr(args, name)]
    values += ["INPUTS"] if args.input_files else []
    if values:
        raise UsageError(
            f"{values[0]} is for one setting, --{next(iter(lists))} makes a table of many",
            hint="leave one of them out, or `set` the one value first",
        )


def _labelled(inputs: InputSet, classes: int) -> InputSet:
    """The inputs without the labels that are none of the network's classes."""
    labels = [n if n is not None and 0 <= n < classes else None for n in inputs.labels]
    return inputs.with_labels(labels)
