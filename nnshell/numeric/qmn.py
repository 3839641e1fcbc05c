"""Qm.n records of the scheme POW2: from a real range to a number of fraction bits.

    real = integer * 2**-n,     m + n = bits, m counts the sign,     zero point 0

``m`` is the smallest that holds the integer part of the largest magnitude, so [-1, 0.99] needs
m = 2 and 0.999 needs m = 1; there are never more than ``bits - 1`` fraction bits. One n serves a
whole tensor.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.qparams import QParams
from nnshell.ir.requests import Range
from nnshell.numeric.records import usable_range
from nnshell.support.errors import QuantizationError

ACCUMULATOR_BITS = 31  # of an int32, as the kernels leave it to an activation
NO_WEIGHT = 1e-8  # a smaller extreme of an array counts as 0
ALL_ZERO = Range(-1.0, 1.0)  # what an array of zeros is quantized by
_TYPES = {8: "int8", 16: "int16", ACCUMULATOR_BITS: "int32", 32: "int32"}


def integer_bits(values: Range) -> int:
    """m of Qm.n: bits of the integer part of the largest magnitude, and the sign."""
    whole = math.floor(max(abs(values.minimum), abs(values.maximum)))
    return 1 if whole == 0 else whole.bit_length() + 1


def range_record(observed: Range, bits: int, where: str = "") -> QParams:
    """The record of what was seen; it keeps that range, widened to hold 0.

    QuantizationError where the integer part alone needs more bits than there are.
    """
    usable = usable_range(observed, where)
    if usable == Range(0.0, 1.0) and np.isclose(observed.minimum, observed.maximum):
        usable = ALL_ZERO
    fraction = bits - integer_bits(usable)
    if fraction < 0:
        low, high = float(observed.minimum), float(observed.maximum)
        largest = 1 << (bits - 1)
        raise QuantizationError(
            f"the range {low:.6g} .. {high:.6g} needs more integer bits than {bits}-bit "
            f"fixed point has: it ends at {largest}",
            where=where,
            hint="use 16 bits (aquant -s POW2 -f 16), for this node alone qtune --step STEP "
            "bits=16, or scale the inputs",
        )
    return fixed_point_record(fraction, bits, usable)


def fixed_point_record(fraction_bits: int, bits: int, nominal: Range | None = None) -> QParams:
    """Q(bits - n).n; without a range it says what its integers can stand for."""
    scale = np.array([np.ldexp(1.0, -fraction_bits)])
    dtype = _TYPES[bits]
    record = QParams(
        scale,
        0,
        dtype,
        fraction_bits=fraction_bits,
        integer_bits=bits if bits == ACCUMULATOR_BITS else None,
    )
    values = representable(record) if nominal is None else nominal
    return replace(record, minimum=np.array([values.minimum]), maximum=np.array([values.maximum]))


def array_record(values: NDArray[Any], bits: int, where: str = "") -> QParams:
    """The record of a constant tensor: weights, a bias, an operand."""
    if not np.isfinite(values).all():
        raise QuantizationError(
            "a constant holds NaN or infinity", where=where, hint="open a model without them"
        )
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    low, high = (0.0 if abs(end) < NO_WEIGHT else end for end in (low, high))
    return range_record(Range(low, high), bits, where)


def fraction_of(record: QParams) -> int:
    """n of a fixed-point record."""
    assert record.fraction_bits is not None, "a record of another scheme"
    return record.fraction_bits


def representable(record: QParams) -> Range:
    """Real values of the smallest and the largest integer."""
    low, high = record.limits
    scale = record.first_scale
    return Range(low * scale, high * scale)


def with_fraction_bits(record: QParams, fraction_bits: int) -> QParams:
    """The same with fewer (or more) fraction bits; a range that was seen is kept."""
    able = representable(record)
    made_from_bits = (able.minimum, able.maximum) == (
        float(record.minimum[0]),
        float(record.maximum[0]),
    )
    nominal = None if made_from_bits else Range(float(record.minimum[0]), float(record.maximum[0]))
    return fixed_point_record(fraction_bits, record.width, nominal)
