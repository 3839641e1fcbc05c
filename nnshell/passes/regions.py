"""Regions of nodes that do not care about the order of axes, run in another order.

Put the tensors of a region in order p: where a tensor enters the region a transpose p appears,
where one leaves it the inverse of p. A transpose that is there already joins with the new one, and
often the two cancel:

    transpose(p^-1) -> relu -> add -> transpose(p)        becomes        relu -> add

What a transpose costs is the number of elements it moves; one that moves only axes of size 1 is a
reshape and costs nothing. At a border with a constant, or with a linear layer (whose weights are
sorted instead), nothing is paid either. The best region around a transpose is found by growing it
node by node and taking the size at which the most is gained.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from nnshell.ir.basic_operators import Input, Output
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.permutations import Perm, after, identity, inverse, moves_nothing, permuted
from nnshell.ir.types import Layout
from nnshell.ops.transpose import Transpose
from nnshell.passes.reorder import Reordered, reorder
from nnshell.passes.rewriting import insert_on_edge, make_node, set_constant

MOST_NODES = 200
FROZEN = "FIXED_ORDER"  # node option of graph inputs and outputs whose order must stay
TURNED = "turn-axes"  # in the origin of an input or output whose axes have another order now
_HWC_TO_CHW: Perm = (2, 0, 1)


@dataclass(slots=True)
class Region:
    """Nodes in their new form, and the order of every tensor that they read or make."""

    nodes: dict[str, Reordered] = field(default_factory=dict)
    order: dict[Ref, Perm] = field(default_factory=dict)

    def truncated(self, graph: Graph, count: int) -> Region:
        """The first ``count`` nodes as a region of their own."""
        nodes = dict(list(self.nodes.items())[:count])
        touched = {ref for name in nodes for ref in _tensors(graph[name])}
        return Region(nodes, {ref: p for ref, p in self.order.items() if ref in touched})


@dataclass(frozen=True, slots=True)
class Search:
    """The best region next to a transpose, if any saves; ``seen`` are the nodes looked at."""

    region: Region | None
    saved: int
    seen: frozenset[str]


def search(graph: Graph, node: Node) -> Search:
    """The region next to transpose ``node`` that saves most when reordered."""
    order = node.op.permutation
    assert order is not None
    starts = (
        (Ref(node.name), inverse(order), True),  # what follows runs in the order before
        (node.inputs[0], order, False),  # what comes before runs in the order after
    )
    best: Region | None = None
    most = 0
    seen = {node.name}
    for ref, perm, downwards in starts:
        region, count, saved = _grown(graph, ref, perm, downwards, seen)
        if saved > most:
            best, most = region.truncated(graph, count), saved
    return Search(best, most, frozenset(seen))


def _grown(
    graph: Graph, ref: Ref, perm: Perm, downwards: bool, seen: set[str]
) -> tuple[Region, int, int]:
    """The region that starts at ``ref`` as far as it grows, the size that saves most, and how much.

    What a node changes when it comes in is what its own tensors cost: their readers and makers
    are the region's now.
    """
    region = Region(order={ref: perm})
    best = most = saved = 0
    waiting = deque(_neighbours(graph, ref, downwards))
    seen.add(ref.node)
    while waiting and len(region.nodes) < MOST_NODES:
        node = graph[waiting.popleft()]
        seen.add(node.name)
        if node.name in region.nodes:
            continue
        tensors = list(dict.fromkeys(_tensors(node)))
        known = [tensor for tensor in tensors if tensor in region.order] if region.nodes else []
        before = sum(_saved_at(graph, region, tensor) for tensor in known)
        if not _admit(graph, region, node):
            continue
        tensors = [tensor for tensor in tensors if tensor in region.order]
        saved += sum(_saved_at(graph, region, tensor) for tensor in tensors) - before
        for tensor in tensors:
            seen.update(reader.name for reader, _ in graph.consumers(tensor.node))
        if saved > most:
            best, most = len(region.nodes), saved
        for tensor in (ref for ref in _tensors(node) if ref in region.order):
            waiting.extend(_neighbours(graph, tensor, True))
            waiting.extend(_neighbours(graph, tensor, False))
    return region, best, most


def _neighbours(graph: Graph, ref: Ref, downwards: bool) -> list[str]:
    if not downwards:
        return [ref.node]
    return [n.name for n, p in graph.consumers(ref.node) if n.inputs[p].index == ref.index]


def _tensors(node: Node) -> list[Ref]:
    return [*node.inputs, *(Ref(node.name, index) for index in range(len(node.outputs)))]


def _admit(graph: Graph, region: Region, node: Node) -> bool:
    """Add ``node`` to the region when it can run in the order that its tensors have there."""
    if node.op.permutation is not None:
        return False
    known = next((i for i, ref in enumerate(node.inputs) if ref in region.order), None)
    if known is not None:
        form = reorder(graph, node, region.order[node.inputs[known]], output=False)
    else:
        match = next(ref for ref in _tensors(node) if ref in region.order)
        form = reorder(graph, node, region.order[match], output=True)
    if form is None:
        return False
    orders = [
        (ref, p)
        for ref, p in zip(_tensors(node), (*form.inputs, *form.outputs), strict=True)
        if p is not None and graph.constant(ref) is None
    ]
    if any(region.order.get(ref, p) != p for ref, p in orders):
        return False
    region.nodes[node.name] = form
    region.order.update(orders)
    return True


# -- what it saves -------------------------------------------------------------------------


def _cost(shape: tuple[int, ...], perm: Perm) -> int:
    return 0 if moves_nothing(shape, perm) else int(np.prod(shape))


def _saved_at(graph: Graph, region: Region, ref: Ref) -> int:
    """What a tensor of the region saves at its border; a region saves the sum of its tensors."""
    if ref.node in region.nodes:
        return _saved_leaving(graph, region, ref)
    return _saved_entering(graph, region, ref)


def _saved_entering(graph: Graph, region: Region, ref: Ref) -> int:
    producer, perm = graph[ref.node], region.order[ref]
    if input_takes(graph, producer, region, perm):
        return 0
    order = producer.op.permutation
    if order is None:
        return -_cost(graph.type_of(ref).shape, perm)
    source = graph.type_of(producer.inputs[0]).shape
    alone = all(reader.name in region.nodes for reader, _ in edges_of(graph, ref))
    before = _cost(source, order) if alone else 0
    return before - _cost(source, after(order, perm))


def _saved_leaving(graph: Graph, region: Region, ref: Ref) -> int:
    """Readers outside need the old order back: one transpose for all, none where it is absorbed."""
    perm, shape = region.order[ref], graph.type_of(ref).shape
    changed = tuple(shape[axis] for axis in perm)
    saved, restored = 0, False
    for reader, position in edges_of(graph, ref):
        if reader.name in region.nodes or absorbs(graph, reader, position):
            continue
        order = reader.op.permutation
        if order is not None:
            joined = after(inverse(perm), order)
            saved += _cost(shape, order) - _cost(changed, joined)
        elif not restored:
            saved -= _cost(changed, inverse(perm))
            restored = True
    return saved


def edges_of(graph: Graph, ref: Ref) -> list[tuple[Node, int]]:
    """Readers of a tensor, and where they read it, in the order of the nodes."""
    return [(n, p) for n, p in graph.consumers(ref.node) if n.inputs[p].index == ref.index]


def absorbs(graph: Graph, node: Node, position: int) -> bool:
    """Whether the reader takes any order: a linear layer sorts the columns of its weights."""
    flat = node.op.role == "filter" and node.op.reads_flat
    return flat and position == 0 and graph.constant(node.inputs[1]) is not None


def input_takes(graph: Graph, node: Node, region: Region, perm: Perm) -> bool:
    """Whether a graph input can take the new order itself, and all its readers want that."""
    readers = graph.consumers(node.name)
    return may_turn(node, perm) and all(reader.name in region.nodes for reader, _ in readers)


def may_turn(node: Node, perm: Perm) -> bool:
    """Whether a graph input may change from channels last to channels first; it may once.

    Unless the input says so itself, channels are taken to be last when there are fewer of them
    than rows and columns.
    """
    if not isinstance(node.op, Input) or perm != _HWC_TO_CHW or FROZEN in node.options:
        return False
    height, width, channels = node.type.shape
    last = node.type.layout is Layout.HWC or channels < min(height, width)
    return last and node.type.dtype == "float32" and not node.op.order


# -- doing it ------------------------------------------------------------------------------


def apply_region(graph: Graph, region: Region) -> None:
    """Give every node of the region its new form and transpose at the borders."""
    for ref in [ref for ref in region.order if ref.node not in region.nodes]:
        _enter(graph, region, ref)
    leaving = [(ref, edges_of(graph, ref)) for ref in region.order if ref.node in region.nodes]
    for name, form in region.nodes.items():
        graph[name].op = form.op
        permute_constants(graph, graph[name], form)
    for ref, edges in leaving:
        _leave(graph, region, ref, edges)
    graph.infer_types()


def permute_constants(graph: Graph, node: Node, form: Reordered) -> None:
    """Constants of a node in the orders that its new form reads them in."""
    for position, perm in enumerate(form.inputs):
        value = graph.constant(node.inputs[position])
        if value is not None and perm is not None and value.size > 1:
            axes = (1,) * (len(perm) - value.ndim) + value.shape
            set_constant(graph, node, position, value.reshape(axes).transpose(perm))


def _enter(graph: Graph, region: Region, ref: Ref) -> None:
    perm, producer = region.order[ref], graph[ref.node]
    if input_takes(graph, producer, region, perm):
        turn_input(producer, perm)
        return
    edges = [(n, p) for n, p in edges_of(graph, ref) if n.name in region.nodes]
    name = f"{edges[0][0].name}_transpose"
    node = make_node(graph, name, Transpose(perm), [ref], producer.origin)
    insert_on_edge(graph, *edges[0], node)
    for reader, position in edges[1:]:
        reader.inputs[position] = Ref(node.name)


def _leave(graph: Graph, region: Region, ref: Ref, edges: list[tuple[Node, int]]) -> None:
    perm = region.order[ref]
    back: Node | None = None
    for reader, position in edges:
        if reader.name in region.nodes:
            continue
        if absorbs(graph, reader, position):
            sort_columns(graph, reader, graph.type_of(ref).shape, perm)
            continue
        if back is None:
            name = graph.unique_name(f"{ref.node}_transpose")
            back = Node(name, Transpose(inverse(perm)), [ref], (), graph[ref.node].origin)
            graph.insert(back, before=reader.name)
        reader.inputs[position] = Ref(back.name)


def sort_columns(graph: Graph, linear: Node, shape: tuple[int, ...], perm: Perm) -> None:
    """Weights of a linear layer whose input of ``shape`` now comes in order ``perm``."""
    weights = graph.constant(linear.inputs[1])
    assert weights is not None
    columns = np.arange(weights.shape[1]).reshape(shape).transpose(perm).reshape(-1)
    set_constant(graph, linear, 1, weights[:, columns])


def turn_input(node: Node, perm: Perm) -> None:
    """Make a graph input take its axes in order ``perm``: channels first instead of last."""
    assert isinstance(node.op, Input)
    shape = permuted(node.type.shape, perm)
    layout = Layout.CHW if perm == _HWC_TO_CHW else Layout.NONE
    order = after(node.op.order or identity(len(perm)), perm)
    node.op = replace(node.op, type=replace(node.type, shape=shape, layout=layout), order=order)
    node.outputs = node.op.infer(())
    node.origin = node.origin.touched_by(TURNED)


def turn_output(node: Node, perm: Perm) -> None:
    """Make a graph output give its axes in order ``perm``."""
    assert isinstance(node.op, Output)
    node.op = replace(node.op, order=after(node.op.order or identity(len(perm)), perm))
    node.origin = node.origin.touched_by(TURNED)
