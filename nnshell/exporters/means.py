"""Means as the integer kernels take them, in real units, for the simulation.

average pool        RS(sum * floor(2^16 / n), 16): the factor is a little less than 1 / n
global average      (sum << 7) / n, truncated towards 0, times a multiplier of 8 bits

Halves go up in RS and to even integers in QuantizeLinear. What is rounded is therefore raised by
half of the grid it lies on, the smallest step of its multiplier, as far as float32 keeps that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.graph import Node
from nnshell.ir.qparams import INT8_BITS, NodeQuantization
from nnshell.ir.types import TensorType
from nnshell.ops.average_pool import MEAN_BITS as POOL_BITS
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.global_pool import MEAN_BITS as GLOBAL_BITS
from nnshell.ops.global_pool import GlobalMeanKernel

LARGEST_TIE = 2e-4  # of a step: products of 8-bit integers and sums of them are on 2^-8 or coarser
LEAST_TIE = 4e-6  # of a step: what sums in float32 keep
_FLOAT32 = 1.0 + 1e-6  # a truncated quotient is not to miss a whole number


@dataclass(frozen=True, slots=True)
class Mean:
    """A tensor that QuantizeLinear rounds, and by what it divides (None: by the scale)."""

    tensor: str
    step: float | None = None


def tie_of(shift: ArrayLike) -> NDArray[np.float64]:
    """Half of 2^-shift, what moves halves up and nothing else, in steps of the result."""
    half = np.exp2(-np.asarray(shift, np.float64) - 1)
    return np.clip(half, LEAST_TIE, LARGEST_TIE)


def modelled_mean(
    build: ForeignGraph, node: Node, types: Sequence[TensorType], mean: str
) -> Mean | None:
    """What is rounded after a mean of 8-bit integers; None where the node is none."""
    quantization = node.quantization
    if quantization is None or any(
        r.bits != INT8_BITS for r in (*quantization.inputs, *quantization.outputs)
    ):
        return None
    if isinstance(quantization.kernel, GlobalMeanKernel):
        return _global_mean(build, quantization, quantization.kernel, mean)
    if isinstance(node.op, AveragePool):
        return _pooled(build, node.op, quantization, types[0], mean)
    return None


def _pooled(
    build: ForeignGraph,
    op: AveragePool,
    quantization: NodeQuantization,
    source: TensorType,
    mean: str,
) -> Mean:
    count = op.counts(source.shape)
    factor = (1 << POOL_BITS) // count
    gain = count * factor / (1 << POOL_BITS)
    zero, scale = quantization.input.zero_point, quantization.output.first_scale
    lowest = int(np.bitwise_or.reduce(np.reshape(factor, -1)))
    tie = tie_of(POOL_BITS - int(math.log2(lowest & -lowest)))
    offset = ((gain - 1) * zero + tie) * scale
    if np.any(gain != 1):
        mean = build.node("Mul", [mean, _constant(build, gain, "gain")], hint="gain")
    return Mean(build.node("Add", [mean, _constant(build, offset, "offset")], hint="offset"))


def _global_mean(
    build: ForeignGraph, quantization: NodeQuantization, kernel: GlobalMeanKernel, mean: str
) -> Mean:
    multiplier, shift = float(kernel.scaling.multiplier[0]), int(kernel.scaling.shift[0])
    step = 2.0**shift / multiplier
    units = (1 << GLOBAL_BITS) * _FLOAT32 / quantization.input.first_scale
    scaled = build.node("Mul", [mean, _constant(build, units, "units")], hint="units")
    whole = build.node("Cast", [scaled], {"to": 6}, hint="truncated")
    number = build.node("Cast", [whole], {"to": 1}, hint="number")
    tie = _constant(build, tie_of(shift) * step, "tie")
    return Mean(build.node("Add", [number, tie], hint="lifted"), step)


def _constant(build: ForeignGraph, value: Any, hint: str) -> str:
    return build.constant(np.asarray(value, np.float32), hint)
