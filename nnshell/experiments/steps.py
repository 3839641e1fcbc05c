"""The steps that an experiment can change: their items, weights and sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nnshell.ir.flat import Item, flatten
from nnshell.ir.graph import Graph
from nnshell.ir.qparams import FLOAT_BITS
from nnshell.ir.requests import POW2
from nnshell.quantization import QuantizationOptions

_BIAS_BITS = 32
FLOAT_NODE: Mapping[str, Any] = {"weight_bits": FLOAT_BITS, "act_bits": FLOAT_BITS}


def with_nodes(options: QuantizationOptions, nodes: Mapping[str, Mapping[str, Any]]) -> Any:
    """The options with other values for some nodes, on top of those there are."""
    return replace(options, nodes={**options.nodes, **nodes})


def computing_steps(graph: Graph) -> dict[str, list[Item]]:
    """Items of each top-level node that computes something new."""
    results: dict[str, list[Item]] = {}
    for item in flatten(graph).items:
        op = item.node.op
        idle = op.role in ("constant", "input") or op.boundary or op.made_by_quantizer
        if not idle and not (op.keeps_record and op.order_preserving):
            results.setdefault(item.path.partition("/")[0], []).append(item)
    return results


def weights_of(items: Sequence[Item]) -> int:
    """Elements of the weights among the parameters, biases left out."""
    return sum(
        item.graph.input_types(item.node)[item.node.op.parameters[0]].size
        for item in items
        if item.node.op.parameters
    )


def biases_of(items: Sequence[Item]) -> int:
    """Elements of the biases of these filters."""
    return sum(
        item.graph.input_types(item.node)[index].size
        for item in items
        for index in item.node.op.parameters[1:]
    )


def weight_bytes(graph: Graph, options: QuantizationOptions) -> int:
    """Weights packed at their bits, biases as int32, or as the scheme POW2 has them."""
    total = 0
    for items in computing_steps(graph).values():
        own = options.for_node(items[0].path)
        bits, bias_bits = own.weight_bits, _BIAS_BITS
        if own.scheme == POW2 and bits != FLOAT_BITS:
            bits, bias_bits = own.bits, own.pow2_biases or own.bits
        total += -(-weights_of(items) * bits // 8) + -(-biases_of(items) * bias_bits // 8)
    return total
