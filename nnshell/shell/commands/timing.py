"""`speed`: how fast the engines are here."""

from __future__ import annotations

import argparse

import cmd2

from nnshell.shell.api import flow, speed, speed_table
from nnshell.shell.commands.base import Commands, write_json
from nnshell.shell.options import add_format_option
from nnshell.shell.parser import Parser
from nnshell.support.errors import UsageError


def speed_parser() -> Parser:
    parser = Parser(
        description="Time the engines: float, and int8 lowered to ONNX Runtime and in compiled C. "
        "Inputs are prepared as at the last aquant. The fastest of five rounds counts.",
        example="speed sample:test",
    )
    add = parser.add_argument
    add("input_files", nargs="+", completer=cmd2.Cmd.path_complete, metavar="INPUTS",
        help="Files, globs, folders, .npz or .npy files.")  # fmt: skip
    add("--batch", type=int, default=64, metavar="N", help="Number of images in a batch (64).")
    add("--threads", type=int, metavar="N", help="Number of threads beside one (every core).")
    add("--json", metavar="FILE", completer=cmd2.Cmd.path_complete,
        help="Write the rows to a file, as JSON.")  # fmt: skip
    add_format_option(parser)
    return parser


class TimingCommands(Commands):
    """Commands about time on this machine."""

    DEFAULT_CATEGORY = "Check the result"

    @cmd2.with_argparser(speed_parser)
    def do_speed(self, args: argparse.Namespace) -> None:
        """Time the engines on images."""
        if args.batch < 1 or (args.threads is not None and args.threads < 1):
            raise UsageError("batches and threads are counted from 1", hint="--batch 64")
        project = self.project()
        inputs = flow.load_inputs(args.input_files, limit=args.batch)
        samples = speed.joined(flow.batches_of(project, inputs))
        target = project.settings.int8_target
        times = speed.engine_times(
            project.graph, samples, batch=args.batch, threads=args.threads, target=target
        )
        if args.json:
            write_json(args.json, [time.to_json() for time in times])
        self.show(speed_table.speed_table(f"{project.name}: engines", times), args)
