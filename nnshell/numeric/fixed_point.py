"""Fixed-point arithmetic of the SQ8 kernels: rounding, shifts, saturation, multipliers.

A real factor is a pair (multiplier, shift): ``x * factor ~ RS(x * multiplier, shift)`` with an
unsigned multiplier of at most 8 bits. Everything here works on int64 arrays; where a kernel works
in int32, the value is brought back to int32 as the chip would (two's complement wrap-around).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

IntArray = NDArray[np.int64]

MULTIPLIER_BITS = 8
LARGEST_MULTIPLIER = (1 << MULTIPLIER_BITS) - 1
MAX_SHIFT = 24  # a larger shift is taken only when no bits are left to give up
GUARD_BITS = 14  # head room of an accumulator: 7 bits of weight and 7 of activation
ACCUMULATOR_BITS = 31
INT32_LIMITS = (-(1 << 31), (1 << 31) - 1)

WIDEST_LEFT_SHIFT = 31  # that int64 holds of an int32
SIGN_SHIFT = 31  # to the right: what is left of an int32 is its sign
_WIDEST_SHIFT = 62  # to the right; shifted further, an int32 is 0 anyway


def round_half_up(real: ArrayLike) -> NDArray[np.float64]:
    """floor(x + 0.5), in the floating-point type of ``real``."""
    values = np.asarray(real)
    rounded: NDArray[np.float64] = np.floor(values + values.dtype.type(0.5))
    return rounded


def rounding_shift(values: ArrayLike, shift: ArrayLike) -> IntArray:
    """RS: divide by 2**shift, halves towards plus infinity; a negative shift multiplies.

    Shifts of 31 and more are well defined here, as nearly dead channels have them.
    """
    wide = np.asarray(values, np.int64)
    shifts = np.clip(np.asarray(shift, np.int64), -WIDEST_LEFT_SHIFT, _WIDEST_SHIFT)
    right = np.maximum(shifts, 0)
    half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), 0)
    shifted: IntArray = ((wide << np.maximum(-shifts, 0)) + half) >> right
    return shifted


def wrap_int32(values: ArrayLike) -> IntArray:
    """The low 32 bits as a signed number: what a 32-bit register holds."""
    return np.asarray(values, np.int64).astype(np.int32).astype(np.int64)


def converted_to_int32(values: ArrayLike) -> IntArray:
    """As numbers are converted from float64: what int32 does not hold becomes its smallest."""
    wide = np.asarray(values, np.int64)
    low, high = INT32_LIMITS
    return np.where((wide < low) | (wide > high), np.int64(low), wide)


def saturate(values: ArrayLike, limits: tuple[int, int]) -> IntArray:
    """Clamp to ``limits`` (both included)."""
    clamped: IntArray = np.clip(np.asarray(values, np.int64), limits[0], limits[1])
    return clamped


def scale_accumulator(accumulator: ArrayLike, multiplier: ArrayLike, shift: ArrayLike) -> IntArray:
    """MULSCALE in 32 bits: the product wraps around, and so does the rounding addition.

    A product within half a unit of 2**31 therefore turns negative. The rounding term of a shift by
    32, which nearly dead channels have, is -2**31; shifts of 32 and more leave the sign alone.
    """
    exact = np.asarray(accumulator, np.int64) * np.asarray(multiplier, np.int64)
    product, shifts = wrap_int32(exact), np.asarray(shift, np.int64)
    left, right = np.clip(-shifts, 0, WIDEST_LEFT_SHIFT), np.maximum(shifts, 0)
    rounded = wrap_int32(product + rounding_term(right))
    scaled: IntArray = np.where(
        right > 0, rounded >> np.minimum(right, SIGN_SHIFT), product << left
    )
    return scaled


def rounding_term(shift: ArrayLike) -> IntArray:
    """2**(shift - 1) as a 32-bit register holds it; 0 for a shift of 0."""
    bits = np.asarray(shift, np.int64) - 1
    inside = (bits >= 0) & (bits <= SIGN_SHIFT)
    return np.where(inside, wrap_int32(np.int64(1) << np.where(inside, bits, 0)), 0)


@dataclass(frozen=True, slots=True, eq=False)
class Multiplier:
    """Real factors as integers: one element per tensor or one per channel."""

    scale: NDArray[np.float64]  # the factors that were asked for
    multiplier: NDArray[np.uint8]  # odd unless the shift is 0 or less
    shift: NDArray[np.int8]  # to the right; negative shifts to the left
    available_bits: NDArray[np.int64]  # before the limit of 8

    def apply(self, accumulator: ArrayLike, axis: int | None = None) -> IntArray:
        """MULSCALE with a factor for each index of ``axis``, or the same one everywhere."""
        wide = np.asarray(accumulator, np.int64)
        if axis is None or self.multiplier.size == 1:
            return scale_accumulator(wide, self.multiplier[0], self.shift[0])
        shape = [1] * wide.ndim
        shape[axis] = -1
        return scale_accumulator(wide, self.multiplier.reshape(shape), self.shift.reshape(shape))

    @property
    def value(self) -> NDArray[np.float64]:
        """The factors that the integers really apply."""
        factor = np.ldexp(1.0, -self.shift.astype(np.int64))
        return self.multiplier.astype(np.float64) * factor


def derive_multiplier(scale: ArrayLike, available_bits: ArrayLike = MULTIPLIER_BITS) -> Multiplier:
    """The multiplier and shift of each factor in ``scale`` (positive and finite).

    The factor is mantissa * 2**exponent with a float32 mantissa in [0.5, 1). Starting from
    min(8, available) bits, bits are given up as long as the rounded mantissa is even, does not fit,
    or the shift exceeds 24, and neither the shift nor the bits have reached 0. A multiplier is
    therefore odd, and 1 with shift 0 for a factor of exactly 1.
    """
    factors = np.atleast_1d(np.asarray(scale, np.float64))
    available = np.broadcast_to(np.asarray(available_bits, np.int64), factors.shape)
    fraction, exponent = np.frexp(factors)
    mantissa = fraction.astype(np.float32).astype(np.float64)
    start = np.clip(available, 0, MULTIPLIER_BITS)
    bits = start.copy()
    for _ in range(MULTIPLIER_BITS):
        multiplier = _multiplier(mantissa, bits)
        shift = bits - exponent
        poor = (multiplier >= 1 << start) | (shift > MAX_SHIFT) | (multiplier % 2 == 0)
        bits -= poor & (shift > 0) & (bits > 0)
    multiplier = _multiplier(mantissa, bits)
    halved = multiplier > LARGEST_MULTIPLIER  # 256, of a factor that no right shift fits
    return Multiplier(
        factors,
        (multiplier >> halved).astype(np.uint8),
        np.clip(bits - exponent - halved, -128, 127).astype(np.int8),
        available.copy(),
    )


def _multiplier(mantissa: NDArray[np.float64], bits: IntArray) -> IntArray:
    return round_half_up(mantissa * np.ldexp(1.0, bits)).astype(np.int64)


def filter_available_bits(taps: int, bias: ArrayLike) -> IntArray:
    """Bits that a filter's accumulator leaves for the multiplier, for each output channel.

    ``taps`` is the number of products summed (input channels of the group times the window),
    ``bias`` the integer bias without zero-point offsets. The result is not limited to 8.
    """
    magnitude = np.abs(np.asarray(bias, np.float64))
    bias_bits = np.ceil(np.log2(np.maximum(magnitude, 1.0)))
    sum_bits = np.ceil(np.log2(max(taps, 1))) + GUARD_BITS
    available: IntArray = (ACCUMULATOR_BITS - np.maximum(bias_bits, sum_bits)).astype(np.int64)
    return available
