"""Graph inputs whose order of axes `adjust` has changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from nnshell.ir.graph import Graph, Node
from nnshell.passes.regions import TURNED


def turned(node: Node) -> bool:
    """Whether a graph input takes channels first since `adjust`, and took them last before."""
    return TURNED in node.origin.passes


def fit_batch(graph: Graph, batch: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """A batch made for the graph as imported, in the order of axes that its inputs take now."""
    return [
        array.transpose(0, 3, 1, 2) if _differs(node, array) else array
        for node, array in zip(graph.inputs, batch, strict=True)
    ]


def _differs(node: Node, array: NDArray[Any]) -> bool:
    return turned(node) and array.shape[1:] != node.type.shape
