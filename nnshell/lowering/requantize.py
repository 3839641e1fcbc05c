"""MULSCALE lowered: y = sat(RS(acc * multiplier, shift) + zero_point), exact in floating point.

Ways to do it, the first that is provably exact is taken (``step_search`` has the proof by steps):

    QuantizeLinear of the accumulator, or of one that a filter made with other weights and bias
    the same, but for a few channels in float64
    acc * factor + offset, then QuantizeLinear by 1       factor = multiplier / 2**shift
    acc * factor + offset, Round, Clip                    in float32: all bits fit
    the same                                              in float64, also with int32 wrap-around

The offset keeps halves from occurring, as Round and QuantizeLinear take them to even integers and
RS takes them up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.integer_graph import (
    FLOAT32_LIMIT,
    FLOAT64_LIMIT,
    INT32_LIMIT,
    CannotLower,
    IntegerGraph,
    IntegerTensor,
)
from nnshell.ir.qparams import QParams
from nnshell.lowering.step_search import Factors, Rescaling, Room, Staircase, find_rescaling
from nnshell.numeric.fixed_point import (
    SIGN_SHIFT,
    WIDEST_LEFT_SHIFT,
    IntArray,
    Multiplier,
    rounding_term,
)

_OFFSETS = (0.5, 0.75, 0.25, 1.0, 0.375, 0.0)  # in units of the grid 2**-shift
_WIDEST_RIGHT, _WIDEST_LEFT = 60, 31  # shifts
_ALL = 255  # a step beyond int8 integers
_TINY = (-23, -12)  # parts of a factor, as powers of two
_WORTH_PATCHING = 2048  # elements: below, the nodes cost more than float64 for all
_FEW = 4  # one channel of so many may be computed in float64 beside the others


@dataclass(frozen=True, slots=True, eq=False)
class Accumulator:
    """What is to be requantized, and its interval for each index of ``axis`` (or everywhere)."""

    tensor: IntegerTensor
    low: IntArray
    high: IntArray
    axis: int | None = None
    convolved: bool = False  # a convolution made it: a Relu after it costs nothing
    room: Room | None = None  # to make it with other weights

    @classmethod
    def of(cls, tensor: IntegerTensor, axis: int | None = None) -> Accumulator:
        """Sums with the bounds of the whole tensor for every channel."""
        return cls(tensor, np.array([tensor.low]), np.array([tensor.high]), axis)


@dataclass(frozen=True, slots=True, eq=False)
class Requantized:
    """Where a tensor came from, for operators that can work on the accumulator instead."""

    accumulator: Accumulator
    factors: Factors

    @property
    def per_channel(self) -> bool:
        """Whether each channel of a float32 feature map has one factor."""
        return self.accumulator.axis in (None, 1) and not self.accumulator.tensor.wide


def factors_of(scaling: Multiplier, record: QParams, zero_point: int = 0) -> Factors:
    """MULSCALE, then the zero point, saturated to the record."""
    multiplier, shift = scaling.multiplier.astype(np.int64), scaling.shift.astype(np.int64)
    return Factors(multiplier, shift, zero_point, record.limits, record.dtype)


def unlimited(scaling: Multiplier) -> Factors:
    """MULSCALE alone."""
    multiplier, shift = scaling.multiplier.astype(np.int64), scaling.shift.astype(np.int64)
    return Factors(multiplier, shift, 0, (-FLOAT64_LIMIT, FLOAT64_LIMIT), "int32")


def divided(record: QParams, times: int, factor: int = 1) -> Factors:
    """RS(x * factor, times), in more than 32 bits."""
    multiplier, shift = np.array([factor]), np.array([times])
    return Factors(multiplier, shift, 0, record.limits, record.dtype, wraps=False)


def requantize(
    build: IntegerGraph,
    accumulator: Accumulator,
    scaling: Multiplier,
    record: QParams,
    zero_point: int = 0,
) -> IntegerTensor:
    """MULSCALE of the accumulator; ``zero_point`` is added and the sum saturated to the record."""
    return requantize_by(build, accumulator, factors_of(scaling, record, zero_point))


def requantize_by(build: IntegerGraph, accumulator: Accumulator, factors: Factors) -> IntegerTensor:
    """RS(x * multiplier, shift) + zero point, saturated; CannotLower where products exceed 2^53."""
    accumulator, factors = _aligned(accumulator, factors)
    products = [end * factors.multiplier for end in (accumulator.low, accumulator.high)]
    largest = int(max(np.abs(product).max() for product in products))
    if largest >= FLOAT64_LIMIT:
        raise CannotLower(f"a product of {largest} is more than float64 holds")
    if factors.wraps and not inside_int32(products, factors.shift):
        return _with_wrap(build, accumulator, factors)
    factors = replace(factors, shift=_capped(products, factors.shift))
    source = Requantized(accumulator, factors)
    if build.deferring:
        low, high = _bounds(accumulator, factors)
        return IntegerTensor("", accumulator.tensor.shape, low, high, source=source)
    result = _by_steps(build, accumulator, factors)
    if result is None:
        result = _by_bits(build, accumulator, factors)
    return replace(result, source=source)


def settled(build: IntegerGraph, x: IntegerTensor) -> IntegerTensor:
    """A tensor whose requantization was deferred, with its nodes."""
    if x.name or not isinstance(x.source, Requantized):
        return x
    deferring, build.deferring = build.deferring, False
    result = requantize_by(build, x.source.accumulator, x.source.factors)
    build.deferring = deferring
    return result


def inside_int32(products: Sequence[IntArray], shift: IntArray) -> bool:
    """Whether neither products nor their rounding wrap around, and the shift is an ordinary one."""
    term = rounding_term(np.maximum(shift, 0))
    return bool((shift <= SIGN_SHIFT).all()) and all(
        bool((end >= -INT32_LIMIT).all()) and bool((end + term < INT32_LIMIT).all())
        for end in products
    )


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


def _bounds(accumulator: Accumulator, factors: Factors) -> tuple[int, int]:
    """The smallest and the largest result."""
    ends = (accumulator.low, accumulator.high)
    low, high = (factors.apply(end[:, np.newaxis]) for end in ends)
    return int(low.min()), int(high.max())


# -- QuantizeLinear, proved by steps -------------------------------------------------------


def _by_steps(
    build: IntegerGraph, accumulator: Accumulator, factors: Factors
) -> IntegerTensor | None:
    """Where the results are int8 or uint8; None where no proof is found."""
    small = factors.dtype in ("int8", "uint8") and bool((factors.multiplier > 0).all())
    room, wide = accumulator.room, accumulator.tensor.wide
    if not small or not build.quantize_linear or (wide and room is None):
        return None
    stairs = Staircase.between(accumulator.low, accumulator.high, factors)
    result, exact = find_rescaling(stairs, room)
    if room is None and not exact.all():
        return _by_offset(build, accumulator, stairs)
    patchable = not wide and math.prod(accumulator.tensor.shape) >= _WORTH_PATCHING
    if np.count_nonzero(~exact) * _FEW > (exact.size if patchable else 0):
        return None
    tensor = _rescaled(accumulator, result)
    name = _quantize_linear(build, tensor, result, factors, accumulator.axis)
    if not exact.all():
        name = _patched(build, tensor, name, accumulator, factors, np.flatnonzero(~exact))
    return build.from_narrow(name, tensor.shape, *_bounds(accumulator, factors), factors.dtype)


def _rescaled(accumulator: Accumulator, result: Rescaling) -> IntegerTensor:
    tensor, room = accumulator.tensor, accumulator.room
    if room is None or (result.plain and not tensor.wide):
        return tensor
    return replace(tensor, name=room.rescale(result.gain, result.bias), wide=False)


def _quantize_linear(
    build: IntegerGraph,
    tensor: IntegerTensor,
    result: Rescaling,
    factors: Factors,
    axis: int | None,
) -> str:
    """Limits inside those of the type are applied to the small integers."""
    scale, zero_point = result.scale, result.zero_point.astype(factors.dtype)
    equal = (scale == scale[0]).all() and (zero_point == zero_point[0]).all()
    if axis is None or equal:
        scale, zero_point = scale[0], zero_point[0]
    operands = [build.constant(scale, "scale"), build.constant(zero_point, "zero_point")]
    attributes = {} if axis is None or equal else {"axis": axis}
    name = build.node("QuantizeLinear", [tensor.name, *operands], attributes)
    for op, limit, widest in zip(
        ("Max", "Min"), factors.limits, factors.limits_of_type, strict=True
    ):
        if limit != widest:
            name = build.node(op, [name, build.constant(np.array(limit, factors.dtype))])
    return name


def _patched(
    build: IntegerGraph,
    tensor: IntegerTensor,
    name: str,
    accumulator: Accumulator,
    factors: Factors,
    rows: IntArray,
) -> str:
    """The integers in ``name`` with some channels replaced by what float64 gives."""
    axis = accumulator.axis or 0
    some = build.node("Gather", [tensor.name, build.constant(rows)], {"axis": axis})
    part = replace(
        accumulator,
        tensor=replace(tensor, name=some, wide=False),
        low=accumulator.low[rows],
        high=accumulator.high[rows],
    )
    result = _by_bits(build, part, factors.rows(rows))
    joined = build.node("Concat", [name, build.cast(result.name, factors.dtype)], {"axis": axis})
    order = np.arange(accumulator.low.size)
    order[rows] = accumulator.low.size + np.arange(rows.size)
    return build.node("Gather", [joined, build.constant(order)], {"axis": axis})


def _by_offset(
    build: IntegerGraph, accumulator: Accumulator, stairs: Staircase
) -> IntegerTensor | None:
    """acc * factor + offset, then QuantizeLinear by 1; None where no offset is exact."""
    factors = stairs.factors
    with np.errstate(over="ignore"):
        factor = _real_factors(factors).astype(np.float32)
    if not np.isfinite(factor).all():
        return None
    grid = np.ldexp(1.0, -np.maximum(factors.shift, 0))
    offset, exact = np.zeros(grid.size), np.zeros(grid.size, np.bool_)
    scaled = stairs.points.astype(np.float32) * factor[:, np.newaxis]
    for share in _OFFSETS:
        tried = grid * share
        units = np.rint(scaled + tried.astype(np.float32)[:, np.newaxis]) + factors.zero_point
        fits = (np.clip(units, *factors.limits) == stairs.results).all(axis=1)
        offset = np.where(fits & ~exact, tried, offset)
        exact |= fits
    if not exact.all():
        return None
    tensor = accumulator.tensor
    constants = (
        _along(array, accumulator.axis, len(tensor.shape))
        for array in (_real_factors(factors), offset)
    )
    moved = replace(tensor, name=build.affine(tensor, *constants))
    by_one = Rescaling.plain_for(1, factors.zero_point)
    name = _quantize_linear(build, moved, by_one, factors, None)
    return build.from_narrow(name, tensor.shape, *_bounds(accumulator, factors), factors.dtype)


# -- by the number of bits -----------------------------------------------------------------


def _by_bits(build: IntegerGraph, accumulator: Accumulator, factors: Factors) -> IntegerTensor:
    """In float32 if that has the bits, else in float64."""
    tensor = accumulator.tensor
    if tensor.wide or not _fits(accumulator, factors, FLOAT32_LIMIT):
        if not _fits(accumulator, factors, FLOAT64_LIMIT):
            raise CannotLower("a product with its fraction is more than float64 holds")
        accumulator = replace(accumulator, tensor=build.widened(tensor))
    return _rounded(build, accumulator, factors)


def _fits(accumulator: Accumulator, factors: Factors, limit: int) -> bool:
    """Whether acc * factor + offset needs no more bits than there are, with one below the grid."""
    right, left = np.maximum(factors.shift, 0), np.maximum(-factors.shift, 0)
    if right.max() > _WIDEST_RIGHT or left.max() > _WIDEST_LEFT:
        return False
    ends = np.maximum(np.abs(accumulator.low), np.abs(accumulator.high))
    products = np.ldexp((ends * factors.multiplier).astype(np.float64), left)
    offset = np.ldexp(abs(factors.zero_point) + 1.0, right)
    return bool(2 * (products + offset).max() < limit)


def _rounded(build: IntegerGraph, accumulator: Accumulator, factors: Factors) -> IntegerTensor:
    tensor, right = accumulator.tensor, np.maximum(factors.shift, 0)
    factor, offset = _real_factors(factors), np.where(right > 0, np.ldexp(0.5, -right), 0.0)
    free = replace(factors, limits=(-FLOAT64_LIMIT, FLOAT64_LIMIT))
    whole = bool((right == 0).all())
    nudged = None if whole else _without_halves(accumulator, free)
    if nudged is not None:
        factor, offset = nudged, np.zeros(1)
    constants = (
        _along(array, accumulator.axis, len(tensor.shape))
        for array in (factor, offset + factors.zero_point)
    )
    name = build.affine(tensor, *constants)
    name = name if whole else build.node("Round", [name])
    low, high = _bounds(accumulator, factors)
    if _bounds(accumulator, free) != (low, high):
        name = build.node("Clip", [name, *(build.number(n, tensor.wide) for n in (low, high))])
    if name == tensor.name:
        return replace(tensor, low=low, high=high)
    return build.narrowed(IntegerTensor(name, tensor.shape, low, high, tensor.wide))


def _without_halves(accumulator: Accumulator, factors: Factors) -> NDArray[np.float64] | None:
    """A factor of int8 integers that needs no offset, found by trying it on all of them."""
    tensor = accumulator.tensor
    if tensor.wide or factors.shift.size > 1 or tensor.high - tensor.low > _ALL:
        return None
    x = np.arange(tensor.low, tensor.high + 1)
    expected = factors.apply(x[np.newaxis])[0] - factors.zero_point
    exact = _real_factors(factors).astype(np.float32)
    for doubling in range(*_TINY):
        factor = exact * np.float32(1 + 2.0**doubling)
        if np.array_equal(np.rint(x.astype(np.float32) * factor), expected):
            return factor.astype(np.float64)
    return None


def _real_factors(factors: Factors) -> NDArray[np.float64]:
    """multiplier / 2**shift, exact in float32 as well."""
    return np.ldexp(factors.multiplier.astype(np.float64), -factors.shift)


def _along(array: NDArray[np.float64], axis: int | None, rank: int) -> NDArray[np.float64]:
    """Shaped to broadcast along ``axis`` of a tensor with ``rank`` axes after the samples."""
    if axis is None or (array == array[0]).all():
        return np.asarray(array[0])
    shape = [1] * (rank + 1)
    shape[axis] = -1
    return array.reshape(shape)


# -- wrap-around ---------------------------------------------------------------------------


def converted(build: IntegerGraph, x: IntegerTensor) -> IntegerTensor:
    """x, or the smallest int32 where int32 does not hold it."""
    if x.low >= -INT32_LIMIT and x.high < INT32_LIMIT:
        return x
    x = build.widened(x)
    above = build.node("Less", [x.name, build.number(INT32_LIMIT, True)])
    below = build.node("GreaterOrEqual", [x.name, build.number(-INT32_LIMIT, True)])
    fits = build.node("And", [above, below])
    name = build.node("Where", [fits, x.name, build.number(-INT32_LIMIT, True)])
    high = min(x.high, INT32_LIMIT - 1)
    return IntegerTensor(name, x.shape, -INT32_LIMIT, high, True)


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
    """The product, its rounding and the shift one by one, each in 32 bits."""
    shape = accumulator.tensor.shape
    tensor = build.widened(accumulator.tensor)
    name = build.node("Mul", [tensor.name, _wide(build, accumulator, factors.multiplier, shape)])
    ends = [end * factors.multiplier for end in (accumulator.low, accumulator.high)]
    low, high = int(min(e.min() for e in ends)), int(max(e.max() for e in ends))
    product = wrapped(build, IntegerTensor(name, shape, low, high, True))
    right = np.maximum(factors.shift, 0)
    terms = rounding_term(right)
    name = build.node("Add", [product.name, _wide(build, accumulator, terms, shape)])
    low, high = product.low + int(terms.min()), product.high + int(terms.max())
    rounded = wrapped(build, IntegerTensor(name, shape, low, high, True))
    return _shifted(build, accumulator, factors, rounded)


def _shifted(
    build: IntegerGraph, accumulator: Accumulator, factors: Factors, rounded: IntegerTensor
) -> IntegerTensor:
    """floor(x / 2**shift) plus the zero point, saturated; of an int32, at most its sign is left."""
    shift = np.clip(factors.shift, -WIDEST_LEFT_SHIFT, SIGN_SHIFT)
    parts = np.ldexp(1.0, -shift)
    scale = _along(parts, accumulator.axis, len(rounded.shape))
    name = build.node("Mul", [rounded.name, build.real(scale, True)])
    name = build.node("Floor", [name])
    if factors.zero_point:
        name = build.node("Add", [name, build.number(factors.zero_point, True)])
    ends = [np.floor(end * parts) + factors.zero_point for end in (rounded.low, rounded.high)]
    low, high = factors.limits
    name = build.node("Clip", [name, build.number(low, True), build.number(high, True)])
    bounds = (max(low, int(ends[0].min())), min(high, int(ends[1].max())))
    return build.narrowed(IntegerTensor(name, rounded.shape, *bounds, True))


def _wide(
    build: IntegerGraph, accumulator: Accumulator, numbers: IntArray, shape: tuple[int, ...]
) -> str:
    """Numbers along the accumulator's axis, in float64."""
    return build.real(_along(numbers.astype(np.float64), accumulator.axis, len(shape)), True)
