"""Quotients lowered, in float64: floor(a / b) of integers below 2**52 is exact there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.integer_graph import CannotLower, IntegerGraph, IntegerTensor
from nnshell.ir.qparams import QParams
from nnshell.numeric.fixed_point import Multiplier

_SATURATED = 1 << 40
_WIDEST_SHIFT = 40  # shifted further, nothing is left
_WIDEST_DATA = 1 << 16
_SMALLEST_SHIFT = -20


def lower_quotient(
    build: IntegerGraph,
    dividend: IntegerTensor,
    divisor: IntegerTensor,
    scaling: Multiplier,
    output: QParams,
    fraction_bits: int,
) -> IntegerTensor:
    """RS(floor(a * mu * 2**bits / b), sh + bits); a / 0 saturates to the sign of a."""
    shift = int(scaling.shift[0]) + fraction_bits
    _check(dividend, shift)
    a, b = build.aligned([build.widened(dividend), build.widened(divisor)])
    shape = tuple(np.broadcast_shapes(a.shape, b.shape))
    is_zero = build.cast(build.node("Equal", [b.name, build.number(0, True)]), "float64")
    scaled = build.node(
        "Mul", [a.name, build.number(int(scaling.multiplier[0]) << fraction_bits, True)]
    )
    quotient = build.node("Div", [scaled, build.node("Add", [b.name, is_zero])])
    rounded = _rounded(build, build.node("Floor", [quotient]), np.array(1.0), np.array(shift))
    usual = build.node("Sub", [rounded, build.node("Mul", [rounded, is_zero])])
    far = build.node("Mul", [build.node("Sign", [a.name]), build.number(_SATURATED, True)])
    result = build.node("Add", [usual, build.node("Mul", [far, is_zero])])
    return _saturated(build, result, shape, output)


def lower_constant_quotient(
    build: IntegerGraph,
    dividend: IntegerTensor,
    divisor: IntegerTensor,
    scaling: Multiplier,
    signs: NDArray[np.int64],
    output: QParams,
) -> IntegerTensor:
    """RS(a * sign * mu, sh) with a factor for each element of the constant."""
    _check(dividend, int(scaling.shift.min()))
    a, b = build.aligned([build.widened(dividend), divisor])
    shape = tuple(np.broadcast_shapes(a.shape, b.shape))
    factors = (scaling.multiplier.astype(np.float64) * signs.reshape(-1)).reshape(1, *b.shape)
    shifts = scaling.shift.astype(np.int64).reshape(1, *b.shape)
    return _saturated(build, _rounded(build, a.name, factors, shifts), shape, output)


def _check(dividend: IntegerTensor, shift: int) -> None:
    if dividend.magnitude >= _WIDEST_DATA or shift < _SMALLEST_SHIFT:
        raise CannotLower("a quotient is more than float64 holds")


def _rounded(
    build: IntegerGraph, name: str, factor: NDArray[np.float64], shift: NDArray[np.int64]
) -> str:
    """RS(x * factor, shift)."""
    capped = np.minimum(shift, _WIDEST_SHIFT)
    half = np.where(capped > 0, 0.5, 0.0)
    scaled = build.node("Mul", [name, build.real(np.ldexp(factor, -capped), True)])
    return build.node("Floor", [build.node("Add", [scaled, build.real(half, True)])])


def _saturated(
    build: IntegerGraph, name: str, shape: tuple[int, ...], output: QParams
) -> IntegerTensor:
    if output.zero_point:
        name = build.node("Add", [name, build.number(output.zero_point, True)])
    low, high = output.limits
    clipped = build.node("Clip", [name, build.number(low, True), build.number(high, True)])
    return build.narrowed(IntegerTensor(clipped, shape, low, high, True))
