"""Transposes moved up or down until they meet, as NNTool moves them.

For each transpose, in order of names, the tensors before it (up) or after it (down) are thought to
be in the order on its other side. Nodes that do not care about the order of axes pass that on to
their other tensors. Where it ends, one of four things happens:

    another transpose that undoes it                    both go
    a graph input or output, a constant, the weights of a linear layer      takes the new order
    anything else                                       needs a transpose there
    the same, but only axes of size 1 would change places     needs a reshape, which is free

The direction in which more transposes go than come is taken at once, up where both are equal.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar

from nnshell.ir.basic_operators import Reshape
from nnshell.ir.graph import Graph, Node, Ref, constant_node
from nnshell.ir.permutations import Perm, after, inverse, moves_nothing, permuted
from nnshell.ops.transpose import Transpose
from nnshell.passes.base import Notes, Pass
from nnshell.passes.regions import (
    FROZEN,
    absorbs,
    edges_of,
    permute_constants,
    sort_columns,
    turn_input,
    turn_output,
)
from nnshell.passes.reorder import Reordered, reorder
from nnshell.passes.rewriting import place_after

_ALL = 1 << 30  # more steps than any graph needs


@dataclass(slots=True)
class Move:
    """What changes when a transpose goes: the new order of tensors, and nodes in new form."""

    up: bool
    order: dict[Ref, Perm]
    nodes: dict[str, Reordered] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    inserted: int = 0

    @property
    def gain(self) -> int:
        return len(self.deleted) - self.inserted


@dataclass(frozen=True)
class MoveTransposes(Pass):
    """Transposes that meet when they are moved past nodes that do not care."""

    name: ClassVar[str] = "move-transposes"
    max_steps: int | None = None

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        left = _ALL if self.max_steps is None else self.max_steps
        while left > 0 and (taken := _round(graph, left, notes)):
            left -= taken
        notes.info(graph.name, "no further transpose sequences found")


def _round(graph: Graph, limit: int, notes: Notes) -> int:
    """Every transpose once, in order of names; how many were moved."""
    taken = 0
    for name in sorted(node.name for node in graph if node.op.permutation is not None):
        node = graph.nodes.get(name)
        if taken >= limit or node is None or node.op.permutation is None:
            continue
        moves = [move for up in (True, False) if (move := _planned(graph, node, up)) is not None]
        best = max(moves, key=lambda move: move.gain, default=None)
        if best is None or best.gain < 1:
            continue
        _apply(graph, best)
        way = "upwards" if best.up else "downwards"
        notes.did(name, f"found elimination for {name} {way} - {best.gain} eliminated")
        taken += 1
    return taken


# -- planning ------------------------------------------------------------------------------


def _planned(graph: Graph, node: Node, up: bool) -> Move | None:
    """What would follow; None when a tensor would need two orders at once."""
    assert isinstance(node.op, Transpose)
    start = node.inputs[0] if up else Ref(node.name)
    perm = node.op.perm if up else inverse(node.op.perm)
    move = Move(up, {start: perm}, deleted={node.name})
    waiting = deque([start])
    while waiting:
        ref = waiting.popleft()
        neighbours: list[tuple[Node, int | None]] = [(graph[ref.node], None)]
        neighbours += edges_of(graph, ref)
        for neighbour, position in neighbours:
            result = _visit(graph, move, ref, neighbour, position)
            if result is None:
                return None
            waiting.extend(result)
    return move


def _visit(
    graph: Graph, move: Move, ref: Ref, node: Node, position: int | None
) -> list[Ref] | None:
    """Tensors that join through ``node``, the maker (no position) or a reader of ``ref``."""
    if node.name in move.deleted or node.name in move.nodes:
        return []
    perm = move.order[ref]
    own = node.op.permutation
    if own is not None:
        undone = inverse(own) if position is None else own
        if perm == undone:
            move.deleted.add(node.name)
            return []
    elif _takes_any_order(graph, node, position):
        return []
    form = None if own is not None else _form(graph, node, perm, position)
    if form is None:
        move.inserted += 0 if moves_nothing(graph.type_of(ref).shape, perm) else 1
        return []
    move.nodes[node.name] = form
    return _join(graph, move, node, form)


def _takes_any_order(graph: Graph, node: Node, position: int | None) -> bool:
    if node.op.role in ("input", "output"):
        return FROZEN not in node.options
    if node.op.role == "constant":
        return True
    return position is not None and absorbs(graph, node, position)


def _form(graph: Graph, node: Node, perm: Perm, position: int | None) -> Reordered | None:
    """The node in the order that a tensor of it gets; only input 0 and output 0 stand for all."""
    if position is None:
        return reorder(graph, node, perm, output=True)
    rank = len(graph.type_of(node.inputs[position]).shape)
    if position and rank != len(graph.type_of(node.inputs[0]).shape):
        return None
    return reorder(graph, node, perm, output=False)


def _join(graph: Graph, move: Move, node: Node, form: Reordered) -> list[Ref] | None:
    outputs = [Ref(node.name, index) for index in range(len(node.outputs))]
    orders = zip([*node.inputs, *outputs], [*form.inputs, *form.outputs], strict=True)
    joined = []
    for ref, perm in orders:
        if perm is None or graph.constant(ref) is not None:
            continue
        if move.order.get(ref, perm) != perm:
            return None
        if ref not in move.order:
            move.order[ref] = perm
            joined.append(ref)
    return joined


# -- doing it ------------------------------------------------------------------------------


def _apply(graph: Graph, move: Move) -> None:
    edges = {ref: edges_of(graph, ref) for ref in move.order}
    shapes = {ref: graph.type_of(ref).shape for ref in move.order}
    sources = {ref: _source(graph, move, ref) for ref in move.order}
    for name, form in move.nodes.items():
        graph[name].op = form.op
        permute_constants(graph, graph[name], form)
    for ref, readers in edges.items():
        for reader, position in readers:
            _connect(graph, move, ref, shapes[ref], sources[ref], reader, position)
    for name in move.deleted:
        value = graph[name].inputs[0]
        graph.redirect(Ref(name), sources.get(value, value))
    for name in move.deleted:
        del graph.nodes[name]
    graph.infer_types()


def _source(graph: Graph, move: Move, ref: Ref) -> Ref:
    """Where a tensor in its new order comes from."""
    maker, perm = graph[ref.node], move.order[ref]
    if maker.name in move.deleted:
        return maker.inputs[0]
    if maker.name in move.nodes:
        return ref
    if maker.op.role == "input" and FROZEN not in maker.options:
        turn_input(maker, perm)
        return ref
    if maker.op.known_value is not None:
        value = maker.op.known_value.transpose(perm)
        graph.replace_node(maker.name, constant_node(maker.name, value, maker.origin))
        return ref
    return Ref(_bordering(graph, ref, perm, maker).name)


def _bordering(graph: Graph, ref: Ref, perm: Perm, maker: Node) -> Node:
    """The transpose after ``maker`` that gives the new order, or a reshape that does."""
    shape = graph.type_of(ref).shape
    free = moves_nothing(shape, perm)
    op = Reshape(permuted(shape, perm)) if free else Transpose(perm)
    name = graph.unique_name(f"{maker.name}_{'reshape' if free else 'trans'}")
    node = Node(name, op, [ref], op.infer((graph.type_of(ref),)), maker.origin)
    place_after(graph, maker.name, node)
    return node


def _connect(
    graph: Graph,
    move: Move,
    ref: Ref,
    shape: tuple[int, ...],
    source: Ref,
    reader: Node,
    position: int,
) -> None:
    """Give a reader of a tensor that has a new order what it needs."""
    perm = move.order[ref]
    if reader.name in move.deleted:
        return
    if reader.name in move.nodes:
        reader.inputs[position] = source
    elif reader.op.role == "output" and FROZEN not in reader.options:
        turn_output(reader, perm)
        reader.inputs[position] = source
    elif absorbs(graph, reader, position):
        sort_columns(graph, reader, shape, perm)
        reader.inputs[position] = source
    else:
        _restore(graph, shape, perm, source, reader, position)


def _restore(
    graph: Graph,
    shape: tuple[int, ...],
    perm: Perm,
    source: Ref,
    reader: Node,
    position: int,
) -> None:
    """The old order before a reader that cannot do without it."""
    back = inverse(perm)
    own = reader.op.permutation
    if own is not None:
        back = after(back, own)
        reader.op = Transpose(back)
        reader.inputs[position] = source
        return
    now = permuted(shape, perm)
    free = moves_nothing(now, back)
    op = Reshape(permuted(now, back)) if free else Transpose(back)
    name = graph.unique_name(f"{reader.name}_{'reshape' if free else 'trans'}")
    graph.insert(Node(name, op, [source], (), reader.origin), before=reader.name)
    reader.inputs[position] = Ref(name)


def fold_into_constants(graph: Graph) -> None:
    """Transposes of constants that are still there: kernels take constants, not results."""
    for node in list(graph):
        order = node.op.permutation
        value = None if order is None else graph.constant(node.inputs[0])
        if value is not None and order is not None and node.name in graph.nodes:
            name = node.inputs[0].node
            shared = len(graph.consumers(name)) > 1
            kept = node.name if shared else name
            fresh = constant_node(kept, value.transpose(order), node.origin)
            graph.redirect(Ref(node.name), Ref(kept))
            del graph.nodes[node.name]
            if shared:
                graph.add(fresh)
            else:
                graph.replace_node(name, fresh)
