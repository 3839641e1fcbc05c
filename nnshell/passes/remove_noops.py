"""Nodes that hand their input on unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnshell.ir.basic_operators import Reshape
from nnshell.ir.graph import Graph, Node
from nnshell.ops.add import Add
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.concat import Concat
from nnshell.ops.copy import Copy
from nnshell.ops.div import Div
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.mul import Mul
from nnshell.ops.pad import Pad
from nnshell.ops.quantize import Quantize
from nnshell.ops.resize import Resizer
from nnshell.ops.split import Split
from nnshell.ops.strided_slice import StridedSlice
from nnshell.ops.sub import Sub
from nnshell.ops.transpose import Transpose
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
            if isinstance(node.op, Quantize):
                bypass(graph, node)
                notes.did(node.name, f"removed {node.name}: quantize inserts what is needed")


def _kept_input(graph: Graph, node: Node) -> int:
    operand = constant_operand(graph, node)
    return 1 - operand[0] if operand is not None else 0


def _why_nothing(graph: Graph, node: Node) -> str:
    """Why a node hands its input on unchanged; empty when it does not."""
    if len(node.outputs) != 1 or not node.inputs:
        return ""
    op = node.op
    if isinstance(op, (Add, Sub, Mul, Div)):
        return _neutral(graph, node)
    if graph.type_of(node.inputs[0]).shape != node.type.shape:
        return ""
    if isinstance(op, Reshape):
        return "the shape stays"
    if isinstance(op, Transpose) and op.perm == tuple(range(len(op.perm))):
        return "the order of axes stays"
    if isinstance(op, Pad):
        return "it pads nothing"
    if isinstance(op, StridedSlice) and all(stride > 0 for stride in op.strides):
        return "it takes everything"
    if isinstance(op, (Concat, Split)) and len(node.inputs) == 1:
        return "it has one part"
    if isinstance(op, Resizer) and op.scales is None:
        return "the size stays"
    if isinstance(op, (MaxPool, AveragePool)) and op.window.kernel == (1, 1):
        return "its window is one element" if not op.window.padded else ""
    return ""


def _neutral(graph: Graph, node: Node) -> str:
    operand = constant_operand(graph, node)
    if operand is None:
        return ""
    position, value = operand
    if graph.type_of(node.inputs[1 - position]).shape != node.type.shape:
        return ""
    if isinstance(node.op, (Add, Sub)) and not np.any(value):
        return "it adds 0" if position == 1 or isinstance(node.op, Add) else ""
    if isinstance(node.op, (Mul, Div)) and np.all(value == 1):
        return "it multiplies by 1" if position == 1 or isinstance(node.op, Mul) else ""
    return ""
