"""Reshapes cost nothing on the chip, but they stand between nodes that could be fused.

A reshape never moves an element, so two in a row are one, and a linear layer, which reads its
input as one vector in memory order, needs none before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nnshell.ir.graph import Graph, Node, constant_node
from nnshell.passes.base import Notes, Pass
from nnshell.passes.rewriting import bypass, live_nodes, shape_text


@dataclass(frozen=True)
class RemoveReshapes(Pass):
    """Reshapes of reshapes, of constants, and those that keep the shape."""

    name: ClassVar[str] = "remove-reshapes"
    nntool_names: ClassVar[tuple[str, ...]] = (
        "remove_reshapes",
        "expand_to_reshape",
        "squeeze_expand",
    )

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for node in live_nodes(graph):
            if node.op.reshapes and node.name in graph:
                _remove_reshape(graph, node, notes)


def _remove_reshape(graph: Graph, node: Node, notes: Notes) -> None:
    above = graph.producer(node)
    if above.op.reshapes and _stands_for_transpose(graph, above):
        above.op, above.outputs = node.op, node.outputs
        bypass(graph, node)
        notes.did(above.name, f"joined reshape {node.name} with {above.name}", node.name)
        notes.touch(above)
        return
    if above.op.reshapes:
        node.inputs[0] = above.inputs[0]
        text = f"joined reshape {above.name} with {node.name}"
        notes.did(node.name, text, above.name)
        notes.touch(node)
    value = graph.constant(node.inputs[0])
    if value is not None:
        fresh = constant_node(node.name, value.reshape(node.type.shape), node.origin)
        graph.replace_node(node.name, fresh)
        notes.did(node.name, f"removed reshape {node.name}: its input is constant")
    elif graph.type_of(node.inputs[0]).shape == node.type.shape:
        bypass(graph, node)
        notes.did(node.name, f"removed reshape {node.name}: the shape stays")


def _stands_for_transpose(graph: Graph, node: Node) -> bool:
    """Whether a reshape took the place of a transpose after a recurrent layer: its name stays."""
    source = graph.producer(node)
    named = node.name == f"{source.name}_reshape" and source.op.sequence_axis is not None
    return named and graph.consumer_count(node.name) == 1


@dataclass(frozen=True)
class RemoveReshapesBeforeLinear(Pass):
    """Flatten before a linear layer, which reads its input as one vector anyway."""

    name: ClassVar[str] = "remove-reshapes-before-linear"
    nntool_names: ClassVar[tuple[str, ...]] = ("remove_reshapes_before_linear",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for linear in live_nodes(graph):
            if linear.op.reads_flat:
                self._remove(graph, linear, notes)

    def _remove(self, graph: Graph, linear: Node, notes: Notes) -> None:
        while graph.producer(linear).op.reshapes:
            reshape = graph.producer(linear)
            source = graph.type_of(reshape.inputs[0])
            linear.inputs[0] = reshape.inputs[0]
            notes.touch(linear)
            text = (
                f"removed reshape {reshape.name} before {linear.name}: the linear kernel reads its "
                f"input ({shape_text(source.shape)}) as one vector of {source.size}, in this order"
            )
            notes.did(linear.name, text, reshape.name)
