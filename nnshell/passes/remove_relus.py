"""Rectifiers that change nothing, because what they read is within their bounds already.

What is known of a tensor is whether it is never negative, and an upper bound. It spreads from
rectifiers, hard sigmoids and constants through what only moves, joins or pools values; sums,
products and quotients of what is never negative are not negative either, but have no bound.
NNTool knows just that and no more, and the integers of a rectifier that stays differ from those of
one that goes, so no more is used here. Limits that NNTool does not have, as of a clip with a lower
bound other than 0, go by any bound that is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np

from nnshell.ir.facts import POOLS, Role
from nnshell.ir.graph import Graph, Node
from nnshell.ir.requests import Range
from nnshell.ops.hard_sigmoid import HardSigmoid
from nnshell.passes.base import Notes, Pass
from nnshell.passes.known_range import known_range
from nnshell.passes.rewriting import bypass, live_nodes

_KEEPERS: tuple[Role, ...] = (*POOLS, "join")
_UNBOUNDED: tuple[Role, ...] = ("sum", "product", "quotient")  # of what is never negative


@dataclass(frozen=True)
class RemoveRelus(Pass):
    """Relu after a relu, after a sum of relus or after anything else within its bounds."""

    name: ClassVar[str] = "remove-relus"
    nntool_names: ClassVar[tuple[str, ...]] = ("remove_relus",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        tops: dict[str, float | None] = {}  # upper bounds of what is never negative
        for node in live_nodes(graph):
            values = [tops.get(ref.node) for ref in node.inputs]
            tops[node.name] = _top(node, values)
            limits = node.op.clips_to
            if limits is None:
                continue
            known = known_range(graph, node.inputs[0])
            if limits.minimum == 0.0:
                known = Range(0.0, values[0]) if values[0] is not None else Range(-inf, inf)
            if known.minimum >= limits.minimum and known.maximum <= limits.maximum:
                _remove(graph, node, known, notes)


def _top(node: Node, values: Sequence[float | None]) -> float | None:
    """The upper bound of a node's results, infinite where unknown; None if they may be negative."""
    op, limits = node.op, node.op.clips_to
    if op.known_value is not None:
        return _top_of_constant(node)
    if limits is not None:
        return limits.maximum if limits.minimum >= 0.0 else None
    if isinstance(op, HardSigmoid):
        return 1.0
    known = [top for top in values if top is not None]
    if not values or len(known) < len(values):
        return None
    if op.role in _UNBOUNDED:
        return inf
    keeps = op.role in _KEEPERS or op.reshapes or op.permutation is not None
    return max(known) if keeps else None


def _top_of_constant(node: Node) -> float | None:
    value = np.asarray(node.op.known_value)
    if value.dtype.kind not in "fiu" or not value.size or not np.isfinite(value).all():
        return None
    return float(value.max()) if value.min() >= 0 else None


def _remove(graph: Graph, node: Node, known: Range, notes: Notes) -> None:
    before = node.inputs[0].node
    bypass(graph, node)
    high = "infinity" if known.maximum == inf else f"{known.maximum:g}"
    notes.did(
        node.name,
        f"removed {node.name}: {before} is within {known.minimum:g} and {high} already",
        before,
    )
