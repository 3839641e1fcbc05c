"""Activations next to the operator that can run them.

    f(reshape(x)) = reshape(f(x)), the same for transpose, copy and slice, and for a zero pad when
    f(0) = 0

so an activation moves up past them to the filter, sum or pool whose kernel runs it for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.operator import Operator
from nnshell.ops.add import Add
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.global_pool import GlobalPool
from nnshell.ops.linear import Linear
from nnshell.ops.matmul import MatMul
from nnshell.ops.max_pool import MaxPool
from nnshell.passes.activations import KernelSet, fusible
from nnshell.passes.base import Notes, Pass
from nnshell.passes.rewriting import (
    live_nodes,
    make_node,
    shared_by,
    sole_consumer,
    swap_with_consumer,
)

RUNNERS = (Conv2D, Linear, MatMul, Add, MaxPool, AveragePool, GlobalPool)


@dataclass(frozen=True)
class MoveActivationsUp(Pass):
    """Activation moves up past reshapes, transposes, slices and pads to its filter."""

    name: ClassVar[str] = "move-activations-up"
    nntool_names: ClassVar[tuple[str, ...]] = ("move_activations_up",)
    kernels: KernelSet = "scale8"

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for node in live_nodes(graph):
            if fusible(node.op, self.kernels) and len(node.inputs) == 1:
                self._move(graph, node, notes)

    def _move(self, graph: Graph, active: Node, notes: Notes) -> None:
        passed: list[Node] = []
        above = graph.producer(active)
        while _transparent(graph, above, active.op):
            passed.append(above)
            above = graph.producer(above)
        if not passed or not isinstance(above.op, RUNNERS):
            return
        for node in (above, *reversed(passed)):
            if sole_consumer(graph, node) is None:
                text = f"did not move {active.name} up to {above.name}: of {node.name}, "
                notes.did_not(active.name, text + shared_by(graph, node), above.name, node.name)
                return
        for node in passed:
            swap_with_consumer(graph, node, active)
        notes.touch(active, *passed)
        names = ", ".join(node.name for node in passed)
        text = f"moved {active.name} up to {above.name}, past {names}"
        notes.did(active.name, text, above.name, *(node.name for node in passed))


def _transparent(graph: Graph, node: Node, activation: Operator) -> bool:
    border = node.op.border()
    if border is not None:
        return border.value == 0 and activation.keeps_zero
    return node.op.role == "move" and node.op.moves_only(graph.input_types(node))


@dataclass(frozen=True)
class MoveActivationBeforeSplit(Pass):
    """The same activation after every part of a split, once before it."""

    name: ClassVar[str] = "move-activation-before-split"
    nntool_names: ClassVar[tuple[str, ...]] = ("move_nodes_before_split",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for node in live_nodes(graph):
            if len(node.outputs) > 1 and node.op.moves_only(graph.input_types(node)):
                _hoist(graph, node, notes)


def _hoist(graph: Graph, split: Node, notes: Notes) -> None:
    edges = graph.consumers(split.name)
    readers = [reader for reader, _ in edges]
    first = readers[0] if readers else None
    if first is None or first.op.role != "activation" or len(first.inputs) != 1:
        return
    if any(reader.op != first.op for reader in readers):
        return
    if [reader.inputs[p].index for reader, p in edges] != list(range(len(split.outputs))):
        return
    for index, reader in enumerate(readers):
        graph.redirect(Ref(reader.name), Ref(split.name, index))
        del graph.nodes[reader.name]
    hoisted = make_node(graph, first.name, first.op, split.inputs, first.origin)
    graph.insert(hoisted, before=split.name)
    split.inputs[0] = Ref(hoisted.name)
    notes.touch(hoisted, split)
    names = ", ".join(reader.name for reader in readers)
    text = f"moved {names} before {split.name}, as one activation {first.name}"
    notes.did(first.name, text, split.name, *(reader.name for reader in readers))
