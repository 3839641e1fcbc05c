"""Where the nodes and edges of a graph lie in a picture: layers from top to bottom.

The layering (Sugiyama's method: ranks, few crossings, straight lines) is that of fast-sugiyama
(extra ``report``); long edges are routed through the places that it keeps free for them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nnshell.ir.graph import Graph, Node
from nnshell.ir.qparams import FLOAT_BITS, QParams
from nnshell.ir.select import inner_nodes
from nnshell.support.errors import NNShellError
from nnshell.support.text import in_one_line

Group = Literal["end", "fusion", "filter", "constant", "other"]
Point = tuple[float, float]

BOX_WIDTH = 204.0  # pixels
LINE_HEIGHT = 15.0
_PADDING = 7.0
_COLUMN, _GAP = 250.0, 42.0  # from box to box, from row to row
_LETTERS = 32  # that fit a line of a box
_UNIT = 100.0  # of the library, between neighbours
_DUMMY = 20.0  # of the library, for a line that passes a box


@dataclass(frozen=True, slots=True)
class Box:
    """A node; ``x`` and ``y`` are its middle, the first line is its name."""

    key: str
    lines: tuple[str, ...]
    group: Group
    x: float
    y: float
    height: float
    about: str = ""  # what does not fit: the whole name, shapes, scales


@dataclass(frozen=True, slots=True)
class Arrow:
    """An edge through points, from the source's lower to the target's upper border."""

    points: tuple[Point, ...]
    label: str


@dataclass(frozen=True, slots=True)
class GraphPicture:
    """All boxes and arrows, in pixels from the upper left corner."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    width: float
    height: float


def graph_picture(
    graph: Graph,
    names: Collection[str] | None = None,
    *,
    constants: bool = False,
    inner: bool = False,
    quantization: bool = True,
    title_of: Mapping[str, str] | None = None,
) -> GraphPicture:
    """The graph, or its nodes called ``names``; edges carry shapes and, once quantized, bits.

    ``inner`` names the layers inside fusions; ``title_of`` replaces names. NNShellError when
    fast-sugiyama is not installed.
    """
    numbers = graph.step_numbers()
    nodes = [
        node
        for node in graph.steps()
        if (names is None or node.name in names) and (constants or node.op.role != "constant")
    ]
    places = {node.name: index for index, node in enumerate(nodes)}
    labels: dict[tuple[int, int], str] = {}
    for node in nodes:
        for ref in node.inputs:
            if ref.node in places:
                pair = places[ref.node], places[node.name]
                text = _edge_label(graph, graph[ref.node], ref.index, quantization)
                labels[pair] = text if pair not in labels else f"{labels[pair]}, {text}"
    titles = title_of or {}
    contents = [
        _lines(node, numbers[node.name], titles, inner=inner, quantization=quantization)
        for node in nodes
    ]
    heights = [2 * _PADDING + LINE_HEIGHT * len(lines) for lines in contents]
    spots, routes = _layered(len(nodes), list(labels))
    rows = _row_middles(spots, heights)
    boxes = tuple(
        Box(node.name, lines, _group(node), spots[at][0], rows[spots[at][1]], heights[at],
            _about(node, titles))
        for at, (node, lines) in enumerate(zip(nodes, contents, strict=True))
    )  # fmt: skip
    arrows = tuple(
        Arrow(_through(boxes[pair[0]], boxes[pair[1]], routes.get(pair, []), rows), label)
        for pair, label in labels.items()
    )
    width = max((x for x, _ in spots), default=0.0) + _COLUMN / 2
    bottom = max((box.y + box.height / 2 for box in boxes), default=0.0)
    return GraphPicture(boxes, arrows, max(width, _COLUMN), bottom + _GAP / 2)


def _layered(
    count: int, pairs: Sequence[tuple[int, int]]
) -> tuple[list[tuple[float, int]], dict[tuple[int, int], list[tuple[float, int]]]]:
    """(x, row) of each node, and the places that each edge passes."""
    # The library numbers places on long edges from the number of nodes that have edges on.
    linked = sorted({number for pair in pairs for number in pair})
    numbers = {node: number for number, node in enumerate(linked)}
    edges = [(numbers[source], numbers[target]) for source, target in pairs]
    places, successors, left = _placed(edges)
    spots = {node: places[number] for node, number in numbers.items()}
    for node in range(count):  # nodes without edges
        if node not in spots:
            spots[node] = (left + _COLUMN / 2, 0)
            left += _COLUMN
    routes = {
        (linked[source], linked[path[-1]]): [places[stop] for stop in path[:-1]]
        for source in range(len(linked))
        for path in _paths(source, successors, len(linked))
    }
    return [spots[node] for node in range(count)], routes


def _placed(
    edges: Sequence[tuple[int, int]],
) -> tuple[dict[int, tuple[float, int]], dict[int, list[int]], float]:
    """(x, row) of everything that the library places, what follows each, and where it ends."""
    places: dict[int, tuple[float, int]] = {}
    successors: dict[int, list[int]] = {}
    left = 0.0
    if not edges:
        return places, successors, left
    layouts = _library()(edges, vertex_spacing=_UNIT, dummy_vertices=True, dummy_size=_DUMMY)
    for positions, width, height, pieces in sorted(layouts, key=lambda part: min(part[0])[0]):
        for number, (x, y) in positions:
            places[number] = (left + x / _UNIT * _COLUMN + _COLUMN / 2, round((height - y) / _UNIT))
        for source, target in pieces or ():
            successors.setdefault(source, []).append(target)
        left += (width / _UNIT + 1) * _COLUMN
    return places, successors, left


def _paths(source: int, successors: dict[int, list[int]], count: int) -> Iterator[list[int]]:
    """From a node to each of its targets, through the places in between."""
    for target in successors.get(source, ()):
        path = [target]
        while path[-1] >= count:
            path.append(successors[path[-1]][0])
        yield path


def _row_middles(spots: Sequence[tuple[float, int]], heights: Sequence[float]) -> list[float]:
    """The y of each row: rows are as high as their highest box."""
    highest: dict[int, float] = {}
    for (_, row), height in zip(spots, heights, strict=True):
        highest[row] = max(highest.get(row, 0.0), height)
    middles, top = [], _GAP / 2
    for row in range(max(highest, default=0) + 1):
        height = highest.get(row, 0.0)
        middles.append(top + height / 2)
        top += height + _GAP
    return middles


def _through(
    source: Box, target: Box, stops: Sequence[tuple[float, int]], rows: Sequence[float]
) -> tuple[Point, ...]:
    start, end = (source.x, source.y + source.height / 2), (target.x, target.y - target.height / 2)
    return (start, *((x, rows[row]) for x, row in stops), end)


def _library() -> Any:
    try:
        from fast_sugiyama import from_edges
    except ImportError:
        raise NNShellError(
            "pictures of graphs need fast-sugiyama", hint="pip install 'nnshell[report]'"
        ) from None
    return from_edges


def _lines(
    node: Node, step: int, titles: Mapping[str, str], *, inner: bool, quantization: bool
) -> tuple[str, ...]:
    """Step and name, what the node does, and what its integers mean."""
    name = titles.get(node.name, node.name)
    parts = inner_nodes(node)
    lines = [_cut(f"{step} {name}"), _cut(" + ".join(p.kind for p in parts) or node.kind)]
    if inner:
        lines += [_cut(f"{part.kind}: {titles.get(part.name, part.name)}") for part in parts]
    record = None if node.quantization is None else node.quantization.output
    if quantization and record is not None and record.bits != FLOAT_BITS:
        lines.append(_cut(f"x {record.first_scale:.4g}, zero point {record.zero_point}"))
    return tuple(lines)


def _cut(text: str) -> str:
    line = in_one_line(text)
    return line if len(line) <= _LETTERS else line[: _LETTERS - 1] + "…"


def _about(node: Node, titles: Mapping[str, str]) -> str:
    shapes = ", ".join(str(kind) for kind in node.outputs)
    inner = ", ".join(f"{part.name} ({part.kind})" for part in inner_nodes(node))
    name = titles.get(node.name, node.name)
    known = "" if node.name in titles or not inner else f": {inner}"
    return in_one_line(f"{name}, {node.kind}, {shapes}{known}")


def _group(node: Node) -> Group:
    if node.op.role in ("input", "output"):
        return "end"
    if node.op.role == "constant":
        return "constant"
    if node.body is not None:
        return "fusion"
    return "filter" if node.op.parameters else "other"


def _edge_label(graph: Graph, source: Node, index: int, quantization: bool) -> str:
    shape = str(source.outputs[index])
    if not quantization or source.quantization is None:
        return shape
    return f"{shape} · {bits_text(source.quantization.outputs[index])}"


def bits_text(record: QParams) -> str:
    """Its bits as people say them: "8 bits", "float"."""
    if record.bits == FLOAT_BITS:
        return "float"
    bits = record.bits if record.dtype == "int8" else int(record.dtype.strip("uint"))
    return f"{bits} bits"
