"""What a tensor's values are bound by, from the operators that make it."""

from __future__ import annotations

from nnshell.ir.facts import EVERYTHING
from nnshell.ir.graph import Graph, Ref
from nnshell.ir.requests import Range

_DEPTH = 16  # nodes looked through
_NOTHING = Range(0.0, 0.0)


def known_range(graph: Graph, ref: Ref) -> Range:
    """Lowest and highest value that the tensor can take; infinite where nothing bounds it."""
    return _range_of(graph, ref.node, _DEPTH, {})


def _range_of(graph: Graph, name: str, depth: int, known: dict[str, Range]) -> Range:
    """``known`` keeps what was derived of nodes that are reached on several ways."""
    if name not in known:
        known[name] = _derived(graph, name, depth, known)
    return known[name]


def _derived(graph: Graph, name: str, depth: int, known: dict[str, Range]) -> Range:
    node = graph[name]
    anything = node.op.bounds([EVERYTHING] * len(node.inputs))
    if depth == 0 or node.op.bounds([_NOTHING] * len(node.inputs)) == anything:
        return anything  # whatever comes in
    return node.op.bounds([_range_of(graph, ref.node, depth - 1, known) for ref in node.inputs])
