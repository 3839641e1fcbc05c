"""Tables of the graph itself: `show`, `temps`, `statistics`, `passes`, and what `open` prints."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from nnshell.ir.graph import Graph, Node
from nnshell.ir.requests import POW2
from nnshell.ir.types import Layout
from nnshell.reports.table import Cell, Column, Table, with_bars

_SHOW = (
    Column("Step", "right"),
    Column("Name", wraps=True),
    Column("Operator", wraps=True, detail=1),
    Column("Input", wraps=True),
    Column("Output"),
    Column("From", detail=1),
    Column("Active", "right", "bytes", grouped=True, key="active_bytes"),
    Column("Parameters", "right", "bytes", grouped=True, key="parameter_bytes"),
    Column("MACs", "right", grouped=True),
    Column("Description", wraps=True, detail=1),
)


def graph_summary(graph: Graph) -> str:
    """One line: inputs, outputs, size and cost."""
    inputs = ", ".join(f"{node.name} {_typed(node)}" for node in graph.inputs)
    outputs = ", ".join(f"{node.name} {node.type}" for node in graph.outputs)
    return (
        f"{graph.name}: inputs {inputs}; outputs {outputs}; {len(graph)} nodes, "
        f"{graph.macs():,} MACs, {graph.parameters():,} parameters"
    )


def show_table(
    graph: Graph, nodes: Iterable[Node] | None = None, *, constants: bool = False
) -> Table:
    """Every node with its step, shapes and cost.

    Sizes are bytes at one byte per element, in fixed point (POW2) at those of each record.
    ``nodes`` limits the rows; constants appear when asked for or selected.
    """
    numbers = graph.step_numbers()
    consumers = graph.consumer_map()
    live = live_bytes(graph)
    chosen = {node.name for node in nodes} if nodes is not None else None
    rows = [
        _show_row(graph, node, numbers, live[node.name])
        for node in graph.steps()
        if (node.name in chosen if chosen is not None else constants or not _is_constant(node))
    ]
    peak = max(live.values(), default=0)
    ends = ("output", "unused")
    unused = [n.name for n in graph if not consumers[n.name] and n.op.role not in ends]
    fixed = any(n.quantization is not None and n.quantization.scheme == POW2 for n in graph)
    widths = "at the bytes of their records" if fixed else "at one byte per element, as int8"
    constants_bytes = sum(sum(output_bytes(n)) for n in graph if _is_constant(n))
    notes = [
        f"active memory peaks at {peak:,} bytes, parameters take {constants_bytes:,} bytes, "
        f"{graph.macs():,} MACs (sizes {widths}{'' if fixed else ' will take'})"
    ]
    key = _description_key([str(row[-1]) for row in rows])
    if key:
        notes.append(key)
    if unused:
        notes.append(f"nothing reads {', '.join(unused)}")
    table = Table(f"{graph.name}: steps", _SHOW, tuple(rows), notes=tuple(notes))
    return with_bars(table, "Name", "Active", "Parameters", "MACs")


def _show_row(
    graph: Graph, node: Node, numbers: dict[str, int], active_bytes: int
) -> tuple[Cell, ...]:
    types = graph.input_types(node)
    activations = [
        (ref, kind)
        for ref, kind in zip(node.inputs, types, strict=True)
        if not _is_constant(graph[ref.node])
    ]
    parameters = sum(
        output_bytes(graph[ref.node])[ref.index]
        for ref in node.inputs
        if _is_constant(graph[ref.node])
    )
    return (
        numbers[node.name],
        node.name,
        operator_name(node),
        ", ".join(str(kind) for _, kind in activations) or None,
        ", ".join(str(kind) for kind in node.outputs),
        ", ".join(f"{numbers[ref.node]}/{ref.index}" for ref, _ in activations) or None,
        active_bytes,
        parameters or None,
        node.op.macs(types, node.outputs, node.body) or None,
        node.op.describe(types, node.outputs, node.body).strip(),
    )


_DESCRIBED = (  # how a description begins or goes on, and what that means
    (r"\bF \d+x\d+x\d+x\d+", "F filter (out x in x rows x columns)"),
    (r"\bF \d+x\d+(?![x\d])", "F filter or window"),
    (r"\bS \d", "S stride"),
    (r"\bD \d", "D dilation"),
    (r"\bG \d", "G groups"),
    (r"\bM \d", "M filters a channel (depthwise)"),
    (r"\bP \(", "P padding (top, bottom)x(left, right)"),
    (r"\bT (max|average)", "T kind of pool"),
    (r"\bB \d", "B bias"),
)


def _description_key(texts: Sequence[str]) -> str:
    """What the letters of the descriptions stand for, those that there are."""
    parts = [what for form, what in _DESCRIBED if any(re.search(form, text) for text in texts)]
    return f"description: {', '.join(parts)}" if parts else ""


def operator_name(node: Node) -> str:
    """The operator as NNTool names it; a fusion by its kind of fusion."""
    return str(getattr(node.op, "name", "")) or node.kind


def temps_table(graph: Graph) -> Table:
    """Buffers that hold feature maps: who makes them, who reads them, how large they are."""
    numbers = graph.step_numbers()
    columns = (
        Column("Buffer", wraps=True),
        Column("Made in step", "right"),
        Column("Last read in step", "right"),
        Column("Shape"),
        Column("Size", "right", "bytes", grouped=True),
        Column("Uses", "right"),
    )
    rows: list[tuple[Cell, ...]] = []
    total = 0
    for node in graph.steps():
        if _is_constant(node) or node.op.role == "output":
            continue
        readers = [numbers[consumer.name] for consumer, _ in graph.consumers(node.name)]
        size = sum(output_bytes(node))
        total += size
        shape = ", ".join(str(kind) for kind in node.outputs)
        last = max(readers, default=None)
        rows.append((node.name, numbers[node.name], last, shape, size, len(readers)))
    footer: tuple[Cell, ...] = ("total", None, None, None, total, None)
    table = Table(f"{graph.name}: buffers", columns, tuple(rows), footer=(footer,))
    return with_bars(table, "Buffer", "Size")


def operator_statistics(graph: Graph) -> Table:
    """How many nodes of each kind there are, inner nodes of fusions counted too."""
    counts: Counter[str] = Counter(operator_name(node) for node in graph)
    edges = sum(len(node.inputs) for node in graph)
    columns = (Column("Operator"), Column("Nodes", "right"))
    rows = tuple((name, count) for name, count in sorted(counts.items()))
    note = f"{len(graph)} nodes, {edges} edges"
    table = Table(f"{graph.name}: operators", columns, rows, notes=(note,))
    return with_bars(table, "Operator", "Nodes")


def origin_rows(nodes: Sequence[Node]) -> list[str]:
    """One line per node: where it came from and which passes touched it."""
    lines = []
    for node in nodes:
        passes = f"; passes: {', '.join(node.origin.passes)}" if node.origin.passes else ""
        lines.append(f"{node.name}: {node.origin}{passes}")
    return lines


def _is_constant(node: Node) -> bool:
    return node.op.role == "constant"


def _typed(node: Node) -> str:
    """Shape, and of a graph input the order of its axes where that has a name."""
    named = node.op.role == "input" and node.type.layout is not Layout.NONE
    return f"{node.type} {node.type.layout}" if named else str(node.type)


def output_bytes(node: Node) -> list[int]:
    """Bytes of each output: one for an element, in fixed point those of its record."""
    sizes = [kind.size for kind in node.outputs]
    if node.quantization is None or not node.quantization.outputs:
        return sizes
    return [
        size * (np.dtype(record.dtype).itemsize if record.fixed_point else 1)
        for size, record in zip(sizes, node.quantization.outputs, strict=True)
    ]


def live_bytes(graph: Graph) -> dict[str, int]:
    """Bytes of feature maps alive while each node runs (its inputs, outputs and what waits)."""
    order = graph.steps()
    position = {node.name: number for number, node in enumerate(order)}
    consumers = graph.consumer_map()
    last_use = {
        node.name: max((position[c.name] for c, _ in consumers[node.name]), default=index)
        for index, node in enumerate(order)
    }
    sizes = {n.name: sum(output_bytes(n)) for n in order if not _is_constant(n)}
    live: dict[str, int] = {}
    alive: dict[str, int] = {}
    for index, node in enumerate(order):
        if node.name in sizes and node.op.role != "output":
            alive[node.name] = sizes[node.name]
        live[node.name] = 0 if _is_constant(node) else sum(alive.values())
        alive = {name: size for name, size in alive.items() if last_use[name] > index}
    return live
