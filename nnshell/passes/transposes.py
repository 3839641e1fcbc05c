"""Transposes: put in where a kernel wants another order, then removed wherever they can be.

The kernels work on channels x height x width, join and cut along the first real axis or the last
one, and run softmax along the last. Models exported from frameworks that keep channels last are
full of transposes; most of them cancel once they are moved past nodes that do not care.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nnshell.ir.basic_operators import Reshape
from nnshell.ir.graph import Graph, Node, Ref, constant_node
from nnshell.ir.permutations import Perm, after, identity, inverse, moves_nothing, permuted
from nnshell.ir.types import Layout
from nnshell.ops.matmul import MatMul
from nnshell.ops.transpose import Transpose
from nnshell.passes.base import Notes, Pass
from nnshell.passes.kernel_axes import axis_fits
from nnshell.passes.regions import (
    Search,
    absorbs,
    apply_region,
    edges_of,
    may_turn,
    search,
    sort_columns,
    turn_input,
)
from nnshell.passes.rewriting import (
    bypass,
    insert_on_edge,
    live_nodes,
    make_node,
    retype,
    set_constant,
    shape_text,
    sole_consumer,
)

_BESIDE = "_trans"  # the end of names of transposes that stand in no model file
_ALL = 1 << 30  # more steps than any graph needs
_MOST_WORK = 500_000  # nodes looked at while regions are reordered: 10 s; 1,000 regions of 500


@dataclass(frozen=True)
class InsertTransposes(Pass):
    """Transposes around concat, split and softmax along an axis that no kernel works along."""

    name: ClassVar[str] = "insert-transposes"

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for node in live_nodes(graph):
            perm = kernel_order(graph, node)
            if perm is not None:
                _surround(graph, node, perm, notes)
        turned = any(node.type.layout is Layout.HWC for node in graph.inputs)
        if not notes.changed and not turned:
            text = "activations are CHW already, as the kernels want: no transpose to insert"
            notes.info(graph.name, text)


def kernel_order(graph: Graph, node: Node) -> Perm | None:
    """The order in which a kernel can run ``node``, or None when it can as it is."""
    axis = node.op.works_along
    if axis is None:
        return None
    whole = graph.type_of(node.inputs[0]) if node.op.role == "cut" else node.type
    if axis_fits(node.op.role, whole.shape, axis, max(len(node.inputs), len(node.outputs))):
        return None
    others = [other for other in identity(len(whole.shape)) if other != axis]
    return (*others, axis) if node.op.role == "softmax" else (axis, *others)


def _surround(graph: Graph, node: Node, perm: Perm, notes: Notes) -> None:
    before = node.op.works_along
    assert before is not None
    for position, ref in enumerate(list(node.inputs)):
        value = graph.constant(ref)
        if value is not None:
            set_constant(graph, node, position, value.transpose(perm))
            continue
        name = f"{node.name}_transpose_in{position if len(node.inputs) > 1 else ''}"
        transpose = make_node(graph, name, Transpose(perm), [ref], node.origin)
        insert_on_edge(graph, node, position, transpose)
        notes.touch(transpose)
    node.op = node.op.along(perm.index(before))
    retype(graph, node)
    for index in range(len(node.outputs)):
        suffix = index if len(node.outputs) > 1 else ""
        name = f"{node.name}_transpose_out{suffix}"
        back = restore_order(graph, node, index, inverse(perm), name)
        if back is not None:
            notes.touch(back)
    notes.touch(node)
    where = "last" if perm[-1] == before else "first"
    text = f"transposed around {node.name}: its kernel works along the {where} axis, not {before}"
    notes.did(node.name, text)


def restore_order(graph: Graph, node: Node, index: int, perm: Perm, name: str) -> Node | None:
    """One transpose for all readers of output ``index``; None where nobody reads it."""
    edges = edges_of(graph, Ref(node.name, index))
    if not edges:
        return None
    back = make_node(graph, name, Transpose(perm), [Ref(node.name, index)], node.origin)
    graph.insert(back, before=edges[0][0].name)
    for reader, position in edges:
        reader.inputs[position] = Ref(back.name)
    return back


@dataclass(frozen=True)
class EliminateTransposes(Pass):
    """Transposes cancel, move past nodes that do not care, and vanish into constants."""

    name: ClassVar[str] = "eliminate-transposes"
    max_steps: int | None = None

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        left = _ALL if self.max_steps is None else self.max_steps
        known: dict[str, Search] = {}  # of transposes nothing has changed around
        work = 0  # every reordering looks at the whole graph
        while left > 0:
            taken = _sweep(graph, left, notes)
            if not taken and work < _MOST_WORK:
                work += len(graph)
                taken = _reorder_best(graph, notes, known)
            if not taken:
                break
            left -= taken
        if self.max_steps is not None:
            return
        _name_after_readers(graph)
        for name in [node.name for node in graph if node.op.permutation is not None]:
            reason = (
                "removing it would need others elsewhere"
                if work < _MOST_WORK
                else "this network has very many; `adjust` again goes on"
            )
            notes.did_not(name, f"kept transpose {name}: {reason}")


def _sweep(graph: Graph, limit: int, notes: Notes) -> int:
    """Simplify transposes where they stand, at most ``limit`` times; how often it was done."""
    taken = 0
    for node in live_nodes(graph):
        while (
            taken < limit
            and node.op.permutation is not None
            and graph.nodes.get(node.name) is node
            and _simplify(graph, node, notes)
        ):
            taken += 1
    if taken:
        graph.prune()
        graph.infer_types()
    return taken


def _reorder_best(graph: Graph, notes: Notes, known: dict[str, Search]) -> int:
    """Reorder the region that saves most: one step, or none when nothing is saved.

    ``known`` holds the searches of the steps before; those that an edit has touched are dropped.
    """
    touched = graph.nodes.take_touched()
    for name in [name for name, entry in known.items() if not entry.seen.isdisjoint(touched)]:
        del known[name]
    transposes = [node for node in live_nodes(graph) if node.op.permutation is not None]
    for node in transposes:
        if node.name not in known:
            known[node.name] = search(graph, node)
    results = [known[node.name] for node in transposes]
    region = max(results, key=lambda entry: entry.saved).region if results else None
    if region is None:
        return 0
    saved = max(entry.saved for entry in results)
    apply_region(graph, region)
    quiet = Notes(notes.pass_name)
    while _sweep(graph, _ALL, quiet):
        pass
    inside = [graph[name] for name in region.nodes if name in graph]
    notes.touch(*inside)
    now = {node.name for node in graph if node.op.permutation is not None}
    gone = [node.name for node in transposes if node.name not in now]
    names = ", ".join(node.name for node in inside)
    text = f"ran {names} in another order of axes, which moves {saved} elements less"
    removed = f": removed transposes {', '.join(gone)}" if gone else ""
    notes.did(inside[0].name, text + removed, *gone, *(node.name for node in inside[1:]))
    return 1


def _simplify(graph: Graph, node: Node, notes: Notes) -> bool:
    """One local simplification at a transpose; False when none applies."""
    return (
        _fold_constant(graph, node, notes)
        or _into_input(graph, node, notes)
        or _remove_trivial(graph, node, notes)
        or _join(graph, node, notes)
        or _share(graph, node, notes)
        or _into_readers(graph, node, notes)
    )


def _perm(node: Node) -> Perm:
    order = node.op.permutation
    assert order is not None
    return order


def _fold_constant(graph: Graph, node: Node, notes: Notes) -> bool:
    value = graph.constant(node.inputs[0])
    if value is None:
        return False
    graph.replace_node(
        node.name, constant_node(node.name, value.transpose(_perm(node)), node.origin)
    )
    notes.did(node.name, f"removed transpose {node.name}: its input is constant")
    return True


def _remove_trivial(graph: Graph, node: Node, notes: Notes) -> bool:
    shape = graph.type_of(node.inputs[0]).shape
    if not moves_nothing(shape, _perm(node)):
        return False
    result = permuted(shape, _perm(node))
    if result == shape:
        bypass(graph, node)
        notes.did(node.name, f"removed transpose {node.name}: it moves nothing")
        return True
    node.op = Reshape(result)
    node.outputs = node.op.infer(graph.input_types(node))
    notes.touch(node)
    text = f"made transpose {node.name} a reshape: it only moves axes of size 1"
    notes.did(node.name, text)
    if _made_by_import(node):
        _rename(graph, node, f"{node.inputs[0].node}_reshape")
    return True


def _made_by_import(node: Node) -> bool:
    """Whether a transpose stands in no model file: that after a recurrent layer."""
    return node.origin.foreign_op != "Transpose" and node.name.endswith(_BESIDE)


def _name_after_readers(graph: Graph) -> None:
    """A transpose that reading the file added is called after the reshape that it stands before."""
    for node in live_nodes(graph):
        reader = sole_consumer(graph, node)
        if node.op.permutation is None or reader is None or not reader.op.reshapes:
            continue
        name = f"{reader.name}{_BESIDE}"
        if _made_by_import(node) and node.name != name:
            _rename(graph, node, name)


def _rename(graph: Graph, node: Node, name: str) -> None:
    twin = node.copy()
    twin.name = graph.unique_name(name)
    graph.replace_node(node.name, twin)


def _join(graph: Graph, node: Node, notes: Notes) -> bool:
    above = graph.producer(node)
    if above.op.permutation is None:
        return False
    node.op = Transpose(after(_perm(above), _perm(node)))
    node.inputs = list(above.inputs)
    notes.touch(node)
    cancel = _perm(node) == identity(len(_perm(node)))
    verb = "cancel" if cancel else "are one"
    notes.did(node.name, f"transposes {above.name} and {node.name} {verb}", above.name)
    if cancel:
        bypass(graph, node)
    return True


def _share(graph: Graph, node: Node, notes: Notes) -> bool:
    """Another transpose of the same tensor into the same order."""
    for twin, position in graph.consumers(node.inputs[0].node):
        same = twin.op == node.op and twin.inputs[position] == node.inputs[0]
        if same and twin is not node:
            graph.redirect(Ref(twin.name), Ref(node.name))
            del graph.nodes[twin.name]
            notes.did(
                node.name, f"removed transpose {twin.name}: {node.name} is the same", twin.name
            )
            return True
    return False


def _into_input(graph: Graph, node: Node, notes: Notes) -> bool:
    source = graph.producer(node)
    if not may_turn(source, _perm(node)) or len(graph.consumers(source.name)) != 1:
        return False
    before = shape_text(source.type.shape)
    turn_input(source, _perm(node))
    bypass(graph, node)
    text = (
        f"{source.name} takes {shape_text(source.type.shape)}, channels first, instead of {before}:"
        f" removed transpose {node.name}; `freeze {source.name}` before adjust keeps it"
    )
    notes.did(source.name, text, node.name)
    return True


def _into_readers(graph: Graph, node: Node, notes: Notes) -> bool:
    for reader, position in graph.consumers(node.name):
        if absorbs(graph, reader, position):
            sort_columns(graph, reader, node.type.shape, inverse(_perm(node)))
            text = f"sorted the weights of {reader.name} instead of transposing by {node.name}"
        elif _swaps_matrix(graph, node, reader, position):
            assert isinstance(reader.op, MatMul)
            reader.op = MatMul(not reader.op.transpose_b)
            text = f"{reader.name} multiplies by the transposed matrix: no need for {node.name}"
        else:
            continue
        reader.inputs[position] = node.inputs[0]
        notes.touch(reader)
        notes.did(reader.name, text, node.name)
        return True
    return False


def _swaps_matrix(graph: Graph, node: Node, reader: Node, position: int) -> bool:
    """Whether ``node`` swaps the last two axes of the second factor of a matrix product."""
    rank = len(_perm(node))
    swap = (*range(rank - 2), rank - 1, rank - 2)
    return isinstance(reader.op, MatMul) and position == 1 and rank >= 2 and _perm(node) == swap
