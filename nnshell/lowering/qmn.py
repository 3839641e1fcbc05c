"""Fixed point lowered: shifts with rounding, and products of 16-bit integers in parts.

ONNX Runtime convolves in float32 only, which holds 24 bits. Products of 16-bit data and 16-bit
weights have 30 and more, so both are cut into digits (``x = 256 * high + low``), each pair of
digits is convolved exactly in float32, and the results are added in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
from nnshell.lowering.requantize import Accumulator, converted, requantize_by, settled, wrapped
from nnshell.lowering.step_search import Factors
from nnshell.numeric.fixed_point import IntArray

# Writes the float node: data, weights, bias or None, whether in float64 -> sums.
Sums = Callable[[str, IntArray, IntArray | None, bool], str]

_BYTE = 8
_DIGIT_BITS = (8, 6, 4)  # of weights, the widest that fits
_WHOLE = 1 << _BYTE  # data up to this are not cut


def lower_shift(
    build: IntegerGraph,
    x: IntegerTensor,
    fraction_bits: int,
    output: QParams,
    multiplier: int = 1,
    *,
    wraps: bool = True,
) -> IntegerTensor:
    """RS(x * multiplier, fraction_bits - those of the output), saturated to the output."""
    assert output.fraction_bits is not None
    shift = fraction_bits - output.fraction_bits
    low, high = output.limits
    if shift == 0 and multiplier == 1 and low <= x.low and x.high <= high:
        return x
    if shift > 31 and wraps:
        raise CannotLower(f"a shift by {shift} bits")
    factors = Factors(
        np.array([multiplier]), np.array([shift]), 0, (low, high), output.dtype, wraps
    )
    return settled(build, requantize_by(build, Accumulator.of(x), factors))


def lower_fixed_filter(
    build: IntegerGraph,
    x: IntegerTensor,
    weights: NDArray[np.int64],
    bias: NDArray[np.int64],
    shape: tuple[int, ...],
    sums: Sums,
    *,
    doubles: bool,
    wraps: bool,
) -> IntegerTensor:
    """The accumulator: sums of products and bias, within int32.

    ``x`` has the interval of all that the filter sees, padding included; ``weights`` have their
    output channels first. Beyond int32 sums wrap around, or become the smallest int32.
    """
    rows = weights.reshape(weights.shape[0], -1)
    positive, negative = np.maximum(rows, 0).sum(axis=1), np.minimum(rows, 0).sum(axis=1)
    low = int((positive * x.low + negative * x.high + bias).min())
    high = int((positive * x.high + negative * x.low + bias).max())
    reach = np.abs(rows).sum(axis=1) * x.magnitude + np.abs(bias)
    if not x.wide and int(reach.max()) < FLOAT32_LIMIT:
        total = IntegerTensor(sums(x.name, weights, bias, False), shape, low, high)
    elif doubles:
        name = sums(build.widened(x).name, weights, bias, True)
        total = IntegerTensor(name, shape, low, high, wide=True)
    else:
        name = _sum_of_digits(build, x, weights, sums)
        per_channel = bias.reshape(1, -1, *(1 for _ in shape[1:]))
        name = build.node("Add", [name, build.real(per_channel, True)])
        total = IntegerTensor(name, shape, low, high, wide=True)
    if low < -INT32_LIMIT or high >= INT32_LIMIT:
        return wrapped(build, total) if wraps else converted(build, total)
    return total


def _sum_of_digits(build: IntegerGraph, x: IntegerTensor, weights: IntArray, sums: Sums) -> str:
    """Sums of products in float64, from pairs of digits that float32 sums exactly."""
    if x.wide:
        raise CannotLower("the data of a filter is more than float32 holds")
    largest = _WHOLE if x.magnitude > _WHOLE else x.magnitude
    digits, bits = _digits_that_fit(weights, largest)
    total = ""
    for power, data in _data_digits(build, x):
        for index, digit in enumerate(digits):
            if not digit.any():
                continue
            part = build.cast(sums(data, digit, None, False), "float64")
            exponent = power + bits * index
            if exponent:
                part = build.node("Mul", [part, build.number(float(1 << exponent), True)])
            total = part if not total else build.node("Add", [total, part])
    return total or build.cast(sums(x.name, weights, None, False), "float64")  # weights of zeros


def _digits_that_fit(weights: IntArray, largest: int) -> tuple[list[IntArray], int]:
    for bits in _DIGIT_BITS:
        digits = list(_weight_digits(weights, bits))
        reach = max(int(np.abs(d.reshape(d.shape[0], -1)).sum(axis=1).max()) for d in digits)
        if reach * largest < FLOAT32_LIMIT:
            return digits, bits
    raise CannotLower(f"a sum of products reaches {reach * largest} in parts")


def _weight_digits(weights: IntArray, bits: int) -> Iterator[IntArray]:
    """Balanced digits, the lowest first: ``weights = sum of digit * 2**(bits * index)``."""
    rest, half = weights, 1 << (bits - 1)
    while True:
        higher = (rest + half) >> bits
        yield rest - (higher << bits)
        rest = higher
        if not rest.any():
            return


def _data_digits(build: IntegerGraph, x: IntegerTensor) -> Iterator[tuple[int, str]]:
    """(power of two, tensor) of the data's digits, at most 2**8 in magnitude."""
    if x.magnitude <= _WHOLE:
        yield 0, x.name
        return
    if x.magnitude > 1 << (2 * _BYTE):
        raise CannotLower(f"the data of a filter reaches {x.magnitude}")
    step = float(1 << _BYTE)
    scaled = build.affine(x, np.array(1 / step), np.array(0.5))
    high = build.node("Floor", [scaled])
    whole = build.node("Mul", [high, build.number(step, False)])
    yield 0, build.node("Sub", [x.name, whole])
    yield _BYTE, high


def lower_alignment(
    build: IntegerGraph, inputs: list[IntegerTensor], fractions: list[int]
) -> tuple[list[IntegerTensor], int]:
    """Terms of a sum at the fraction bits of the one that has the fewest."""
    common, aligned = min(fractions), []
    for x, fraction in zip(inputs, fractions, strict=True):
        if fraction != common:
            shift = np.array([fraction - common])
            factors = Factors(np.array([1]), shift, 0, (-FLOAT64_LIMIT, FLOAT64_LIMIT), "int32")
            x = settled(build, requantize_by(build, Accumulator.of(x), factors))
        aligned.append(x)
    return aligned, common


def lower_precise_mean(
    build: IntegerGraph, x: IntegerTensor, count: int, *, wraps: bool
) -> IntegerTensor:
    """RS(((1 << m) / n) * sum, m), m the bits of the sum: a mean over height and width.

    See ``nnshell.numeric.kernels.fixed.precise_mean``; with ``wraps`` the product is brought to
    int32, and its rounding too.
    """
    axes = build.constant(np.array([2, 3], np.int64), "axes")
    x = build.widened(x)
    name = build.node("ReduceSum", [x.name, axes], {"keepdims": 1})
    shape = (x.shape[0], 1, 1)
    total = IntegerTensor(name, shape, x.low * count, x.high * count, True)
    bits = _bit_length(build, total)
    lengths = np.arange(32)
    factors = (np.int64(1) << lengths) // count
    halves = np.where(lengths > 0, np.int64(1) << np.maximum(lengths - 1, 0), 0)
    tables = (factors, halves, np.ldexp(1.0, -lengths))
    factor, half, scale = (
        build.look_up(build.real(np.asarray(table), True), bits, shape) for table in tables
    )
    reach = 2 * total.magnitude * (2 * total.magnitude // count + 1)
    if reach >= 1 << 52:
        raise CannotLower(f"a mean of {count} elements reaches {reach}")
    product = IntegerTensor(build.node("Mul", [total.name, factor]), shape, -reach, reach, True)
    product = wrapped(build, product) if wraps else product
    rounded = IntegerTensor(
        build.node("Add", [product.name, half]), shape, -2 * reach, 2 * reach, True
    )
    rounded = wrapped(build, rounded) if wraps else rounded
    name = build.node("Floor", [build.node("Mul", [rounded.name, scale])])
    return IntegerTensor(name, shape, rounded.low, rounded.high, True)


def _bit_length(build: IntegerGraph, x: IntegerTensor) -> str:
    """Bits of x >= 0, and of -x - 1 where it is negative: int32, as an index."""
    inverted = build.node("Sub", [build.node("Neg", [x.name]), build.number(1.0, True)])
    magnitude = build.node("Max", [x.name, inverted])
    axis = build.constant(np.array([-1], np.int64), "axes")
    column = build.node("Unsqueeze", [magnitude, axis])
    powers = build.real(np.ldexp(1.0, np.arange(31)), True)
    reached = build.cast(build.node("GreaterOrEqual", [column, powers]), "float64")
    return build.cast(build.node("ReduceSum", [reached, axis], {"keepdims": 0}), "int32")
