"""Softmax of the SQ8 kernels, in Q15.

``e**-y`` is the reciprocal of ``e**y = e**n * e**f``: ``e**n`` from a table of twelve integer and
fraction parts, ``e**f`` for f in [-0.5, 0.5) as an eight-term Taylor series.
"""

from __future__ import annotations

import numpy as np

from nnshell.numeric.fixed_point import IntArray

FRACTION_BITS = 15
ONE = 1 << FRACTION_BITS
ALMOST_ONE = ONE - 1  # what the kernel uses for 1.0
ROUND = 1 << (FRACTION_BITS - 1)
LARGEST_INT32 = 0x7FFFFFFF
INVERSE_OF_ONE = ALMOST_ONE << FRACTION_BITS
_WIDEST_SHIFT = 31  # any difference is then beyond the table

# Q15 of 1/1!, 1/2!, ... 1/8!
_TAYLOR = (32767, 16384, 5461, 1365, 273, 46, 7, 1)

# e**n: integer part, and fraction in Q15 rounded
_EXP_INTEGER = np.array([1, 2, 7, 20, 54, 148, 403, 1096, 2980, 8103, 22026, 59874], np.int64)
_EXP_FRACTION = np.array(
    [0, 23537, 12749, 2803, 19600, 13538, 14051, 20747, 31391, 2750, 15263, 4644], np.int64
)


def exp_of_negative(distance: IntArray) -> IntArray:
    """e**-y in Q15 for y >= 0 in Q15. Beyond y = 11.5 the table's last entry serves."""
    whole = distance >> FRACTION_BITS
    fraction = distance & ALMOST_ONE
    above = fraction >= ROUND
    whole = np.minimum(whole + above, _EXP_INTEGER.size - 1)
    fraction = fraction - above * ONE
    power = fraction
    series = np.zeros_like(fraction)
    for coefficient in _TAYLOR:
        series = series + power * coefficient
        power = (power * fraction + ROUND) >> FRACTION_BITS
    series = ((series + ROUND) >> FRACTION_BITS) + ALMOST_ONE
    exponential = ((series * _EXP_FRACTION[whole] + ROUND) >> FRACTION_BITS) + (
        series * _EXP_INTEGER[whole]
    )
    result: IntArray = np.where(distance == 0, ONE, (LARGEST_INT32 // exponential) >> 1)
    return result


def distance_shift(scale_exponent: int) -> int:
    """Bits to the left (right where negative) that bring a difference to Q15."""
    return min(FRACTION_BITS + scale_exponent, _WIDEST_SHIFT)


def exponentials_below(difference: IntArray, scale_exponent: int) -> IntArray:
    """e**-d in Q15 of differences d >= 0 whose scale is 2**scale_exponent."""
    shift = distance_shift(scale_exponent)
    return exp_of_negative(difference << shift if shift >= 0 else difference >> -shift)


def dropped_bits(output_bits: int) -> int:
    """Fraction bits that a product of two Q15 numbers has too many."""
    return 2 * FRACTION_BITS - (output_bits - 1)


def softmax(x: IntArray, scale_exponent: int, axis: int, *, output_bits: int = 16) -> IntArray:
    """Softmax along ``axis`` of integers whose scale is 2**scale_exponent.

    The result has ``output_bits - 1`` fraction bits (Q15 or Q7), saturated.
    """
    exponentials = exponentials_below(x.max(axis=axis, keepdims=True) - x, scale_exponent)
    inverse = INVERSE_OF_ONE // exponentials.sum(axis=axis, keepdims=True)
    drop = dropped_bits(output_bits)
    result = (exponentials * inverse + (1 << (drop - 1))) >> drop
    limit = 1 << (output_bits - 1)
    clamped: IntArray = np.clip(result, -limit, limit - 1)
    return clamped
