"""Feature maps whose channels are last, brought to the kernels' order: channels, height, width.

Every node that works on channels last becomes the kernel's own operator between two transposes,

    CONV_2D_0_3_trans_in0 -> CONV_2D_0_3 -> CONV_2D_0_3_trans_out0

and its weights get one as well. Then the transposes are moved until they meet (``move_transposes``)
and most are gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nnshell.ir.graph import Graph, Node
from nnshell.ir.permutations import Perm, inverse
from nnshell.ops.channels_last import TO_FIRST, TO_LAST, ChannelsLast
from nnshell.ops.transpose import Transpose
from nnshell.passes.base import Notes, Pass
from nnshell.passes.move_transposes import MoveTransposes, fold_into_constants
from nnshell.passes.rewriting import insert_on_edge, make_node, retype
from nnshell.passes.transposes import kernel_order, restore_order


@dataclass(frozen=True)
class ChannelsFirst(Pass):
    """Kernels that were read on channels last, on channels first between transposes that cancel.

    ``eliminate`` false leaves all transposes in place; ``max_steps`` limits how many are moved.
    """

    name: ClassVar[str] = "channels-first"
    eliminate: bool = True
    max_steps: int | None = None

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        if not has_channels_last(graph):
            return
        notes.info(graph.name, "adding transposes to correct tensor order for AT kernels")
        for node in list(graph):
            if isinstance(node.op, ChannelsLast):
                _unwrap(graph, node, notes)
            else:
                _turn_axis(graph, node, notes)
        graph.infer_types()
        if self.eliminate:
            MoveTransposes(self.max_steps).rewrite(graph, notes)
        fold_into_constants(graph)


def has_channels_last(graph: Graph) -> bool:
    """Whether the graph still has feature maps in the order that its file had."""
    return any(isinstance(node.op, ChannelsLast) for node in graph)


def _unwrap(graph: Graph, node: Node, notes: Notes) -> None:
    op = node.op
    assert isinstance(op, ChannelsLast)
    _before(graph, node, 0, TO_FIRST)
    if op.weights:
        _before(graph, node, 1, op.weights)
    node.op = op.inner
    retype(graph, node)
    if len(node.type.shape) == 3:
        _after(graph, node, 0, TO_LAST)
    notes.touch(node)
    notes.changed = True  # each transpose that is moved says so


def _turn_axis(graph: Graph, node: Node, notes: Notes) -> None:
    """Concat, split and softmax along an axis that no kernel works along."""
    axis, perm = node.op.works_along, kernel_order(graph, node)
    if axis is None or perm is None:
        return
    for position in range(len(node.inputs)):
        _before(graph, node, position, perm)
    to = perm.index(axis)
    text = f"{node.kind} {node.name}: moving axis {axis} to {to} and inserting transposes"
    node.op = node.op.along(to)
    retype(graph, node)
    for index in range(len(node.outputs)):
        _after(graph, node, index, inverse(perm))
    notes.did(node.name, text)


def _before(graph: Graph, node: Node, position: int, perm: Perm) -> None:
    source = node.inputs[position]
    name = f"{node.name}_trans_in{position}"
    insert_on_edge(
        graph, node, position, make_node(graph, name, Transpose(perm), [source], node.origin)
    )


def _after(graph: Graph, node: Node, index: int, perm: Perm) -> None:
    restore_order(graph, node, index, perm, f"{node.name}_trans_out{index}")
