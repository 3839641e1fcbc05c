"""Looking at what integers cost: records, errors, accuracy, tensors."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import cmd2

from nnshell.session.running import stream_runner
from nnshell.shell.api import flow, labels, quantization_tables, scores, select, tensor_text
from nnshell.shell.commands.base import Commands, write_json
from nnshell.shell.completion import complete_selector
from nnshell.shell.options import (
    add_cluster_option,
    add_input_options,
    add_table_options,
    input_options,
)
from nnshell.shell.parser import Parser, not_here
from nnshell.shell.progress import progress
from nnshell.support.errors import GraphError, UsageError

if TYPE_CHECKING:
    from nnshell.execution.engines import EngineName
    from nnshell.execution.scores import ScoreReport
    from nnshell.execution.validation import ValidationReport
    from nnshell.session.project import Project


_METRICS = ("top1", "top5", "binary", "mse", "mae", "bce", "psnr", "iou")
_QUANTIZED_ENGINES = ("int8", "reference", "lowered", "native", "simulated")


def qshow_parser() -> Parser:
    parser = Parser(
        description="Show scales, zero points, multipliers and shifts: where OUT_SCALE in "
        "model.h comes from. A step alone is shown with all its channels.",
        example="qshow 3",
    )
    parser.add_argument(
        "selector", nargs="?", completer=complete_selector, help="Nodes to show (`help selectors`)."
    )
    add_table_options(parser)
    return parser


def qerror_parser() -> Parser:
    parser = Parser(
        description="Compare integers with floats on images, step by step, worst first.",
        example="qerror sample:test",
    )
    add = parser.add_argument
    add("-i", "--inner", action="store_true", help="Show the layers inside fusions as well.")
    add("--engine", choices=_QUANTIZED_ENGINES,
        help="Engine of the quantized graph; simulated below 8 bits.")  # fmt: skip
    add("-s", "--step", action="store_true",
        help="Run each step alone on exact inputs, so that only its own error shows.")  # fmt: skip
    add("-r", "--report_lowest", type=float, metavar="DB",
        help="List the samples whose outputs are below this QSNR, instead of steps.")  # fmt: skip
    add_input_options(parser)
    add_table_options(parser)
    not_here(parser, "integers are compared with floats", "--compare_quantized")
    return parser


def compare_parser() -> Parser:
    parser = Parser(
        description="Run the arithmetic of a quantized model file (ONNX Runtime, LiteRT) beside "
        "that of the chip, and name the first layer where they part. Without INPUTS there are 16 "
        "random samples.",
        example="compare model_int8.onnx sample:test",
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        completer=cmd2.Cmd.path_complete,
        help="Quantized model (.onnx, .tflite); it is opened with -q unless the graph is its own.",
    )
    add_input_options(parser, "*")
    add_table_options(parser)
    parser.add_argument(
        "--json",
        metavar="FILE",
        completer=cmd2.Cmd.path_complete,
        help="Write rows and totals to a file, as JSON.",
    )
    return parser


def validate_parser() -> Parser:
    parser = Parser(
        description="Count right answers on labelled images: the label is the number at the end "
        "of the file name (cat_3.png), the folder, or in the .npz, CIFAR-10 or MNIST file.",
        example="validate sample:test -q",
    )
    add = parser.add_argument
    engine = parser.add_mutually_exclusive_group()
    engine.add_argument("-q", "--quantize", dest="engine", action="store_const", const="int8",
                        help="Run the int8 graph instead of the float graph.")  # fmt: skip
    engine.add_argument(
        "--engine",
        choices=("float", "int8", "reference", "lowered", "native", "simulated"),
        help="Engine that runs the graph: int8 is the fastest of native (compiled C), lowered "
        "(ONNX Runtime) and reference (numpy), which agree to the bit.",
    )
    add(
        "-s",
        "--silent",
        action="store_true",
        help="Accepted for old scripts: only totals are shown.",
    )
    add("--metric", choices=_METRICS,
        help="What is measured; the shape of the output decides by default.")  # fmt: skip
    add("--predictions", action="store_true", help="Show a row for each image.")
    add("--confusion", action="store_true", help="Show a table of labels against predictions.")
    add(
        "--json",
        metavar="FILE",
        completer=cmd2.Cmd.path_complete,
        help="Write the totals to a file, as JSON.",
    )
    add(
        "--prediction_step_idx",
        default="-1",
        metavar="STEP",
        completer=complete_selector,
        help="Step (or node) whose output is the answer.",
    )
    add(
        "--labels",
        "--label_json",
        dest="label_json",
        metavar="FILE",
        completer=cmd2.Cmd.path_complete,
        help="Read labels from a file: lines of NAME LABEL, of LABEL in order, or JSON.",
    )
    add("--stream", action="store_true", help="Take the samples as parts of one stream, in order: "
        "recurrent layers go on from the state that the sample before has left.")  # fmt: skip
    add("--class_number", type=int, metavar="N", help="Take all images to be of this class.")
    add("--binary_classification", action="store_true",
        help="Read one output value: class 1 above --class_thr, else class 0.")  # fmt: skip
    add(
        "--class_thr",
        type=float,
        default=0.0,
        metavar="X",
        help="Threshold of --binary_classify (0).",
    )
    add("--progress_every", type=int, metavar="N", help="Accepted for old scripts, without effect.")
    add("--dataset_dir", metavar="DIR", help="Accepted for old scripts, without effect.")
    add_cluster_option(parser)
    add_input_options(parser)
    add_table_options(parser)
    not_here(parser, "use --labels", "--vww_instances_file", nargs=1)
    return parser


class ResultCommands(Commands):
    """Commands that check results."""

    DEFAULT_CATEGORY = "Check the result"

    @cmd2.with_category("Quantize")
    @cmd2.with_argparser(qshow_parser)
    def do_qshow(self, args: argparse.Namespace) -> None:
        """Show scales, zero points, multipliers and shifts."""
        graph = self.graph()
        keys = [key for key, _ in select.select(graph, args.selector)] if args.selector else None
        self.show(quantization_tables.qshow_table(graph, keys), args)
        if keys and len(keys) == 1 and args.format in ("table", "plain") and not args.csv:
            channels = quantization_tables.channel_table(graph, keys[0])
            if channels is not None:
                self.show_beside(channels, args)

    @cmd2.with_argparser(qerror_parser)
    def do_qerror(self, args: argparse.Namespace) -> None:
        """Compare integers with floats, worst first."""
        graph = self.graph()
        if args.report_lowest is not None:
            self._report_lowest(args)
            return
        with self.inputs(args, "comparing") as (inputs, done):
            compared = flow.compare(
                self.project(),
                inputs,
                inner=args.inner,
                isolated=args.step,
                engine=args.engine,
                progress=done,
            )
        name = args.engine or flow.quantized_engine(self.project())
        alone = ", each step alone" if args.step else f", {name} engine" if name != "int8" else ""
        title = f"{graph.name}: integers against floats{alone}"
        self.show(quantization_tables.comparison_table(title, compared, worst_first=True), args)

    def _report_lowest(self, args: argparse.Namespace) -> None:
        project, limit = self.project(), args.report_lowest
        with self.inputs(args, "comparing") as (inputs, done):
            result = flow.compare_samples(project, inputs, progress=done)
        self.show(quantization_tables.sample_table(project.name, result, limit), args)

    @cmd2.with_argparser(compare_parser)
    def do_compare(self, args: argparse.Namespace) -> None:
        """Run a quantized file's own arithmetic beside the chip's."""
        project = self._quantized_file(args.model)
        if args.input_files:
            images = flow.load_inputs(args.input_files, options=input_options(args))
            inputs = images.open(project)
            with progress("comparing", len(inputs)) as done:
                compared = flow.compare_file(project, inputs, progress=done)
        else:
            compared = flow.compare_file(project)
        if args.json:
            write_json(args.json, compared.to_json())
        title = f"{project.name}: the chip's integers against the file's own"
        self.show(quantization_tables.file_table(title, compared), args)

    def _quantized_file(self, path: str) -> Project:
        """The current project where it is the file's, else the file opened and fused."""
        project = self.project() if self.session.opened else None
        if project is not None and project.from_file is not None:
            source = project.graph.source
            if source is not None and source.path.resolve() == Path(path).resolve():
                return project
        opened = flow.open_graph(path, load_quantization=True)
        if opened.imported is None:
            raise GraphError(f"{opened.name} holds no quantization")
        flow.adjust(opened)
        flow.fuse(opened, "scale8")
        return opened

    @cmd2.with_argparser(validate_parser)
    def do_validate(self, args: argparse.Namespace) -> None:
        """Count right answers on labelled images."""
        output, _ = select.select_one(self.graph(), args.prediction_step_idx)
        with self.cluster(args) as cluster, self.inputs(args, "validating") as (inputs, done):
            if args.class_number is not None:
                inputs = inputs.with_labels([args.class_number] * len(inputs))
            if args.label_json:
                inputs = inputs.with_labels(labels.read_labels(args.label_json, inputs.names))
            engine: EngineName = args.engine or "float"
            runner = None if cluster is None else cluster.runner(self.project())
            if args.stream and cluster is not None:
                hint = "leave --cluster out"
                raise UsageError("a stream runs in order, on one machine", hint=hint)
            runner = stream_runner(self.project()) if args.stream else runner
            metric = self._metric(args, output)
            if metric in scores.METRICS:
                scored = flow.evaluate(
                    self.project(),
                    inputs,
                    engine,
                    metric,
                    output=output,
                    progress=done,
                    runner=runner,
                )
                self._show_scores(scored, args)
                return
            report = flow.validate(
                self.project(),
                inputs,
                engine,
                output=output,
                threshold=args.class_thr if metric == "binary" else None,
                progress=done,
                runner=runner,
            )
        if args.json:
            write_json(args.json, report.to_json())
        self._show_report(report, args)
        self.session.partial = not report.complete

    def _metric(self, args: argparse.Namespace, output: str) -> str:
        """What is asked for, or what the shape of the output suggests, with a word about it."""
        if args.binary_classification:
            return "binary"
        if args.metric:
            return str(args.metric)
        metric = scores.natural_metric(self.graph(), output)
        if metric not in scores.METRICS:
            return "top1"
        shape = self.graph()[output].type
        self._cmd.note(f"the output ({shape}) is no list of classes: metric {metric} (--metric)")
        return metric

    def _show_scores(self, report: ScoreReport, args: argparse.Namespace) -> None:
        if args.json:
            write_json(args.json, report.to_json())
        self.write_lines(scores.describe_scores(report))
        self.session.partial = not report.complete

    def _show_report(self, report: ValidationReport, args: argparse.Namespace) -> None:
        drawn = args.svg and not args.confusion
        rows = args.predictions or args.format != "table" or args.csv or drawn
        if rows:
            self.show(tensor_text.prediction_table(report), args)
        else:
            self.write_lines(tensor_text.accuracy_lines(report))
        if args.confusion:
            show = self.show_beside if rows else self.show
            show(tensor_text.confusion_table(report), args)
