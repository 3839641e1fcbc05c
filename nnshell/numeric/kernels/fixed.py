"""Integers of the fixed-point kernels (scheme POW2): shifts with rounding instead of multipliers.

RS(a, n) = (a + 2**(n - 1)) >> n        a on 32 bits wraps around when half a unit is added
y_q = sat(RS(acc, n_acc - n_out))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.qparams import QParams
from nnshell.numeric.fixed_point import (
    IntArray,
    converted_to_int32,
    rounding_shift,
    saturate,
    scale_accumulator,
    wrap_int32,
)
from nnshell.numeric.qmn import fraction_of

_REGISTER_BITS = 32


@dataclass(frozen=True, slots=True, eq=False)
class FixedFilterKernel:
    """What a fixed-point filter's kernel holds; output channels come first."""

    weights: NDArray[Any]  # int8 or int16
    bias: NDArray[Any]  # in its own fraction bits
    accumulator: QParams  # Q of the sums: 31 bits in an int32
    bias_shift: int  # left, to the accumulator

    @property
    def aligned_bias(self) -> IntArray:
        """The bias in units of the accumulator, as an int32 holds it."""
        return wrap_int32(self.bias.astype(np.int64) << self.bias_shift)

    def finish(self, products: IntArray, output: QParams, *, wraps: bool) -> IntArray:
        """From sums of products (samples, channels, ...) to the output's integers.

        The output may be the accumulator itself. Sums beyond int32 wrap around, or become the
        smallest int32: NNTool adds up convolutions in float64 and converts them.
        """
        per_channel = (-1, *(1 for _ in products.shape[2:]))
        exact = products + self.aligned_bias.reshape(per_channel)
        sums = wrap_int32(exact) if wraps else converted_to_int32(exact)
        return reduced(sums, fraction_of(self.accumulator), output)


def reduced(
    values: IntArray, fraction_bits: int, output: QParams, *, wraps: bool = True
) -> IntArray:
    """RS to the fraction bits of ``output``, saturated; the addition wraps around unless told."""
    shift = fraction_bits - fraction_of(output)
    if not wraps or shift >= _REGISTER_BITS:
        return saturate(rounding_shift(values, shift), output.limits)
    return saturate(scale_accumulator(values, 1, shift), output.limits)


def precise_mean(total: IntArray, count: int, *, wraps: bool) -> IntArray:
    """A sum divided by ``count`` through a reciprocal of as many bits as the sum has.

    RS(((1 << m) / n) * s, m), the quotient rounded down. The product is an int32 in NNTool's
    simulation (``wraps``), which large 16-bit sums leave.
    """
    bits = bit_length(total)
    product = ((np.int64(1) << bits) // count) * total
    half = np.where(bits > 0, np.int64(1) << np.maximum(bits - 1, 0), 0)
    if not wraps:
        return (product + half) >> bits
    mean: IntArray = wrap_int32(wrap_int32(product) + half) >> bits
    return mean


def bit_length(values: IntArray) -> IntArray:
    """Bits below the sign: of v, or of -v - 1 where it is negative."""
    magnitude = np.where(values < 0, -values - 1, values)
    return np.ceil(np.log2(magnitude.astype(np.float64) + 1)).astype(np.int64)


def exact_softmax(x: IntArray, fraction_bits: int, axis: int, limits: tuple[int, int]) -> IntArray:
    """Softmax in real arithmetic (float64), in Q15."""
    exponentials = exponentials_of(x.max(axis=axis, keepdims=True) - x, fraction_bits)
    shares = exponentials / exponentials.sum(axis=axis, keepdims=True)
    return saturate(np.floor(shares * 32768.0 + 0.5).astype(np.int64), limits)


def exponentials_of(distance: IntArray, fraction_bits: int) -> NDArray[np.float64]:
    """e**-d of fixed-point distances d >= 0."""
    result: NDArray[np.float64] = np.exp(-np.ldexp(distance.astype(np.float64), -fraction_bits))
    return result
