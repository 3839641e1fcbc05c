"""Nodes that hand their input on unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nnshell.ir.graph import Graph, Node
from nnshell.ops.copy import Copy
from nnshell.passes.base import Notes, Pass
from nnshell.passes.rewriting import bypass, constant_operand, live_nodes

INSERT_COPIES = "insert-copies"  # a copy that this pass made is wanted


@dataclass(frozen=True)
class RemoveNoOps(Pass):
    """Reshapes, transposes, pads, slices, sums and others that change nothing."""

    name: ClassVar[str] = "remove-no-ops"
    nntool_names: ClassVar[tuple[str, ...]] = ("remove_noops", "remove_slice")

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for node in live_nodes(graph):
            reason = _why_nothing(graph, node)
            if reason:
                position = _kept_input(graph, node)
                bypass(graph, node, position)
                notes.did(node.name, f"removed {node.kind} {node.name}: {reason}")


@dataclass(frozen=True)
class RemoveCopies(Pass):
    """Copies of the model file (Identity, Dropout); those that memory needs stay."""

    name: ClassVar[str] = "remove-copies"
    nntool_names: ClassVar[tuple[str, ...]] = ("remove_copies",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for node in live_nodes(graph):
            if isinstance(node.op, Copy) and INSERT_COPIES not in node.origin.passes:
                bypass(graph, node)
                notes.did(node.name, f"removed copy {node.name}: readers take its input")


@dataclass(frozen=True)
class RemoveQuantize(Pass):
    """Quantize nodes, whatever the records on their two sides."""

    name: ClassVar[str] = "remove-quantize"
    nntool_names: ClassVar[tuple[str, ...]] = (
        "remove_quantize_operators",
        "remove_unnecessary_quantize_operators",
    )

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for node in live_nodes(graph):
            if node.op.role == "convert":
                bypass(graph, node)
                notes.did(node.name, f"removed {node.name}: quantize inserts what is needed")


def _kept_input(graph: Graph, node: Node) -> int:
    operand = constant_operand(graph, node)
    return 1 - operand[0] if operand is not None else 0


def _why_nothing(graph: Graph, node: Node) -> str:
    """Why a node hands its input on unchanged; empty when it does not."""
    if len(node.outputs) != 1 or not node.inputs:
        return ""
    if graph.type_of(node.inputs[_kept_input(graph, node)]).shape != node.type.shape:
        return ""
    constants = [graph.constant(ref) for ref in node.inputs]
    return node.op.identity_reason(graph.input_types(node), constants)
