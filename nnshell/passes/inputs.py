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
    """A batch in the model file's order of axes, in the order that the inputs take now."""
    return [_permuted(array, _order(node)) for node, array in zip(graph.inputs, batch, strict=True)]


def batch_in_file(graph: Graph, batch: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """A batch in the order that the inputs take now, in the model file's order of axes."""
    return [
        _permuted(array, inverse(_order(node)))
        for node, array in zip(graph.inputs, batch, strict=True)
    ]


def _order(node: Node) -> Perm:
    return node.op.order if isinstance(node.op, Input) else ()


def _permuted(array: NDArray[Any], order: Perm) -> NDArray[Any]:
    return array.transpose(_behind_samples(order)) if order else array


def as_in_file(graph: Graph, results: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Results of outputs, samples first, in the order of axes that the model file has."""
    orders = {n.name: n.op.order for n in graph.outputs if isinstance(n.op, Output) and n.op.order}
    return {
        name: array.transpose(_behind_samples(inverse(orders[name]))) if name in orders else array
        for name, array in results.items()
    }


def _behind_samples(perm: Perm) -> Perm:
    return (0, *(axis + 1 for axis in perm))
