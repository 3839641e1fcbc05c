"""Tensors that cannot share memory: constants with several readers, ports, parts of stacks.

On the chip a graph input and a graph output lie where the caller puts them, and the parts of a
free concat or split lie one after the other in one buffer. A tensor that would have to lie in two
such places is copied into the second. Reshapes in between change nothing: they share the memory of
their input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from nnshell.ir.graph import Graph, Node, Ref, constant_node, numbered_name
from nnshell.ir.types import TensorType
from nnshell.ops.copy import Copy
from nnshell.passes.base import Notes, Pass
from nnshell.passes.rewriting import bypass, live_nodes, make_node


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
    """Copy where a tensor would have to lie in two places at once.

    Each case says for which nodes an edge is looked at, and what must not be found from there.
    """

    name: ClassVar[str] = "insert-copies"
    nntool_names: ClassVar[tuple[str, ...]] = (
        "insert_copies",
        "copy_on_outputs",
        "duplicate_operations_out",
    )

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for case in _CASES:
            nodes = [node for node in graph.steps() if case.concerns(graph, node)]
            for node in reversed(nodes) if case.backwards else nodes:
                self._check_inputs(graph, node, case, notes)
        for node in live_nodes(graph):
            if _whole_axis(node) is not None:
                self._check_siblings(graph, node, notes)

    def _check_inputs(self, graph: Graph, node: Node, case: _Case, notes: Notes) -> None:
        for position in reversed(range(len(node.inputs))):
            if _Walk(graph, case).up(node, position):
                _copy(graph, node, position, case.reason, notes)

    def _check_siblings(self, graph: Graph, node: Node, notes: Notes) -> None:
        """What a stack beside a concat or split reads is copied for the stack."""
        for position in range(len(node.inputs)):
            edge: tuple[Node, int] | None = (node, position)
            while edge is not None:
                edge = _edge_to_stack(graph, node, position)
                if edge is not None:
                    _copy(graph, *edge, f"{node.name} reads the same", notes)


def _copy(graph: Graph, reader: Node, position: int, reason: str, notes: Notes) -> None:
    source = reader.inputs[position]
    name = numbered_name(graph, f"{source.node}_copy")
    copy = graph.add(make_node(graph, name, Copy(), [source], reader.origin))
    reader.inputs[position] = Ref(copy.name)
    notes.touch(copy)
    text = f"inserted {copy.name} before {reader.name}: {reason}"
    notes.did(copy.name, text, source.node, reader.name)


def placed_by(node: Node, pass_name: str) -> bool:
    """Whether a node is a copy that this pass has inserted."""
    return node.op.copies and node.origin.passes[-1:] == (pass_name,)


def renew_copies(graph: Graph) -> None:
    """Take out all copies that were inserted and put in those that the graph needs now."""
    for node in [node for node in graph if placed_by(node, InsertCopies.name)]:
        bypass(graph, node)
    InsertCopies().rewrite(graph, Notes(InsertCopies.name))


# -- what lies where -----------------------------------------------------------------------


def generates_nothing(graph: Graph, node: Node) -> bool:
    """Whether a node's output is its input's memory."""
    return node.op.keeps_memory(graph.input_types(node), node.outputs)


def is_stack(graph: Graph, node: Node) -> bool:
    """Whether a node's parts lie one after the other in one buffer, so that nothing is computed."""
    axis = _whole_axis(node)
    if axis is None or generates_nothing(graph, node):
        return False
    whole = node.type if node.op.cut_axis is None else graph.type_of(node.inputs[0])
    return free_stack(whole, axis)


def _whole_axis(node: Node) -> int | None:
    """The axis along which a node joins or cuts."""
    return node.op.joined_axis if node.op.cut_axis is None else node.op.cut_axis


def free_stack(whole: TensorType, axis: int) -> bool:
    """Whether parts along ``axis`` lie one after the other: every axis before it has size 1."""
    return all(extent == 1 for extent in whole.shape[:axis])


def ends_memory(graph: Graph, node: Node) -> bool:
    """Whether a node's memory has its place: ends of the graph, what is joined or cut."""
    return node.op.role in ("input", "output", "constant", "join", "cut")


def _outside(node: Node) -> bool:
    """Whether the application, not the graph, owns the memory of an input or output."""
    return node.options.get("ALLOCATE", "0") in ("", "0")


# -- cases ---------------------------------------------------------------------------------

Test = Callable[[Graph, Node], bool]


@dataclass(frozen=True, slots=True)
class _Case:
    """Edges into nodes that it concerns lead to no memory of another kind without a copy.

    ``above`` and ``below`` are what is looked for going up and going down.
    """

    concerns: Test
    above: Test
    below: Test
    reason: str
    backwards: bool = False  # the first node stays as it is


def _never(graph: Graph, node: Node) -> bool:
    return False


def _stacked_join(graph: Graph, node: Node) -> bool:
    return node.op.role == "join" and is_stack(graph, node)


def _stacked_cut(graph: Graph, node: Node) -> bool:
    return node.op.role == "cut" and is_stack(graph, node)


def _output(graph: Graph, node: Node) -> bool:
    return node.op.role == "output"


def _outer_output(graph: Graph, node: Node) -> bool:
    return node.op.role == "output" and _outside(node)


def _outer_input(graph: Graph, node: Node) -> bool:
    return node.op.role == "input" and _outside(node)


_CASES = (
    _Case(is_stack, is_stack, is_stack, "it would lie in two stacks"),
    _Case(_output, _stacked_cut, _never, "it lies in a split tensor"),
    _Case(_output, _never, _stacked_join, "it lies in a concat"),
    _Case(_stacked_cut, _outer_input, _never, "it lies in a graph input"),
    _Case(_outer_output, _never, _stacked_cut, "it is split as well"),
    _Case(_outer_output, _stacked_join, _never, "it lies in a concat"),
    _Case(_stacked_join, _outer_input, _never, "it lies in a graph input"),
    _Case(_output, _outer_input, _output, "it lies in another end of the graph", backwards=True),
)


@dataclass(slots=True, eq=False)
class _Walk:
    """Looks along memory that is shared, from one edge on."""

    graph: Graph
    case: _Case
    _visited: set[tuple[str, int, bool]] = field(default_factory=set)

    def up(self, reader: Node, position: int) -> bool:
        if not self._enters(reader, position, False):
            return False
        producer = self.graph.producer(reader, position)
        if self.case.above(self.graph, producer):
            return True
        shared = generates_nothing(self.graph, producer)
        if shared and any(self.up(producer, index) for index in range(len(producer.inputs))):
            return True
        return any(self.down(*edge) for edge in self._others(reader, position, all_outputs=shared))

    def down(self, reader: Node, position: int) -> bool:
        if not self._enters(reader, position, True):
            return False
        if self.case.below(self.graph, reader):
            return True
        return generates_nothing(self.graph, reader) and any(
            self.down(*edge) for edge in self.graph.consumers(reader.name)
        )

    def _others(self, reader: Node, position: int, *, all_outputs: bool) -> list[tuple[Node, int]]:
        source = reader.inputs[position]
        return [
            (node, index)
            for node, index in self.graph.consumers(source.node)
            if (node, index) != (reader, position) and (all_outputs or node.inputs[index] == source)
        ]

    def _enters(self, reader: Node, position: int, down: bool) -> bool:
        key = (reader.name, position, down)
        fresh = key not in self._visited
        self._visited.add(key)
        return fresh


def _edge_to_stack(graph: Graph, node: Node, position: int) -> tuple[Node, int] | None:
    """An edge that leads to a stack from where ``node`` reads, another than the node's own."""
    edge = (node, position)
    while True:
        source = edge[0].inputs[edge[1]]
        siblings = [
            (n, p)
            for n, p in graph.consumers(source.node)
            if n.inputs[p] == source and (n, p) != edge
        ]
        for other in siblings:
            if _leads_to_stack(graph, *other):
                return other
        producer = graph[source.node]
        if siblings or not generates_nothing(graph, producer) or not producer.inputs:
            return None
        edge = (producer, 0)


def _leads_to_stack(graph: Graph, reader: Node, position: int) -> bool:
    if is_stack(graph, reader):
        return True
    return generates_nothing(graph, reader) and any(
        _leads_to_stack(graph, *edge) for edge in graph.consumers(reader.name)
    )
