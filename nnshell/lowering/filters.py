"""Filters lowered: products summed in float32, bias and all, where 24 bits hold every sum.

Where they do not, the bias is added in float64; where even the sums of products do not fit, the
weights are split in two (``w = 16 * high + low``) and the parts are summed in float64.
A channel whose result is the same for all inputs (nearly dead, with an enormous bias) becomes that
constant, so that it does not decide how all others are computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.integer_graph import (
    FLOAT32_LIMIT,
    INT32_LIMIT,
    CannotLower,
    IntegerGraph,
    IntegerTensor,
)
from nnshell.ir.qparams import QParams
from nnshell.lowering.requantize import (
    Accumulator,
    converted,
    factors_of,
    requantize_by,
    wrapped,
)
from nnshell.lowering.step_search import Factors, Room
from nnshell.numeric.fixed_point import (
    SIGN_SHIFT,
    IntArray,
    rounding_term,
    scale_accumulator,
)
from nnshell.numeric.kernels.filters import FilterKernel

# Writes the float node: data, weights, bias or None, whether in float64 -> sums.
Sums = Callable[[str, IntArray, IntArray | None, bool], str]

_NIBBLE = 16


@dataclass(frozen=True, slots=True, eq=False)
class _Filter:
    """Weights (channels first) and bias, and where the sums of products of each channel lie."""

    weights: IntArray
    bias: IntArray
    low: IntArray
    high: IntArray
    factors: Factors

    @classmethod
    def of(cls, kernel: FilterKernel, output: QParams, x: IntegerTensor) -> _Filter:
        """The filter, and how far its sums can reach with inputs from x.low to x.high."""
        weights = kernel.weights.astype(np.int64)
        rows = weights.reshape(weights.shape[0], -1)
        positive, negative = np.maximum(rows, 0).sum(axis=1), np.minimum(rows, 0).sum(axis=1)
        low = positive * x.low + negative * x.high
        high = positive * x.high + negative * x.low
        bias = kernel.bias.astype(np.int64)
        factors = factors_of(kernel.scaling, output).spread(bias.size)
        return cls(weights, bias, low, high, factors)

    def reach(self, x: IntegerTensor) -> IntArray:
        """The largest magnitude of a partial sum of products."""
        reach: IntArray = _row_sums(self.weights) * x.magnitude
        return reach

    def without_constant_channels(self) -> _Filter:
        """Channels that give one value only get weights 0, that value as bias, factor 1."""
        same, values = self._constant_channels()
        per_channel = (-1, *(1 for _ in self.weights.shape[1:]))
        return _Filter(
            np.where(same.reshape(per_channel), 0, self.weights),
            np.where(same, values, self.bias),
            np.where(same, 0, self.low),
            np.where(same, 0, self.high),
            replace(
                self.factors,
                multiplier=np.where(same, 1, self.factors.multiplier),
                shift=np.where(same, 0, self.factors.shift),
            ),
        )

    def _constant_channels(self) -> tuple[NDArray[np.bool_], IntArray]:
        """Which channels give one value, and what: between ends that do not wrap around nothing
        falls, and a shift beyond 31 bits leaves the sign."""
        multiplier, shift = self.factors.multiplier, self.factors.shift
        ends = [end + self.bias for end in (self.low, self.high)]
        products = [end * multiplier for end in ends]
        term = rounding_term(np.maximum(shift, 0))
        fits = np.all([np.abs(p) < INT32_LIMIT for p in (*ends, *products)], axis=0)
        rises = np.all([p + term < INT32_LIMIT for p in products], axis=0)
        signs = (shift > SIGN_SHIFT) & ((products[0] < 0) == (products[1] < 0))
        first, last = (
            np.clip(
                scale_accumulator(end, multiplier, shift) + self.factors.zero_point,
                *self.factors.limits,
            )
            for end in ends
        )
        ordinary = rises & (shift <= SIGN_SHIFT)
        return fits & (ordinary | signs) & (first == last), first


def lower_filter(
    build: IntegerGraph,
    x: IntegerTensor,
    kernel: FilterKernel,
    output: QParams,
    shape: tuple[int, ...],
    sums: Sums,
    *,
    doubles: bool = False,
    wraps: bool = True,
) -> IntegerTensor:
    """MULSCALE of the sums that ``sums`` writes, one channel per row of the kernel's weights.

    ``doubles`` says that the float node exists for float64 too. ``x`` has the interval of
    everything the filter sees, padding included. Sums beyond int32 wrap around, or become the
    smallest int32.
    """
    value = _Filter.of(kernel, output, x).without_constant_channels()
    tensor = _summed(build, x, value, shape, sums, doubles)
    low, high = value.low + value.bias, value.high + value.bias
    if low.min() < -INT32_LIMIT or high.max() >= INT32_LIMIT:
        limited = wrapped(build, tensor) if wraps else converted(build, tensor)
        return requantize_by(build, Accumulator.of(limited, 1), value.factors)

    def rescale(gain: IntArray, bias: IntArray) -> str:
        rows = gain.reshape(-1, *(1 for _ in value.weights.shape[1:]))
        return sums(x.name, value.weights * rows, value.bias * gain + bias, False)

    room = None if x.wide else Room(value.reach(x), value.bias, rescale)
    convolved = len(shape) == 3 and not doubles and not tensor.wide
    accumulator = Accumulator(tensor, low, high, 1, convolved, room)
    return requantize_by(build, accumulator, value.factors)


def _summed(
    build: IntegerGraph,
    x: IntegerTensor,
    value: _Filter,
    shape: tuple[int, ...],
    sums: Sums,
    doubles: bool,
) -> IntegerTensor:
    """Products and bias, in float32 if they fit."""
    ends = (int((value.low + value.bias).min()), int((value.high + value.bias).max()))
    if not x.wide and int((value.reach(x) + np.abs(value.bias)).max()) < FLOAT32_LIMIT:
        return IntegerTensor(sums(x.name, value.weights, value.bias, False), shape, *ends)
    if doubles:
        name = sums(build.widened(x).name, value.weights, value.bias, True)
    elif x.wide:
        raise CannotLower("the data of a filter is more than float32 holds")
    else:
        products = _wide_products(build, x, value, sums)
        bias = value.bias.reshape(1, -1, *(1 for _ in shape[1:]))
        name = build.node("Add", [products, build.real(bias, True)])
    return IntegerTensor(name, shape, *ends, wide=True)


def _wide_products(build: IntegerGraph, x: IntegerTensor, value: _Filter, sums: Sums) -> str:
    """Sums of products that float32 computes, whole or in two parts, as float64."""
    if int(value.reach(x).max()) < FLOAT32_LIMIT:
        return build.cast(sums(x.name, value.weights, None, False), "float64")
    high = (value.weights + _NIBBLE // 2) // _NIBBLE
    low = value.weights - _NIBBLE * high  # -8 to 7
    largest = int(max(_row_sums(part).max() for part in (high, low)) * x.magnitude)
    if largest >= FLOAT32_LIMIT:
        raise CannotLower(f"a sum of products reaches {largest}")
    upper, lower = (build.cast(sums(x.name, part, None, False), "float64") for part in (high, low))
    return build.node("Add", [build.node("Mul", [upper, build.number(_NIBBLE, True)]), lower])


def _row_sums(weights: IntArray) -> IntArray:
    """Sum of magnitudes of each channel's weights."""
    sums: IntArray = np.abs(weights.reshape(weights.shape[0], -1)).sum(axis=1)
    return sums
