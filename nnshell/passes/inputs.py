"""Graph inputs and outputs whose order of axes `adjust` has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from nnshell.ir.basic_operators import Input, Output
from nnshell.ir.graph import Graph, Node
from nnshell.ir.permutations import Perm, inverse


def turned(node: Node) -> bool:
    """Whether a graph input takes its axes in another order than the model file's."""
    return isinstance(node.op, Input) and bool(node.op.order)


def fit_batch(graph: Graph, batch: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """A batch made for the graph as imported, in the order of axes that its inputs take now."""
    return [_fit(node, array) for node, array in zip(graph.inputs, batch, strict=True)]


def _fit(node: Node, array: NDArray[Any]) -> NDArray[Any]:
    if not isinstance(node.op, Input) or not node.op.order or array.shape[1:] == node.type.shape:
        return array
    return array.transpose(_behind_samples(node.op.order))


def as_in_file(graph: Graph, results: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Results of outputs, samples first, in the order of axes that the model file has."""
    orders = {n.name: n.op.order for n in graph.outputs if isinstance(n.op, Output) and n.op.order}
    return {
        name: array.transpose(_behind_samples(inverse(orders[name]))) if name in orders else array
        for name, array in results.items()
    }


def _behind_samples(perm: Perm) -> Perm:
    return (0, *(axis + 1 for axis in perm))
