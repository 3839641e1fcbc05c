"""Changing the graph: passes, cuts, the image formatter, AutoTiler options."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import cmd2

from nnshell.reports.table import Cell, Column, Table
from nnshell.shell.api import catalogue, edits, explain, flow, image_format, recipe, select
from nnshell.shell.commands.base import Commands
from nnshell.shell.completion import (
    complete_selector,
    end_names,
    fusion_names,
    input_names,
    node_names,
    option_names,
)
from nnshell.shell.options import add_format_option
from nnshell.shell.parser import Parser, not_here
from nnshell.support.errors import UsageError

if TYPE_CHECKING:
    from nnshell.passes.manager import PassRecord
    from nnshell.session.project import Project

_GROUPS = (
    ("scale8", "scaled_match_group", "fusions for int8 (SQ8)"),
    ("pow2", "pow2_match_group", "fusions for the Qm.n kernels"),
    ("float", "float_match_group", "fusions for float kernels"),
)


def adjust_parser() -> Parser:
    parser = Parser(
        description="Order activations and weights as the chip's kernels want them (channels "
        "first): insert transposes, then remove those that cancel.",
        example="adjust",
    )
    add = parser.add_argument
    add("-n", "--no_postprocess", action="store_true", help="Insert transposes and remove none.")
    add("-o", "--one_cycle", action="store_true", help="Take one step of removing transposes.")
    add("-s", "--num_steps", type=int, metavar="N", help="Take N steps of removing transposes.")
    not_here(parser, "`adjust -s N` takes N steps", "-i", "--interactive")
    return parser


def fusions_parser() -> Parser:
    parser = Parser(
        description="Join layers that one kernel of the chip computes, and simplify the graph.",
        example="fusions --scale8",
    )
    which = parser.add_mutually_exclusive_group()
    for group, long_name, text in _GROUPS:
        names = [f"--{long_name}"] if group == "float" else [f"--{group}", f"--{long_name}"]
        which.add_argument(*names, dest="group", action="store_const", const=group, help=text)
    which.add_argument("-l", "--list", action="store_true", help="List all fusions.")
    which.add_argument(
        "--explain",
        metavar="NODE",
        completer=complete_selector,
        help="Explain what fused with a node, and why the rest did not.",
    )
    parser.add_argument(
        "-a", "--apply", nargs="+", metavar="NAME", choices_provider=fusion_names,
        help="Apply these fusions, in this order.",
    )  # fmt: skip
    parser.add_argument(
        "--no_postprocess", action="store_true", help="Accepted for old scripts, without effect."
    )
    add_format_option(parser)
    parser.checks.append(lambda args: catalogue.passes_named(args.apply or ()))
    return parser


def imageformat_parser() -> Parser:
    parser = Parser(
        description="Let the chip format the image: the input then takes raw pixels. A second "
        "call replaces the formatter, `none none` removes it.",
        example="imageformat input_1 rgb888 offset_int8",
    )
    parser.add_argument(
        "input", choices_provider=input_names, help="Graph input that takes the pixels."
    )
    parser.add_argument(
        "format",
        nargs="?",
        choices=tuple(image_format.FORMATS),
        help="Format of the camera's pixels.",
    )
    parser.add_argument("norm", nargs="?", choices=image_format.NORMS,
        help="How pixels become the network's integers.")  # fmt: skip
    return parser


def nodeoption_parser() -> Parser:
    parser = Parser(
        description="Show or set AutoTiler options of nodes; an option without value is cleared.",
        example="nodeoption input_1 ALLOCATE 1",
    )
    add = parser.add_argument
    add(
        "selector",
        nargs="?",
        completer=complete_selector,
        help="Nodes to set the option of (`help selectors`).",
    )
    add("key", nargs="?", choices_provider=option_names, help="Name of the AutoTiler option.")
    add("value", nargs="?", help="Value of the option; without it, the option is cleared.")
    parser.checks.append(_check_option_name)
    return parser


def _check_option_name(args: argparse.Namespace) -> None:
    if args.key is not None:
        edits.check_option_name(args.key)


def freeze_parser() -> Parser:
    parser = Parser(
        description="Keep the layout of graph inputs and outputs in adjust; again: no longer.",
        example="freeze input_1",
    )
    parser.add_argument(
        "names", nargs="+", choices_provider=end_names, help="Graph inputs or outputs to freeze."
    )
    parser.add_argument(
        "--transpose",
        type=_axes,
        metavar="AXES",
        help="Give it this order of axes, for example 2,0,1.",
    )
    return parser


def _axes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def remove_parser() -> Parser:
    parser = Parser(
        description="Cut the nodes between two nodes, or everything after one.",
        example="remove conv5",
    )
    add = parser.add_argument
    add("first", choices_provider=node_names, help="Node after which the graph is cut.")
    add("last", nargs="?", choices_provider=node_names, help="Node up to which the graph is cut.")
    add(
        "-u",
        "--up",
        action="store_true",
        help="Cut what is before the node instead of what is after it.",
    )
    add("--leave", action="store_true", help="Leave the ends open as graph inputs and outputs.")
    add(
        "--no_check",
        action="store_true",
        help="Accepted for old scripts: the graph is always checked.",
    )
    return parser


def extract_parser() -> Parser:
    parser = Parser(description="Keep one step, as a graph of its own.", example="extract 3")
    parser.add_argument("selector", completer=complete_selector, help="Step to keep.")
    return parser


def undo_parser() -> Parser:
    return Parser(description="Take back the last command that changed the graph.", example="undo")


def passes_parser() -> Parser:
    parser = Parser(
        description="List the passes that ran, how long each took and what it did.",
        example="passes",
    )
    parser.add_argument(
        "-a", "--all", action="store_true", help="Show passes that changed nothing as well."
    )
    add_format_option(parser)
    return parser


class PrepareCommands(Commands):
    """Commands that change the graph."""

    DEFAULT_CATEGORY = "Prepare the graph"

    @cmd2.with_argparser(adjust_parser)
    def do_adjust(self, args: argparse.Namespace) -> None:
        """Order tensors as the chip's kernels want them."""
        steps = 1 if args.one_cycle else args.num_steps
        self._report(flow.adjust(self.project(), postprocess=not args.no_postprocess, steps=steps))

    @cmd2.with_argparser(fusions_parser)
    def do_fusions(self, args: argparse.Namespace) -> None:
        """Join layers that one kernel computes."""
        if args.list:
            self._cmd.show(_catalogue(), args.format)
        elif args.explain:
            project = self.project()
            notes = project.pass_records, project.import_notes
            lines = explain.explain(project.graph, args.explain, *notes)
            self.write_lines([f"{line.pass_name}: {line.note.text}" for line in lines])
        elif args.group or args.apply:
            groups = [args.group] if args.group else []
            self._report(flow.fuse(self.project(), *groups, *(args.apply or ())))
        else:
            hint = "`fusions --scale8` is for int8, `fusions -l` lists all"
            self._cmd.warn(f"no set of fusions is chosen, so nothing is fused: {hint}")

    @cmd2.with_argparser(imageformat_parser)
    def do_imageformat(self, args: argparse.Namespace) -> None:
        """Let the chip format the image."""
        example = f"`imageformat {args.input} rgb888 offset_int8`"
        if args.format is None:
            self._cmd.warn(f"format and normalization are missing, as in {example}: no change")
            return
        if args.norm is None:
            raise UsageError("the normalization is missing", hint=f"as in {example}")
        self._report(edits.image_format(self.project(), args.input, args.format, args.norm))

    @cmd2.with_argparser(nodeoption_parser)
    def do_nodeoption(self, args: argparse.Namespace) -> None:
        """Show or set AutoTiler options of nodes."""
        if args.key is None:
            self._show_options(args.selector or "*")
            return
        for node in edits.node_option(self.project(), args.selector, args.key, args.value):
            done = "clear" if args.value is None else "set"
            self.write(f"{done} option {args.key.upper()} of {node.name}")

    def _show_options(self, selector: str) -> None:
        lines = [
            f"{node.name}: {key} {value}"
            for _, node in select.select(self.graph(), selector)
            for key, value in node.options.items()
        ]
        self.write_lines(lines or ["no options are set; `nodeoption NODE KEY VALUE` sets one"])

    @cmd2.with_argparser(freeze_parser)
    def do_freeze(self, args: argparse.Namespace) -> None:
        """Keep the layout of inputs and outputs."""
        self._report(edits.freeze(self.project(), args.names, transpose=args.transpose))

    @cmd2.with_argparser(remove_parser)
    def do_remove(self, args: argparse.Namespace) -> None:
        """Cut nodes out."""
        project, first, last = self.project(), args.first, args.last
        self._report(edits.remove(project, first, last, up=args.up, leave=args.leave))

    @cmd2.with_argparser(extract_parser)
    def do_extract(self, args: argparse.Namespace) -> None:
        """Keep one step only."""
        self._report(edits.extract(self.project(), args.selector))

    @cmd2.with_argparser(undo_parser)
    def do_undo(self, _: argparse.Namespace) -> None:
        """Take back the last command that changed the graph."""
        step = recipe.undo(self.project())
        self.write(f"took back: {step.line or step.command}")

    @cmd2.with_argparser(passes_parser)
    def do_passes(self, args: argparse.Namespace) -> None:
        """List the passes that ran."""
        self._cmd.show(_passes_table(self.project(), everything=args.all), args.format)

    def _report(self, records: list[PassRecord]) -> None:
        """One line per change."""
        changes = [note.text for record in records for note in record.notes if note.done]
        self.write_lines(changes or ["nothing to change"])


def _catalogue() -> Table:
    columns = (
        Column("Name"),
        Column("Effect", wraps=True),
        Column("Groups", detail=1),
        Column("NNTool", wraps=True, detail=2),
    )
    rows = tuple(
        (entry.name, entry.summary, ", ".join(entry.groups), ", ".join(entry.aliases))
        for entry in catalogue.catalogue()
    )
    return Table("Fusions, in the order in which groups run them", columns, rows)


def _passes_table(project: Project, *, everything: bool) -> Table:
    columns = (
        Column("Pass"),
        Column("Time", "right", "ms", digits=1),
        Column("Changes", "right"),
        Column("Notes", wraps=True),
    )
    read = [note.text for note in project.import_notes if note.absorbed]
    rows: list[tuple[Cell, ...]] = []
    if read:
        texts = "; ".join(text.removeprefix("reading the model, ") for text in read)
        rows.append(("reading the model", None, len(read), texts))
    for record in project.pass_records:
        if record.changed or everything:
            done = sum(note.done for note in record.notes)
            texts = "; ".join(note.text for note in record.notes)
            rows.append((record.name, record.seconds * 1e3, done, texts))
    nothing = () if rows else ("nothing has changed the graph yet: `adjust` and `fusions` do",)
    return Table(f"{project.name}: passes", columns, tuple(rows), notes=nothing)
