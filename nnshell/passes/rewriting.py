"""Questions that passes ask about a node's neighbours, and the edits they make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.graph import Graph, Node, Ref, constant_node
from nnshell.ir.operator import Operator
from nnshell.ir.types import Origin, TensorType

_COUNTS = ("no", "one", "two", "three", "four", "five")


# -- questions -----------------------------------------------------------------------------


def live_nodes(graph: Graph) -> Iterator[Node]:
    """Nodes in step order, without those that the loop over them has removed meanwhile."""
    for node in graph.steps():
        if graph.nodes.get(node.name) is node:
            yield node


def sole_consumer(graph: Graph, node: Node) -> Node | None:
    """The only reader of ``node``, when it has one output that is read once."""
    if graph.consumer_count(node.name) != 1 or len(node.outputs) != 1:
        return None
    return graph.consumers(node.name)[0][0]


def readers(graph: Graph, node: Node) -> list[Node]:
    """Nodes that read ``node``, each once."""
    return list({n.name: n for n, _ in graph.consumers(node.name)}.values())


def shared_by(graph: Graph, node: Node) -> str:
    """Why something between ``node`` and its reader cannot be merged into it."""
    names = [consumer.name for consumer, _ in graph.consumers(node.name)]
    count = _COUNTS[len(names)] if len(names) < len(_COUNTS) else str(len(names))
    more = ", ..." if len(names) > 4 else ""
    return f"its output has {count} consumers ({', '.join(names[:4])}{more})"


def is_constant(graph: Graph, ref: Ref) -> bool:
    return graph.constant(ref) is not None


def constant_operand(graph: Graph, node: Node) -> tuple[int, NDArray[Any]] | None:
    """(index, value) of the one constant among two operands, else None."""
    values = [graph.constant(ref) for ref in node.inputs]
    results = [(index, value) for index, value in enumerate(values) if value is not None]
    return results[0] if len(node.inputs) == 2 and len(results) == 1 else None


def per_channel(value: NDArray[Any], output: TensorType) -> NDArray[np.float32] | None:
    """``value`` as one number per channel (axis 0) of ``output``, when it broadcasts so."""
    rank = len(output.shape)
    if value.ndim > rank or not np.issubdtype(value.dtype, np.number):
        return None
    shape = (1,) * (rank - value.ndim) + value.shape
    if any(extent != 1 for extent in shape[1:]) or shape[:1] not in ((1,), output.shape[:1]):
        return None
    return np.broadcast_to(value.reshape(-1), output.shape[:1]).astype(np.float32)


def shape_text(shape: Sequence[int]) -> str:
    return "x".join(str(extent) for extent in shape) or "scalar"


# -- edits ---------------------------------------------------------------------------------


def make_node(graph: Graph, name: str, op: Operator, inputs: Sequence[Ref], origin: Origin) -> Node:
    """A node (not yet in the graph) with its types inferred; the name is made unique."""
    types = tuple(graph.type_of(ref) for ref in inputs)
    return Node(graph.unique_name(name), op, list(inputs), op.infer(types), origin)


def retype(graph: Graph, node: Node) -> None:
    """Infer a node's output types again."""
    node.outputs = node.op.infer(graph.input_types(node), node.body)


def bypass(graph: Graph, node: Node, position: int = 0) -> None:
    """Remove ``node``: whoever reads its output 0 reads its input ``position`` instead."""
    graph.redirect(Ref(node.name), node.inputs[position])
    del graph.nodes[node.name]


def insert_on_edge(graph: Graph, consumer: Node, position: int, node: Node) -> None:
    """Put ``node`` (which reads the edge's tensor) on the edge into ``consumer``."""
    graph.insert(node, before=consumer.name)
    consumer.inputs[position] = Ref(node.name)


def insert_after(graph: Graph, producer: Node, node: Node) -> None:
    """Put ``node`` (which reads output 0 of ``producer``) between it and all its readers."""
    for consumer, position in graph.consumers(producer.name):
        if consumer.inputs[position].index == 0:
            consumer.inputs[position] = Ref(node.name)
    place_after(graph, producer.name, node)


def place_after(graph: Graph, name: str, node: Node) -> None:
    """Add ``node`` after ``name`` in insertion order."""
    graph.insert_after(node, after=name)


def swap_with_consumer(graph: Graph, upper: Node, lower: Node) -> None:
    """``x -> upper -> lower -> y`` becomes ``x -> lower -> upper -> y`` (one input each)."""
    graph.redirect(Ref(lower.name), Ref(upper.name))
    lower.inputs[0], upper.inputs[0] = upper.inputs[0], Ref(lower.name)
    retype(graph, lower)
    retype(graph, upper)
    graph.nodes.swap(upper.name, lower.name)


def set_constant(graph: Graph, node: Node, position: int, value: NDArray[Any]) -> None:
    """Give constant input ``position`` of ``node`` a new value; other readers keep the old one."""
    constant = graph.producer(node, position)
    fresh = constant_node(constant.name, np.ascontiguousarray(value), constant.origin)
    if graph.consumer_count(constant.name) == 1:
        graph.replace_node(constant.name, fresh)
        return
    fresh.name = graph.unique_name(constant.name)
    graph.insert(fresh, before=node.name)
    node.inputs[position] = Ref(fresh.name)


def add_constant(graph: Graph, name: str, value: NDArray[Any], before: str, origin: Origin) -> Ref:
    """A new constant before ``before`` in insertion order."""
    node = constant_node(graph.unique_name(name), np.ascontiguousarray(value), origin)
    graph.insert(node, before=before)
    return Ref(node.name)
