"""Tensors that cannot share memory: constants with several readers, ports, parts of stacks.

On the chip a graph input and a graph output lie where the caller puts them, and the parts of a
free concat or split lie one behind the other in one buffer. A tensor that would have to lie in two
such places is copied into the second. Reshapes in between change nothing: they share the memory of
their input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nnshell.ir.graph import Graph, Node, Ref, constant_node
from nnshell.ir.types import TensorType
from nnshell.ops.copy import Copy
from nnshell.passes.base import Notes, Pass
from nnshell.passes.rewriting import insert_on_edge, live_nodes, make_node


@dataclass(frozen=True)
class DuplicateConstants(Pass):
    """Constant with several readers, once for each: each quantizes it in its own way."""

    name: ClassVar[str] = "duplicate-constants"
    nntool_names: ClassVar[tuple[str, ...]] = ("duplicate_constants",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for node in live_nodes(graph):
            value = node.op.known_value
            if value is None:
                continue
            for reader, position in graph.consumers(node.name)[1:]:
                twin = constant_node(graph.unique_name(node.name), value, node.origin)
                graph.insert(twin, before=reader.name)
                reader.inputs[position] = Ref(twin.name)
                notes.touch(twin)
                text = f"duplicated constant {node.name} as {twin.name} for {reader.name}"
                notes.did(twin.name, text, node.name, reader.name)


@dataclass(frozen=True)
class InsertCopies(Pass):
    """Copy where a tensor would have to lie in two places at once."""

    name: ClassVar[str] = "insert-copies"
    nntool_names: ClassVar[tuple[str, ...]] = (
        "insert_copies",
        "copy_on_outputs",
        "duplicate_operations_out",
    )

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for node in live_nodes(graph):
            if node.op.reshapes:
                continue
            for index in range(len(node.outputs)):
                self._place(graph, node, Ref(node.name, index), notes)

    def _place(self, graph: Graph, node: Node, ref: Ref, notes: Notes) -> None:
        home = _home_of_producer(graph, node)
        stacked = home == "a concat"  # a stack may lie in a graph output, not in another stack
        taken = "" if stacked else home
        for reader, position in _readers(graph, ref):
            wanted = _home_of_reader(graph, reader)
            if wanted and (taken or (stacked and wanted == "a concat")):
                _copy(graph, reader, position, f"{node.name} lies in {taken or home}", notes)
            else:
                taken = taken or wanted


def _copy(graph: Graph, reader: Node, position: int, reason: str, notes: Notes) -> None:
    source = reader.inputs[position]
    copy = make_node(graph, f"{source.node}_copy", Copy(), [source], reader.origin)
    insert_on_edge(graph, reader, position, copy)
    notes.touch(copy)
    text = f"inserted {copy.name} in front of {reader.name}: {reason}"
    notes.did(copy.name, text, source.node, reader.name)


def _readers(graph: Graph, ref: Ref) -> list[tuple[Node, int]]:
    """Edges that read the memory of ``ref``, those behind reshapes included."""
    found: list[tuple[Node, int]] = []
    waiting = [ref]
    while waiting:
        source = waiting.pop()
        edges = [(n, p) for n, p in graph.consumers(source.node) if n.inputs[p] == source]
        waiting.extend(Ref(n.name) for n, _ in edges if n.op.reshapes)
        found.extend(edge for edge in edges if not edge[0].op.reshapes)
    return found


def _home_of_producer(graph: Graph, node: Node) -> str:
    cut = node.op.cut_axis
    if node.op.role == "input":
        return "the graph input"
    if cut is not None and free_stack(graph.type_of(node.inputs[0]), cut):
        return "a split tensor"
    return _stack(node)


def _stack(node: Node) -> str:
    joined = node.op.joined_axis
    return "a concat" if joined is not None and free_stack(node.type, joined) else ""


def _home_of_reader(graph: Graph, reader: Node) -> str:
    return "a graph output" if reader.op.role == "output" else _stack(reader)


def free_stack(whole: TensorType, axis: int) -> bool:
    """Whether parts along ``axis`` lie one behind the other: every axis before it has size 1."""
    return all(extent == 1 for extent in whole.shape[:axis])
