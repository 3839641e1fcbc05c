"""MULSCALE lowered: y = sat(RS(acc * multiplier, shift) + zero_point), exact in floating point.

Ways to do it, the first that is provably exact is taken:

    QuantizeLinear by a scale near 2**shift / multiplier
    acc * factor + offset, then QuantizeLinear by 1       factor = multiplier / 2**shift
    acc * factor + offset, Round, Clip                    in float32
    the same                                              in float64, also with int32 wrap-around

The offset keeps halves from occurring, as Round and QuantizeLinear take them to even integers and
RS takes them up. The proof of the first two: MULSCALE never falls as acc rises, has at most 255
steps, and IEEE division, multiplication, addition and rounding never fall either. Two such
functions that agree on both sides of each step and at the ends of the interval agree on every
integer of it. The proof of the others: no intermediate result needs more bits than there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.lowering import (
    FLOAT32_LIMIT,
    FLOAT64_LIMIT,
    INT32_LIMIT,
    CannotLower,
    IntegerGraph,
    IntegerTensor,
)
from nnshell.ir.qparams import QParams
from nnshell.numeric.fixed_point import IntArray, Multiplier, rounding_shift

_NUDGES = (0, -1, 1, -2, 2, -3, 3)  # in units in the last place of a scale
_OFFSETS = (0.5, 0.75, 0.25, 1.0, 0.375, 0.0)  # in units of the grid 2**-shift
_WIDEST_RIGHT, _WIDEST_LEFT = 60, 31  # shifts
_LAYOUT_BLOCK = 16  # channels at a time in ONNX Runtime's own layout for convolutions


@dataclass(frozen=True, slots=True, eq=False)
class Accumulator:
    """What is to be requantized, and its interval for each index of ``axis`` (or everywhere)."""

    tensor: IntegerTensor
    low: IntArray
    high: IntArray
    axis: int | None = None
    convolved: bool = False  # a convolution made it

    @classmethod
    def of(cls, tensor: IntegerTensor, axis: int | None = None) -> Accumulator:
        return cls(tensor, np.array([tensor.low]), np.array([tensor.high]), axis)


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """Multipliers and shifts (one per index of the axis, or one), and what follows them."""

    multiplier: IntArray
    shift: IntArray
    zero_point: int
    limits: tuple[int, int]
    dtype: str

    @classmethod
    def of(cls, scaling: Multiplier, record: QParams, zero_point: int) -> Factors:
        multiplier, shift = scaling.multiplier.astype(np.int64), scaling.shift.astype(np.int64)
        return cls(multiplier, shift, zero_point, record.limits, record.dtype)

    @classmethod
    def of_limits(cls, scaling: Multiplier, limits: tuple[int, int]) -> Factors:
        multiplier, shift = scaling.multiplier.astype(np.int64), scaling.shift.astype(np.int64)
        return cls(multiplier, shift, 0, limits, "int32")

    def apply(self, accumulator: IntArray) -> IntArray:
        """Exactly, in integers, without wrap-around; one row per factor."""
        multiplier, shift = self.multiplier[:, np.newaxis], self.shift[:, np.newaxis]
        scaled = rounding_shift(accumulator * multiplier, shift) + self.zero_point
        clamped: IntArray = np.clip(scaled, *self.limits)
        return clamped


@dataclass(frozen=True, slots=True, eq=False)
class Requantized:
    """Where a tensor came from, for operators that can work on the accumulator instead."""

    accumulator: Accumulator
    factors: Factors

    @property
    def per_channel(self) -> bool:
        """Whether each channel of a float32 feature map has one factor."""
        return self.accumulator.axis in (None, 1) and not self.accumulator.tensor.wide


def requantize(
    build: IntegerGraph,
    accumulator: Accumulator,
    scaling: Multiplier,
    record: QParams,
    zero_point: int = 0,
) -> IntegerTensor:
    """MULSCALE of the accumulator; ``zero_point`` is added and the sum saturated to the record."""
    factors = Factors.of(scaling, record, zero_point)
    return requantize_by(build, accumulator, factors)


def requantize_by(build: IntegerGraph, accumulator: Accumulator, factors: Factors) -> IntegerTensor:
    accumulator, factors = _aligned(accumulator, factors)
    products = [end * factors.multiplier for end in (accumulator.low, accumulator.high)]
    largest = int(max(np.abs(product).max() for product in products))
    if largest >= FLOAT64_LIMIT:
        raise CannotLower(f"a product of {largest} is more than float64 holds")
    if not _inside_int32(products):
        return _with_wrap(build, accumulator, factors)
    factors = replace(factors, shift=_capped(products, factors.shift))
    ends = [factors.apply(end[:, np.newaxis]) for end in (accumulator.low, accumulator.high)]
    low, high = int(ends[0].min()), int(ends[1].max())
    made = None
    if build.quantize_linear and not accumulator.tensor.wide:
        made = _by_steps(build, accumulator, factors, low, high)
    if made is None:
        made = _by_bits(build, accumulator, factors, low, high)
    return replace(made, source=Requantized(accumulator, factors))


def _inside_int32(ends: Sequence[IntArray]) -> bool:
    return all(end.min() >= -INT32_LIMIT and end.max() < INT32_LIMIT for end in ends)


def _aligned(accumulator: Accumulator, factors: Factors) -> tuple[Accumulator, Factors]:
    """One interval for each factor, and one factor for each interval."""
    count = max(accumulator.low.size, factors.multiplier.size)
    low, high, multiplier, shift = (
        np.broadcast_to(array, (count,)).astype(np.int64)
        for array in (accumulator.low, accumulator.high, factors.multiplier, factors.shift)
    )
    return (
        replace(accumulator, low=low, high=high),
        replace(factors, multiplier=multiplier, shift=shift),
    )


def _capped(products: Sequence[IntArray], shift: IntArray) -> IntArray:
    """Shifts no larger than needed to give 0, as products below half a unit do."""
    largest = np.maximum(np.abs(products[0]), np.abs(products[1])).astype(np.float64)
    enough = np.ceil(np.log2(largest + 1)).astype(np.int64) + 2
    capped: IntArray = np.minimum(shift, enough)
    return capped


# -- float32, by proof ---------------------------------------------------------------------


def _by_steps(
    build: IntegerGraph, accumulator: Accumulator, factors: Factors, low: int, high: int
) -> IntegerTensor | None:
    """QuantizeLinear, where the results are int8 or uint8."""
    if factors.dtype not in ("int8", "uint8") or (factors.multiplier < 1).any():
        return None
    points = _points(accumulator, factors, low, high).astype(np.float32)
    wanted = factors.apply(points.astype(np.int64))
    scale = _scales(points, wanted, factors)
    if scale is not None:
        return _quantized(build, accumulator, factors, scale, low, high)
    offset = _offsets(points, wanted, factors)
    if offset is not None:
        moved = _affine(build, accumulator, _real_factors(factors), offset)
        return _quantized(build, moved, factors, np.ones(1, np.float32), low, high)
    return None


def _points(accumulator: Accumulator, factors: Factors, low: int, high: int) -> IntArray:
    """Integers on both sides of every step between ``low`` and ``high``, and the ends."""
    results = np.arange(low + 1, high + 1) - factors.zero_point
    right = np.maximum(factors.shift, 0)[:, np.newaxis]
    left = np.maximum(-factors.shift, 0)[:, np.newaxis]
    half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), 0)
    multiplier = factors.multiplier[:, np.newaxis] << left
    first = -((half - (results << right)) // multiplier)  # the smallest that gives the result
    ends = np.stack([accumulator.low, accumulator.high], axis=1)
    points = np.concatenate([first - 1, first, ends], axis=1)
    clipped: IntArray = np.clip(points, ends[:, :1], ends[:, 1:])
    return clipped


def _scales(
    points: NDArray[np.float32], wanted: IntArray, factors: Factors
) -> NDArray[np.float32] | None:
    """Scales whose division gives ``wanted`` at ``points``; None if there are none."""
    nearest = np.ldexp(1.0 / factors.multiplier, factors.shift).astype(np.float32)
    scale = nearest.copy()
    left = np.arange(nearest.size)
    for nudge in _NUDGES:
        tried = nearest[left] + np.float32(nudge) * np.spacing(nearest[left])
        fits = _agree(points[left] / tried[:, np.newaxis], wanted[left], factors)
        scale[left[fits]] = tried[fits]
        left = left[~fits]
        if not left.size:
            return scale
    return None


def _offsets(
    points: NDArray[np.float32], wanted: IntArray, factors: Factors
) -> NDArray[np.float64] | None:
    """Offsets that avoid halves and give ``wanted`` at ``points``; None if there are none.

    Whether a processor rounds the product before it adds must not matter.
    """
    factor = _real_factors(factors)[:, np.newaxis]
    grid = np.ldexp(1.0, -np.maximum(factors.shift, 0))
    offset = np.zeros(grid.size)
    left = np.arange(grid.size)
    for part in _OFFSETS:
        tried = grid[left] * part
        exact = points[left] * factor[left]
        once = (exact + tried[:, np.newaxis]).astype(np.float32)
        twice = exact.astype(np.float32) + tried[:, np.newaxis].astype(np.float32)
        fits = _agree(once, wanted[left], factors) & _agree(twice, wanted[left], factors)
        offset[left[fits]] = tried[fits]
        left = left[~fits]
        if not left.size:
            return offset
    return None


def _agree(units: NDArray[np.float32], wanted: IntArray, factors: Factors) -> NDArray[np.bool_]:
    """Rows in which QuantizeLinear of ``units`` by 1 gives ``wanted``."""
    found = np.clip(np.rint(units) + factors.zero_point, *factors.limits)
    agree: NDArray[np.bool_] = (found == wanted).all(axis=1)
    return agree


def _quantized(
    build: IntegerGraph,
    accumulator: Accumulator,
    factors: Factors,
    scale: NDArray[np.float32],
    low: int,
    high: int,
) -> IntegerTensor:
    """QuantizeLinear; limits inside those of the type are applied to the small integers."""
    tensor = accumulator.tensor
    per_tensor = bool((scale == scale[0]).all()) or accumulator.axis is None
    scale = scale[0] if per_tensor else scale
    zero_point = np.full(scale.shape, factors.zero_point, factors.dtype)
    operands = [build.constant(scale, "scale"), build.constant(zero_point, "zero_point")]
    attributes = {} if per_tensor else {"axis": accumulator.axis or 0}
    name = build.node("QuantizeLinear", [tensor.name, *operands], attributes)
    limits = np.iinfo(factors.dtype)
    if factors.limits[0] > limits.min:
        name = build.node("Max", [name, build.constant(np.array(low, factors.dtype))])
    if factors.limits[1] < limits.max:
        name = build.node("Min", [name, build.constant(np.array(high, factors.dtype))])
    return build.from_narrow(name, tensor.shape, low, high, factors.dtype)


# -- by the number of bits -----------------------------------------------------------------


def _by_bits(
    build: IntegerGraph, accumulator: Accumulator, factors: Factors, low: int, high: int
) -> IntegerTensor:
    """In float32 if that has the bits, else in float64."""
    tensor = accumulator.tensor
    if tensor.wide or not _fits(accumulator, factors, FLOAT32_LIMIT):
        if not _fits(accumulator, factors, FLOAT64_LIMIT):
            raise CannotLower("a product with its fraction is more than float64 holds")
        accumulator = replace(accumulator, tensor=build.widened(tensor))
    return _rounded(build, accumulator, factors, low, high)


def _fits(accumulator: Accumulator, factors: Factors, limit: int) -> bool:
    """Whether acc * factor + offset needs no more bits than there are, with one below the grid."""
    right, left = np.maximum(factors.shift, 0), np.maximum(-factors.shift, 0)
    if right.max() > _WIDEST_RIGHT or left.max() > _WIDEST_LEFT:
        return False
    ends = np.maximum(np.abs(accumulator.low), np.abs(accumulator.high))
    products = np.ldexp((ends * factors.multiplier).astype(np.float64), left)
    offset = np.ldexp(abs(factors.zero_point) + 1.0, right)
    return bool(2 * (products + offset).max() < limit)


def _rounded(
    build: IntegerGraph, accumulator: Accumulator, factors: Factors, low: int, high: int
) -> IntegerTensor:
    factor, right = _real_factors(factors), np.maximum(factors.shift, 0)
    offset = np.where(right > 0, np.ldexp(0.5, -right), 0.0) + factors.zero_point
    whole = bool((right == 0).all())
    moved = _affine(build, accumulator, factor, offset).tensor
    name = moved.name if whole else build.node("Round", [moved.name])
    if _saturates(accumulator, factors):
        name = build.node("Clip", [name, *(build.number(n, moved.wide) for n in (low, high))])
    if name == accumulator.tensor.name:
        return replace(accumulator.tensor, low=low, high=high)
    return build.narrowed(IntegerTensor(name, moved.shape, low, high, moved.wide))


def _saturates(accumulator: Accumulator, factors: Factors) -> bool:
    free = replace(factors, limits=(-FLOAT64_LIMIT, FLOAT64_LIMIT))
    ends = (accumulator.low, accumulator.high)
    results = np.stack([free.apply(end[:, np.newaxis]) for end in ends])
    return bool(results.min() < factors.limits[0] or results.max() > factors.limits[1])


def _real_factors(factors: Factors) -> NDArray[np.float64]:
    """multiplier / 2**shift, exact in float32 as well."""
    return np.ldexp(factors.multiplier.astype(np.float64), -factors.shift)


def _affine(
    build: IntegerGraph,
    accumulator: Accumulator,
    factor: NDArray[np.float64],
    offset: NDArray[np.float64],
) -> Accumulator:
    """acc * factor + offset: one node where it stays in the layout of a convolution."""
    tensor, axis = accumulator.tensor, accumulator.axis
    channels = tensor.shape[0] if tensor.shape else 0
    if accumulator.convolved and axis == 1 and channels % _LAYOUT_BLOCK == 0 and offset.any():
        zero, one = np.zeros(channels), np.ones(channels)
        spread = [np.broadcast_to(array, (channels,)) for array in (factor, offset)]
        operands = [build.real(array, tensor.wide) for array in (*spread, zero, one)]
        name = build.node("BatchNormalization", [tensor.name, *operands], {"epsilon": 0.0})
    else:
        factor, offset = (_along(a, axis, len(tensor.shape)) for a in (factor, offset))
        name = build.affine(tensor, factor, offset)
    return replace(accumulator, tensor=replace(tensor, name=name, narrow="", source=None))


def _along(array: NDArray[np.float64], axis: int | None, rank: int) -> NDArray[np.float64]:
    """Shaped to broadcast along ``axis`` of a tensor with ``rank`` axes behind the samples."""
    if axis is None or (array == array[0]).all():
        return np.asarray(array[0])
    shape = [1] * (rank + 1)
    shape[axis] = -1
    return array.reshape(shape)


# -- wrap-around ---------------------------------------------------------------------------


def wrapped(build: IntegerGraph, x: IntegerTensor) -> IntegerTensor:
    """The low 32 bits as a signed number: x - 2**32 * floor((x + 2**31) / 2**32)."""
    if x.low >= -INT32_LIMIT and x.high < INT32_LIMIT:
        return x
    x = build.widened(x)
    period = 2.0 * INT32_LIMIT
    moved = build.node("Add", [x.name, build.number(INT32_LIMIT, True)])
    turns = build.node("Floor", [build.node("Mul", [moved, build.number(1 / period, True)])])
    excess = build.node("Mul", [turns, build.number(period, True)])
    name = build.node("Sub", [x.name, excess])
    return IntegerTensor(name, x.shape, -INT32_LIMIT, INT32_LIMIT - 1, True)


def _with_wrap(build: IntegerGraph, accumulator: Accumulator, factors: Factors) -> IntegerTensor:
    """The product first, brought back to int32, then the shift of the result."""
    tensor = build.widened(accumulator.tensor)
    factor = _along(factors.multiplier.astype(np.float64), accumulator.axis, len(tensor.shape))
    name = build.node("Mul", [tensor.name, build.real(factor, True)])
    ends = [end * factors.multiplier for end in (accumulator.low, accumulator.high)]
    low, high = int(min(e.min() for e in ends)), int(max(e.max() for e in ends))
    product = wrapped(build, IntegerTensor(name, tensor.shape, low, high, True))
    shifts = replace(factors, multiplier=np.ones_like(factors.multiplier))
    inside = Accumulator.of(product, accumulator.axis)
    inside, shifts = _aligned(inside, shifts)
    shifts = replace(shifts, shift=_capped([inside.low, inside.high], shifts.shift))
    ends = [shifts.apply(end[:, np.newaxis]) for end in (inside.low, inside.high)]
    return _by_bits(build, inside, shifts, int(ends[0].min()), int(ends[1].max()))


def halved(record: QParams, times: int) -> Factors:
    """Factors of RS(x, times)."""
    return Factors(np.ones(1, np.int64), np.array([times]), 0, record.limits, record.dtype)
