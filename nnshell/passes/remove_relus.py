"""Rectifiers that change nothing, because what they read is within their bounds already."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar

from nnshell.ir.graph import Graph, Node
from nnshell.ir.requests import Range
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
            limits = node.op.clips_to
            if limits is not None:
                _remove(graph, node, limits, notes)


def _remove(graph: Graph, node: Node, limits: Range, notes: Notes) -> None:
    known = known_range(graph, node.inputs[0])
    low, high = known.minimum, known.maximum
    if low < limits.minimum or high > limits.maximum:
        return
    before = node.inputs[0].node
    bypass(graph, node)
    high_text = "infinity" if high == inf else f"{high:g}"
    notes.did(
        node.name,
        f"removed {node.name}: {before} is within {low:g} and {high_text} already",
        before,
    )
