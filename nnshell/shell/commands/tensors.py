"""`dump` and `tensors`: the values themselves."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cmd2
from cmd2 import Choices

from nnshell.shell.api import engines, flow, quantization_tables, select, tensor_text, tensors
from nnshell.shell.commands.base import Commands
from nnshell.shell.completion import complete_selector
from nnshell.shell.options import add_format_option, add_input_options
from nnshell.shell.parser import Parser, not_here
from nnshell.support.errors import UsageError
from nnshell.support.files import write_atomically

if TYPE_CHECKING:
    from nnshell.execution.engines import EngineName
    from nnshell.inputs.input_set import InputSet
    from nnshell.shell.app import Shell
    from nnshell.shell.progress import Progress


_ENGINES = ("float", "int8", "reference", "lowered", "native", "simulated")


def dump_parser() -> Parser:
    parser = Parser(
        description="Run the graph on inputs and print, keep or write the output of every step: "
        "floats, or with -q the integers that the chip computes.",
        example="dump sample:test -q --limit 4 --npz tensors.npz",
    )
    add = parser.add_argument
    add(
        "-q",
        "--quantize",
        action="store_true",
        help="Run the int8 graph instead of the float graph.",
    )
    add(
        "-A",
        "--quantize_all_steps",
        action="store_true",
        help="Run each int8 step alone, on the float graph's tensors.",
    )
    add("--engine", choices=_ENGINES,
        help="Engine that runs the graph; below 8 bits, simulated gives real numbers.")  # fmt: skip
    add(
        "-d",
        "--dequantize",
        action="store_true",
        help="Print real values instead of integers (with -q or -A).",
    )
    add(
        "-s",
        "--step",
        metavar="SELECTOR",
        completer=complete_selector,
        help="Keep only these nodes.",
    )
    add("-c", "--channel", type=int, metavar="N", help="Print this channel only.")
    add(
        "-w",
        "--number_width",
        type=int,
        default=8,
        metavar="N",
        help="Number of characters of a printed value.",
    )
    add(
        "-p",
        "--precision",
        type=int,
        default=4,
        metavar="N",
        help="Number of decimals of a printed value.",
    )
    add("--checksum", action="store_true", help="Print CRC-32 checksums instead of values.")
    add(
        "--npz",
        metavar="FILE",
        completer=cmd2.Cmd.path_complete,
        help="Write arrays to an .npz file; the first axis counts the images.",
    )
    add("-S", "--save", metavar="NAME", help="Keep the tensors under this name for `tensors`.")
    add_input_options(parser)
    not_here(parser, "--npz FILE writes arrays without pickle", "-P", "--pickle", nargs=1)
    not_here(parser, "-A -s STEP prints it", "-Q", "--quantize_step", nargs=1)
    not_here(parser, "use -d", "--quantize_and_dequantize")
    not_here(parser, "detection heads are not drawn", "-v", "--visualize_detection")
    not_here(parser, "fusions are dumped as FUSION and FUSION/INNER", "--append_fusion_output")
    return parser


def tensors_parser() -> Parser:
    parser = Parser(
        description="List stored tensors (`dump -S NAME`), print or compare them.",
        example="tensors -t floats integers",
    )
    add = parser.add_argument
    add("-t", "--tensors", nargs="+", metavar="NAME", choices_provider=store_names,
        help="Stored tensors: one to print, or two to compare.")  # fmt: skip
    add(
        "-s",
        "--step",
        metavar="SELECTOR",
        completer=complete_selector,
        help="Keep only these nodes.",
    )
    add("-n", "--sample", type=int, default=0, metavar="N", help="Number of the image to print.")
    add("-c", "--channel", type=int, metavar="N", help="Print this channel only.")
    add("--write_numpy", metavar="FILE", completer=cmd2.Cmd.path_complete,
        help="Write the tensors to an .npz file.")  # fmt: skip
    add("-X", "--clear", action="store_true", help="Forget all stored tensors.")
    add_format_option(parser)
    for short, name in (("-Q", "--qsnr"), ("-C", "--cos"), ("-E", "--error")):
        add(
            short,
            name,
            action="store_true",
            help="Accepted for old scripts: all measures are shown.",
        )
    add("-m", "--makefile", action="store_true", help="Accepted for old scripts, without effect.")
    not_here(parser, "further outputs of a node are stored as NODE#1", "--index", nargs=1)
    not_here(parser, "there is no device to read from", "-g", "--gap_load", nargs=1)
    return parser


def store_names(shell: Shell) -> Choices:
    return Choices.from_values(list(shell.session.tensors))


class TensorCommands(Commands):
    """Commands about the values of tensors."""

    DEFAULT_CATEGORY = "Check the result"

    @cmd2.with_argparser(dump_parser)
    def do_dump(self, args: argparse.Namespace) -> None:
        """Print, keep or write the output of every step."""
        printing = not args.save and not args.npz
        holding = not printing or self._cmd.python_listens or self._cmd.in_pyscript()
        with self.inputs(args, "" if printing else "running") as (inputs, done):
            parts = self._parts(inputs, args, done, printing=printing)
            if holding:
                self._keep(tensors.joined(parts), args)
            for _ in parts:
                pass

    def _parts(
        self, inputs: InputSet, args: argparse.Namespace, done: Progress, *, printing: bool
    ) -> Iterator[dict[str, Any]]:
        """The tensors of a batch at a time: memory does not grow with the number of images."""
        graph, keys = self.graph(), self._keys(args.step)
        chosen: EngineName = flow.quantized_engine(self.project()) if args.quantize else "float"
        engine = args.engine or chosen
        engine = "isolated" if args.quantize_all_steps else engine
        for batch, result in flow.run_batches(
            self.project(), inputs, engine, keys=keys, progress=done
        ):
            real = args.dequantize and engine not in ("float", "simulated")
            computed = tensors.dequantized(graph, result) if real else dict(result)
            if printing:
                self._print(computed, batch.names, args)
            yield computed

    def _keep(self, computed: dict[str, Any], args: argparse.Namespace) -> None:
        self._cmd.last_result = computed  # what Python scripts get
        if args.save:
            self.session.tensors[args.save] = computed
        if args.npz:
            write_atomically(Path(args.npz), partial(tensors.write_npz, computed))

    def _keys(self, selector: str | None) -> list[str] | None:
        """The tensors that a selector names; constants are not computed."""
        if selector is None:
            return None
        chosen = select.select(self.graph(), selector)
        computed = set(engines.tensor_keys(self.graph()))
        keys = [key for key, _ in chosen if key in computed]
        if not keys:
            hint = f"`weights {selector} --values` prints constants"
            raise UsageError(f"only constants match '{selector}'", hint=hint)
        return keys

    def _print(self, computed: Any, names: tuple[str, ...], args: argparse.Namespace) -> None:
        layout = {"width": args.number_width, "precision": args.precision, "channel": args.channel}
        for number, name in enumerate(names):
            self.write(name)
            for key, array in computed.items():
                if args.checksum:
                    self.write(f"{key}: {tensor_text.checksum(array[number]):08x}")
                else:
                    self.write(tensor_text.tensor_text(key, array[number], **layout))

    @cmd2.with_argparser(tensors_parser)
    def do_tensors(self, args: argparse.Namespace) -> None:
        """List, print or compare stored tensors."""
        if args.clear:
            self.session.tensors.clear()
        chosen = [self._stored(name, args.step) for name in args.tensors or ()]
        if args.write_numpy and chosen:
            write_atomically(Path(args.write_numpy), partial(tensors.write_npz, chosen[0]))
        elif not chosen:
            self.show(tensor_text.store_table(self.session.tensors), args)
        elif len(chosen) == 1:
            for key, array in chosen[0].items():
                self.write(tensor_text.tensor_text(key, array[args.sample], channel=args.channel))
        else:
            title = " against ".join(args.tensors[:2])
            compared = tensors.compare_stored(chosen[0], chosen[1])
            self.show(quantization_tables.comparison_table(title, compared), args)

    def _stored(self, name: str, selector: str | None) -> dict[str, Any]:
        if name not in self.session.tensors:
            raise UsageError(f"nothing is stored as '{name}'", hint="`dump INPUTS -S NAME` does")
        held: dict[str, Any] = self.session.tensors[name]
        keys = self._keys(selector)
        return held if keys is None else {key: held[key] for key in keys if key in held}
