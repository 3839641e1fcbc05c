"""Training: quantization-aware, or in float, and weights to begin with."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cmd2

from nnshell.shell.api import (
    flow,
    trainer,
    training_config,
    training_options,
    training_tables,
)
from nnshell.shell.commands.base import Commands
from nnshell.shell.completion import complete_selector, complete_tuning
from nnshell.shell.options import (
    add_input_options,
    add_table_options,
    input_options,
    option_value,
)
from nnshell.shell.parser import Parser
from nnshell.shell.progress import described, progress
from nnshell.support.errors import UsageError
from nnshell.support.files import read_text, write_atomically

if TYPE_CHECKING:
    from nnshell.inputs.input_set import InputSet
    from nnshell.learning.training.options import TrainingOptions
    from nnshell.session.training import Progress

_BITS = (2, 3, 4, 5, 6, 7, 8, 32)
_NUMBERS = (
    ("epochs", int, "N", "Epochs, 1 unless it is given."),
    ("batch", int, "N", "Samples of a step, 64 unless it is given."),
    ("lr", float, "X", "Learning rate: 0.0003 (adam) or 0.01 (sgd) unless it is given."),
    ("momentum", float, "X", "Momentum of sgd, 0.9 unless it is given."),
    ("weight_decay", float, "X", "Weight decay, of weights and of PACT's clips."),
    ("warm_up", float, "EPOCHS", "Epochs in which the learning rate grows."),
    ("patience", int, "N", "Stop after N epochs without progress."),
    ("label_smoothing", float, "X", "Share of each label that all classes get."),
    ("temperature", float, "T", "What softens answers in distillation, 4 unless it is given."),
    ("crop", int, "PIXELS", "Move images at random by up to so many pixels."),
    ("held_out", float, "SHARE", "Share of the samples that only judge, 0.1 unless it is given."),
    ("clip_norm", float, "X", "Longest gradient of a step, 5 unless it is given; 0: any."),
)
_FIELDS = {"lr": "rate"}  # names of options that are others in Python


def qat_parser() -> Parser:
    parser = Parser(
        description="Train the weights of the graph on INPUTS while weights and activations are "
        "rounded as they will be (quantization-aware training), and quantize it with what was "
        "learned. The first and the last filter keep 8-bit weights. Needs torch. "
        "`help training` explains quantizers, losses and what is kept.",
        example="qat sample:calibration --weight_bits 4 --act_bits 4 --epochs 2",
    )
    group = parser.add_argument_group("quantization in training")
    add = group.add_argument
    add("--quantizer", choices=("lsq", "lsq+", "qat", "dorefa", "pact", "none"),
        help="Quantizer, lsq unless it is given; none trains in float.")  # fmt: skip
    for name, what in (("weight_bits", "weights"), ("act_bits", "activations"),
                       ("end_bits", "weights of the first and the last filter")):  # fmt: skip
        add(f"--{name}", type=int, choices=_BITS, metavar="BITS",
            help=f"Bits of {what}, 8 unless they are given; 32: float.")  # fmt: skip
    add("--gradient_bits", type=int, metavar="BITS",
        help="Round gradients to so many bits at random (dorefa).")  # fmt: skip
    add("--step", nargs="+", action="append", metavar="SELECTOR KEY=VALUE",
        completer=complete_tuning,
        help="Other options for some nodes, as `qtune --step`.")  # fmt: skip
    add("--config", metavar="FILE", completer=cmd2.Cmd.path_complete,
        help="Read which layers have how many bits from a JSON list (quant_types, quant_bits, "
        "op_types, op_names); the rest stays float.")  # fmt: skip
    add("--calibration_config", metavar="FILE", completer=cmd2.Cmd.path_complete,
        help="Write bits, scales, zero points and ranges of each layer as JSON.")  # fmt: skip
    _add_training(parser)
    add_input_options(parser)
    add_table_options(parser)
    parser.checks.append(_options)
    return parser


def _add_training(parser: Parser) -> None:
    group = parser.add_argument_group("training")
    add = group.add_argument
    for name, kind, metavar, text in _NUMBERS:
        add(f"--{name}", type=kind, metavar=metavar, help=text)
    add("--optimizer", choices=("adam", "sgd"), help="Optimizer, adam unless it is given.")
    add("--schedule", choices=("cosine", "step", "constant"),
        help="How the learning rate falls, cosine unless it is given.")  # fmt: skip
    add("--loss", choices=("auto", "cross_entropy", "distill", "mse", "vae"),
        help="Loss; auto: cross-entropy with labels, else the float graph's answers.")  # fmt: skip
    add("--flip", action="store_const", const=True, help="Mirror images at random.")
    add("--checkpoint", metavar="FILE", completer=cmd2.Cmd.path_complete,
        help="Keep the run in a file, every minute and after every epoch.")  # fmt: skip
    add("--resume", action="store_true", help="Go on with the run in the file of --checkpoint.")


def init_parser() -> Parser:
    parser = Parser(
        description="Give filters random weights to train from (He initialization) and biases of "
        "0. A quantized graph becomes a float graph.",
        example="init all --seed 1",
    )
    parser.add_argument("selector", completer=complete_selector,
                        help="Filters, or `all`.")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="S",
                        help="Seed: equal seeds, equal weights.")  # fmt: skip
    return parser


def _options(args: argparse.Namespace) -> TrainingOptions:
    """What the command line says about training; UsageError for values that do not exist."""
    names = [name for name, *_ in _NUMBERS]
    names += ["quantizer", "weight_bits", "act_bits", "end_bits", "gradient_bits"]
    names += ["optimizer", "schedule", "loss", "flip", "seed"]
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    values = {_FIELDS.get(name, name): value for name, value in given.items()}
    if args.resume and not args.checkpoint:
        raise UsageError("--resume needs the file of the run", hint="--checkpoint FILE --resume")
    if args.step and args.config:
        raise UsageError("--step and --config do not go together")
    nodes = {words[0]: _tuning(words) for words in args.step or ()}
    options: TrainingOptions = training_options.TrainingOptions(**values, nodes=nodes)
    return options


def _tuning(words: list[str]) -> dict[str, Any]:
    if len(words) < 2:
        raise UsageError("--step takes a selector and options", hint="--step NODE weight_bits=6")
    return dict(option_value(pair) for pair in words[1:])


class TrainingCommands(Commands):
    """Commands that train."""

    DEFAULT_CATEGORY = "Quantize"

    @cmd2.with_argparser(qat_parser)
    def do_qat(self, args: argparse.Namespace) -> None:
        """Train with everything rounded as it will be."""
        trainer.check_torch("qat")
        project, options = self.project(), _options(args)
        if args.config:
            options = training_config.with_config(project.graph, options, _entries(args.config))
        images = flow.load_inputs(args.input_files, options=input_options(args), split="train")
        inputs = images.open(project)
        with self._watched(inputs, options) as told:
            training = trainer.train_with(
                project,
                inputs,
                options,
                checkpoint=Path(args.checkpoint) if args.checkpoint else None,
                resume=args.resume,
                progress=told,
            )
        table = training_tables.training_table(project.name, training)
        project.tables.append(table)
        self.show(project.keep(table), args)
        if args.calibration_config and training.applied and options.quantized:
            content = training_config.calibration_config(project.graph)
            write_atomically(
                Path(args.calibration_config), (json.dumps(content, indent=1) + "\n").encode()
            )
            self._cmd.note(f"wrote {args.calibration_config}")

    @contextmanager
    def _watched(self, inputs: InputSet, options: TrainingOptions) -> Iterator[Progress]:
        """Bars on a terminal, and a line for every epoch."""
        held = round(len(inputs) * (1 - options.held_out)) * options.epochs
        with progress("reading", len(inputs)) as read, described("training", held) as bar:
            yield trainer.Progress(
                read,
                lambda moment: bar(
                    moment.samples, training_tables.moment_text(moment, options.epochs)
                ),
                lambda entry: self._cmd.note(training_tables.epoch_text(entry, options.epochs)),
            )

    @cmd2.with_argparser(init_parser)
    def do_init(self, args: argparse.Namespace) -> None:
        """Give filters random weights to train from."""
        paths = trainer.initialize(self.project(), args.selector, args.seed)
        self.write(f"He weights, seed {args.seed}: {', '.join(paths)}")


def _entries(path: str) -> Any:
    try:
        return json.loads(read_text(path))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON", hint=str(error)) from None
