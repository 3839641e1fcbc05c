"""The graph as a picture: by Graphviz where it is installed, by the extra ``report`` elsewhere.

Graphviz text (.dot) needs neither.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from nnshell.ir.graph import Graph, Node, Ref, all_nodes
from nnshell.ir.qparams import QParams
from nnshell.ir.select import inner_nodes
from nnshell.reports.graph_layout import graph_picture
from nnshell.reports.graph_svg import graph_image, graph_svg
from nnshell.support.errors import NNShellError, UsageError
from nnshell.support.files import write_atomically
from nnshell.support.text import in_one_line

TEXT_ENDINGS = (".dot", ".gv")
PICTURE_ENDINGS = (".pdf", ".svg", ".png")
_DRAWING_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Drawing:
    """What to draw: constants, inner nodes of fusions, quantization, names replaced by hashes."""

    constants: bool = False
    fusions: bool = False
    quantization: bool = False
    anonymise: bool = False


def dot_text(
    graph: Graph, drawing: Drawing | None = None, names: Collection[str] | None = None
) -> str:
    """Graphviz text of the graph, or of the nodes called ``names``."""
    drawing = drawing or Drawing()
    lines = [f"digraph {_quoted(graph.name)} {{", "  node [shape=box, fontname=Helvetica];"]
    shown = [n for n in graph.steps() if _is_shown(n, drawing, names)]
    numbers = graph.step_numbers()
    for node in shown:
        lines += _node_lines(node, numbers[node.name], drawing)
    drawn = {node.name for node in shown}
    for node in shown:
        lines += [f"  {edge}" for edge in _edges(graph, node, drawn, drawing)]
    return "\n".join([*lines, "}", ""])


def draw(
    graph: Graph,
    path: Path,
    drawing: Drawing | None = None,
    names: Collection[str] | None = None,
) -> None:
    """Write Graphviz text, or the picture that the file's ending asks for."""
    ending = path.suffix.lower()
    if ending not in (*TEXT_ENDINGS, *PICTURE_ENDINGS):
        known = ", ".join((*PICTURE_ENDINGS, *TEXT_ENDINGS))
        raise UsageError(f"'{ending}' is not a format of pictures", hint=f"use {known}")
    if ending in TEXT_ENDINGS:
        content = dot_text(graph, drawing, names).encode()
    elif _has_graphviz():
        content = _picture(dot_text(graph, drawing, names), ending[1:])
    else:
        content = _own_picture(graph, drawing or Drawing(), names, ending[1:])
    write_atomically(path, content)


def can_draw() -> bool:
    """Whether there is something to draw pictures with."""
    return _has_graphviz() or all(find_spec(name) for name in ("fast_sugiyama", "matplotlib"))


def _has_graphviz() -> bool:
    return shutil.which("dot") is not None


def _own_picture(graph: Graph, drawing: Drawing, names: Collection[str] | None, form: str) -> bytes:
    titles = {node.name: _name(node, drawing) for _, node, _ in all_nodes(graph)}
    layout = graph_picture(
        graph,
        names,
        constants=drawing.constants,
        inner=drawing.fusions,
        quantization=drawing.quantization,
        title_of=titles if drawing.anonymise else None,
    )
    return graph_svg(layout).encode() if form == "svg" else graph_image(layout, form)


def _picture(text: str, form: str) -> bytes:
    try:
        done = subprocess.run(
            ["dot", f"-T{form}"],
            input=text.encode(),
            capture_output=True,
            timeout=_DRAWING_SECONDS,
            check=True,
        )
    except OSError:
        hint = "write text: a file that ends in .dot"
        raise NNShellError("cannot run dot, Graphviz's drawing program", hint=hint) from None
    except subprocess.SubprocessError as error:
        raise NNShellError(f"Graphviz cannot draw this graph: {error}") from None
    return done.stdout


def _is_shown(node: Node, drawing: Drawing, names: Collection[str] | None) -> bool:
    if names is not None and node.name not in names:
        return False
    return drawing.constants or node.op.role != "constant"


def _node_lines(node: Node, step: int, drawing: Drawing) -> Iterator[str]:
    label = [f"{step} {_name(node, drawing)}", node.kind]
    if drawing.quantization and node.quantization is not None:
        label += [_quantization(record) for record in node.quantization.outputs]
    if node.body is not None and drawing.fusions:
        yield f"  subgraph {_quoted('cluster ' + node.name)} {{ label={_quoted(*label)};"
        for part in inner_nodes(node):
            text = _quoted(_name(part, drawing), part.kind)
            yield f"    {_quoted(_inside(node, part))} [label={text}];"
        yield "  }"
        return
    style = ", style=rounded" if node.op.role in ("input", "output") else ""
    yield f"  {_quoted(node.name)} [label={_quoted(*label)}{style}];"


def _edges(graph: Graph, node: Node, drawn: Collection[str], drawing: Drawing) -> Iterator[str]:
    """Edges into a node, and inside it when it is a fusion drawn open."""
    if node.body is None or not drawing.fusions:
        for ref in node.inputs:
            if ref.node in drawn:
                yield _edge(_source(graph, ref, drawing), node.name, graph, ref)
        return
    for part in inner_nodes(node):
        for ref in part.inputs:
            maker = node.body[ref.node]
            number = maker.op.port
            if number is None:
                yield _edge(_inside(node, maker), _inside(node, part), node.body, ref)
                continue
            outer = node.inputs[number]
            if outer.node in drawn:
                yield _edge(_source(graph, outer, drawing), _inside(node, part), graph, outer)


def _edge(source: str, target: str, graph: Graph, ref: Ref) -> str:
    return f"{_quoted(source)} -> {_quoted(target)} [label={_quoted(str(graph.type_of(ref)))}];"


def _source(graph: Graph, ref: Ref, drawing: Drawing) -> str:
    """The box an edge leaves: of a fusion drawn open, the inner node that makes the output."""
    node = graph[ref.node]
    if node.body is None or not drawing.fusions:
        return node.name
    return _inside(node, node.body.producer(node.body.outputs[ref.index]))


def _quantization(record: QParams) -> str:
    return f"{record.dtype} x {record.first_scale:.6g}, zero point {record.zero_point}"


def _inside(fusion: Node, node: Node) -> str:
    return f"{fusion.name}/{node.name}"


def _name(node: Node, drawing: Drawing) -> str:
    if not drawing.anonymise:
        return node.name
    return hashlib.sha1(node.name.encode()).hexdigest()[:10]


def _quoted(*lines: str) -> str:
    """A Graphviz string; each argument is a line of it."""
    plain = (in_one_line(line) for line in lines)
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in plain)
    return '"' + "\\n".join(escaped) + '"'
