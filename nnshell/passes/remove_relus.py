"""Rectifiers that change nothing, because what they read is within their bounds already."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar

from nnshell.ir.graph import Graph, Node
from nnshell.ir.operator import Operator
from nnshell.ops.clip import Clip
from nnshell.ops.relu import Relu, Relu6, ReluN
from nnshell.passes.base import Notes, Pass
from nnshell.passes.known_range import known_range
from nnshell.passes.rewriting import bypass, live_nodes


@dataclass(frozen=True)
class RemoveRelus(Pass):
    """Relu behind a relu, a sigmoid or anything else that stays within its bounds."""

    name: ClassVar[str] = "remove-relus"
    nntool_names: ClassVar[tuple[str, ...]] = ("remove_relus",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for node in live_nodes(graph):
            if isinstance(node.op, (Relu, Relu6, ReluN, Clip)):
                _remove(graph, node, notes)


def _remove(graph: Graph, node: Node, notes: Notes) -> None:
    low, high = known_range(graph, node.inputs[0])
    lower, upper = bounds(node.op)
    if low < lower or high > upper:
        return
    before = node.inputs[0].node
    bypass(graph, node)
    high_text = "infinity" if high == inf else f"{high:g}"
    notes.did(
        node.name,
        f"removed {node.name}: {before} is within {low:g} and {high_text} already",
        before,
    )


def bounds(op: Operator) -> tuple[float, float]:
    """What a rectifier or clip limits its input to."""
    if isinstance(op, Clip):
        return op.minimum, op.maximum
    if isinstance(op, ReluN):
        return 0.0, op.upper
    return 0.0, 6.0 if isinstance(op, Relu6) else inf
