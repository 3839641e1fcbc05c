"""Filters lowered: products summed in float32, bias and all, where 24 bits hold every sum.

Where they do not, the bias is added in float64; where even the sums of products do not fit, the
weights are split in two (``w = 16 * high + low``) and the parts are summed in float64.
A channel whose result is the same for all inputs (nearly dead, with an enormous bias) becomes that
constant, so that it does not decide how all others are computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.lowering import (
    FLOAT32_LIMIT,
    INT32_LIMIT,
    CannotLower,
    IntegerGraph,
    IntegerTensor,
)
from nnshell.ir.qparams import QParams
from nnshell.numeric.fixed_point import IntArray
from nnshell.ops.filter_kernel import FilterKernel
from nnshell.ops.requantize_lowering import Accumulator, Factors, requantize_by, wrapped

# Writes the float node: data, weights, bias or "", wide -> sums.
Sums = Callable[[str, NDArray[np.int64], NDArray[np.int64] | None, bool], str]

_NIBBLE = 16


def lower_filter(
    build: IntegerGraph,
    x: IntegerTensor,
    kernel: FilterKernel,
    output: QParams,
    shape: tuple[int, ...],
    sums: Sums,
    *,
    doubles: bool = False,
) -> IntegerTensor:
    """MULSCALE of the sums that ``sums`` writes, one channel per row of the kernel's weights.

    ``doubles`` says that the float node exists for float64 too. ``x`` has the interval of
    everything the filter sees, padding included.
    """
    weights = kernel.weights.astype(np.int64)
    bias = kernel.bias.astype(np.int64)
    low, high = _intervals(weights, x)
    factors = Factors.of(kernel.scaling, output, 0)
    weights, bias, low, high, factors = _without_constant_channels(
        weights, bias, low, high, factors
    )
    tensor = _summed(build, x, weights, bias, (low, high), shape, sums, doubles)
    low, high = low + bias, high + bias
    if low.min() < -INT32_LIMIT or high.max() >= INT32_LIMIT:
        tensor = wrapped(build, tensor)
        low, high = np.array([tensor.low]), np.array([tensor.high])
    convolved = len(shape) == 3 and not doubles
    return requantize_by(build, Accumulator(tensor, low, high, 1, convolved), factors)


def _intervals(weights: IntArray, x: IntegerTensor) -> tuple[IntArray, IntArray]:
    """Smallest and largest sum of products of each channel."""
    rows = weights.reshape(weights.shape[0], -1)
    positive, negative = np.maximum(rows, 0).sum(axis=1), np.minimum(rows, 0).sum(axis=1)
    return positive * x.low + negative * x.high, positive * x.high + negative * x.low


def _without_constant_channels(
    weights: IntArray, bias: IntArray, low: IntArray, high: IntArray, factors: Factors
) -> tuple[IntArray, IntArray, IntArray, IntArray, Factors]:
    """Channels that give one value only: weights 0, bias that value, factor 1."""
    count = bias.size
    spread = replace(
        factors,
        multiplier=np.broadcast_to(factors.multiplier, (count,)),
        shift=np.broadcast_to(factors.shift, (count,)),
    )
    ends = [end + bias for end in (low, high)]
    products = [end * spread.multiplier for end in ends]
    inside = np.all([np.abs(p) < INT32_LIMIT for p in (*ends, *products)], axis=0)
    first, last = (spread.apply(end[:, np.newaxis])[:, 0] for end in ends)
    same = inside & (first == last)
    if not same.any():
        return weights, bias, low, high, factors
    per_channel = (-1, *(1 for _ in weights.shape[1:]))
    return (
        np.where(same.reshape(per_channel), 0, weights),
        np.where(same, first, bias),
        np.where(same, 0, low),
        np.where(same, 0, high),
        replace(
            factors,
            multiplier=np.where(same, 1, spread.multiplier),
            shift=np.where(same, 0, spread.shift),
        ),
    )


def _summed(
    build: IntegerGraph,
    x: IntegerTensor,
    weights: IntArray,
    bias: IntArray,
    interval: tuple[IntArray, IntArray],
    shape: tuple[int, ...],
    sums: Sums,
    doubles: bool,
) -> IntegerTensor:
    rows = np.abs(weights.reshape(weights.shape[0], -1))
    reach = rows.sum(axis=1) * x.magnitude
    low, high = interval
    ends = (int((low + bias).min()), int((high + bias).max()))
    if not x.wide and int((reach + np.abs(bias)).max()) < FLOAT32_LIMIT:
        return IntegerTensor(sums(x.name, weights, bias, False), shape, *ends)
    if doubles:
        name = sums(build.widened(x).name, weights, bias, True)
        return IntegerTensor(name, shape, *ends, wide=True)
    if x.wide:
        raise CannotLower("the data of a filter is more than float32 holds")
    parts = [(weights, 1)]
    if int(reach.max()) >= FLOAT32_LIMIT:
        parts = [(weights >> 4, _NIBBLE), (weights & (_NIBBLE - 1), 1)]
    total = None
    for part, factor in parts:
        reach = np.abs(part).reshape(len(part), -1).sum(axis=1) * x.magnitude
        if int(reach.max()) >= FLOAT32_LIMIT:
            raise CannotLower(f"a sum of products reaches {int(reach.max())}")
        made = build.cast(sums(x.name, part, None, False), "float64")
        if factor != 1:
            made = build.node("Mul", [made, build.number(factor, True)])
        total = made if total is None else build.node("Add", [total, made])
    per_channel = bias.reshape(1, -1, *(1 for _ in shape[1:]))
    assert total is not None
    name = build.node("Add", [total, build.real(per_channel, True)])
    return IntegerTensor(name, shape, *ends, wide=True)
