"""Biases as something else than the chip's: what a table of `sweep --quantize bias=...` compares.

A bias is added to sums of products, whose unit is input scale x weight scale. The chip's int32
biases have that unit. Here are the two that courses put beside it:

    float      weights and activations are rounded, biases stay as they are
    unscaled   a bias is rounded to 8 bits with a scale of its own, max|b| / 127, and its integers
               are added to the sums as if they had the sums' unit: another bias altogether
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.basic_operators import Constant
from nnshell.ir.flat import Item, flatten
from nnshell.ir.graph import Graph

_LARGEST = 127


def rounded_weights(graph: Graph) -> Graph:
    """A copy of a quantized graph whose weights are what their integers stand for."""
    twin = graph.copy()
    for item in _filters(graph):
        name = item.inputs[item.node.op.parameters[0]].path
        quantization = graph[name].quantization if name in graph else None
        if quantization is not None and quantization.kernel is not None:
            values = quantization.output.dequantize(quantization.kernel.values)
            _replace(twin, name, values)
    return twin


def unscaled_biases(graph: Graph) -> Graph:
    """A copy of a quantized graph whose biases are 8-bit integers in the unit of the sums."""
    twin = graph.copy()
    for item in _filters(graph):
        for index in item.node.op.parameters[1:]:
            name = item.inputs[index].path
            quantization = item.node.quantization
            if name not in graph or quantization is None:
                continue
            value = np.asarray(graph[name].op.known_value, np.float64)
            unit = quantization.inputs[index].scale.astype(np.float64)
            own = float(np.abs(value).max(initial=0.0)) / _LARGEST or 1.0
            _replace(twin, name, np.rint(value / own) * unit)
    return twin


def _filters(graph: Graph) -> Iterator[Item]:
    """Items with weights."""
    return (item for item in flatten(graph).items if item.node.op.parameters)


def _replace(graph: Graph, name: str, values: NDArray[Any]) -> None:
    shape = graph[name].type.shape
    graph[name].op = Constant(values.astype(np.float32).reshape(shape))
