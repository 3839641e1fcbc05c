"""Opening graphs and looking at them."""

from __future__ import annotations

import argparse
from pathlib import Path

import cmd2

from nnshell.shell.api import drawings, flow, graph_tables, recipe, select, verification
from nnshell.shell.commands.base import Commands
from nnshell.shell.completion import complete_input, complete_selector, graph_numbers
from nnshell.shell.import_options import add_import_options, import_values, refuse_not_here
from nnshell.shell.options import add_table_options
from nnshell.shell.parser import Parser, not_here
from nnshell.shell.session import Opened


def open_parser() -> Parser:
    parser = Parser(
        description="Read a model (.onnx, .tflite), or a state (.json) that save_state wrote. "
        "sample:lenet is the sample that comes with nnshell.",
        example="open sample:lenet",
    )
    parser.add_argument(
        "file", completer=complete_input, help="Model (.onnx, .tflite) or state (.json) to open."
    )
    parser.add_argument(
        "-n",
        "--new",
        action="store_true",
        help="Keep the graph that is open now, beside the new one.",
    )
    add_import_options(parser)
    parser.checks.append(refuse_not_here)
    return parser


def show_parser() -> Parser:
    parser = Parser(
        description="Show the steps of the graph: shapes, sizes in bytes, operations.",
        example="show 2:5",
    )
    parser.add_argument(
        "selector", nargs="?", completer=complete_selector, help="Nodes to show (`help selectors`)."
    )
    parser.add_argument(
        "-s", "--show_constants", action="store_true", help="Show constants as well."
    )
    parser.add_argument(
        "--origin", action="store_true", help="Show where in the model file each node came from."
    )
    add_table_options(parser)
    return parser


def graph_parser() -> Parser:
    parser = Parser(description="List the open graphs, or choose one.", example="graph 0")
    parser.add_argument(
        "number",
        nargs="?",
        type=int,
        choices_provider=graph_numbers,
        help="Number of the graph to work on.",
    )
    return parser


def _table_parser(description: str, example: str) -> Parser:
    parser = Parser(description=description, example=example)
    add_table_options(parser)
    return parser


def statistics_parser() -> Parser:
    return _table_parser("Count the operators of the graph.", "statistics")


def temps_parser() -> Parser:
    text = "List the buffers that hold feature maps: who writes, who reads, how large."
    return _table_parser(text, "temps")


def draw_parser() -> Parser:
    parser = Parser(
        description="Draw the graph to a .pdf, .svg or .png file, by Graphviz where it is "
        "installed, else by the extra `report`; or write Graphviz text to a .dot file. Where "
        "neither is installed and no FILE is named, the text is printed.",
        example="draw -q -f lenet.dot",
    )
    add = parser.add_argument
    add(
        "selector", nargs="?", completer=complete_selector, help="Nodes to show (`help selectors`)."
    )
    add("-f", "--filename", metavar="FILE", completer=cmd2.Cmd.path_complete, help="File to write.")
    add("-s", "--show_constants", action="store_true", help="Show constants as well.")
    add("-F", "--show_fusions", action="store_true", help="Draw the layers inside fusions.")
    add(
        "-q",
        "--quantization",
        action="store_true",
        help="Write scales and zero points beside the tensors.",
    )
    add("-y", "--anonymise", action="store_true", help="Write hashes instead of names.")
    add(
        "-a",
        "--all_dims",
        action="store_true",
        help="Accepted for old scripts: shapes are always shown.",
    )
    not_here(parser, "fusions are drawn open with -F", "--expressions", nargs=1)
    return parser


def verify_parser() -> Parser:
    text = "Check that the graph is whole: names, edges, shapes, order, quantization."
    return Parser(description=text, example="verify")


def _absorbed_text(texts: list[str]) -> str:
    """What became part of other nodes when the model was read: the first, and how many more."""
    more = f" and {len(texts) - 1} more" if len(texts) > 1 else ""
    keep = "; --no_fold_batchnorm keeps batch norms" if "folded" in " ".join(texts) else ""
    return f"{texts[0]}{more} (`passes` lists what reading did{keep})"


class GraphCommands(Commands):
    """Commands that open graphs and look at them."""

    DEFAULT_CATEGORY = "Open and look"

    @cmd2.with_argparser(open_parser)
    def do_open(self, args: argparse.Namespace) -> None:
        """Read a model or a state."""
        settings, values = self.session.settings, import_values(args)
        values["load_quantization"] |= settings.load_quantization
        project = flow.open_graph(args.file, settings=settings, **values)
        self.session.add(Opened(project, args.file), keep=args.new)
        self.session.current.mark_saved()
        self.write_lines([graph_tables.graph_summary(project.graph)])
        absorbed = [note for note in project.import_notes if note.absorbed]
        if absorbed:
            self._cmd.note(_absorbed_text([note.text for note in absorbed]))
        if self.session.settings.adjust_order and recipe.only_opened(project):
            flow.adjust(project)  # a model, not a state, which has adjusted already

    @cmd2.with_argparser(show_parser)
    def do_show(self, args: argparse.Namespace) -> None:
        """Show steps, shapes, sizes and operations."""
        chosen = select.select(self.graph(), args.selector) if args.selector else None
        nodes = None if chosen is None else [node for _, node in chosen]
        if args.origin:
            self.write_lines(graph_tables.origin_rows(nodes or self.graph().steps()))
            return
        table = graph_tables.show_table(self.graph(), nodes, constants=args.show_constants)
        self.show(table, args)

    @cmd2.with_argparser(graph_parser)
    def do_graph(self, args: argparse.Namespace) -> None:
        """List the open graphs, or choose one."""
        if args.number is not None:
            self.session.select(args.number)
        if not self.session.opened:
            self.write("no graph is open - open one: `open MODEL.onnx`")
        for number, opened in enumerate(self.session.opened):
            mark = "*" if number == self.session.index else " "
            self.write(f"{mark} {number} - {opened.file}")

    @cmd2.with_argparser(statistics_parser)
    def do_statistics(self, args: argparse.Namespace) -> None:
        """Count the operators."""
        self.show(graph_tables.operator_statistics(self.graph()), args)

    @cmd2.with_argparser(temps_parser)
    def do_temps(self, args: argparse.Namespace) -> None:
        """List the buffers that hold feature maps."""
        self.show(graph_tables.temps_table(self.graph()), args)

    @cmd2.with_argparser(draw_parser)
    def do_draw(self, args: argparse.Namespace) -> None:
        """Draw the graph."""
        drawing = drawings.Drawing(
            args.show_constants, args.show_fusions, args.quantization, args.anonymise
        )
        graph = self.graph()
        chosen = select.select(graph, args.selector) if args.selector else None
        names = None if chosen is None else {node.name for _, node in chosen}
        if args.filename is None and not drawings.can_draw():
            self.write(drawings.dot_text(graph, drawing, names).rstrip())
            return
        path = self._drawing_path(args.filename or f"{graph.name}.pdf")
        drawings.draw(graph, path, drawing, names)
        self.write(f"wrote {path}")

    def _drawing_path(self, name: str) -> Path:
        """The file to draw to; a name without an ending gets .pdf, as in NNTool, where possible."""
        path = Path(name)
        if path.suffix:
            return path
        ending = ".pdf" if drawings.can_draw() else ".dot"
        self._cmd.warn(f"'{name}' has no ending, so {path.name}{ending} is written")
        return path.with_name(path.name + ending)

    @cmd2.with_argparser(verify_parser)
    def do_verify(self, _: argparse.Namespace) -> None:
        """Check that the graph is whole."""
        graph = self.graph()
        verification.verify(graph)
        lacking = [node.name for node in graph if node.quantization is None]
        state = f"{len(graph) - len(lacking)} of {len(graph)} steps are quantized"
        self.write(f"names, edges, shapes and order are right; {state}")
