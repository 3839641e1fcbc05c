"""Scales and zero points from real ranges: the formulas that make every record.

Activations: symmetric ``s = max(|max| / 127, |min| / 128)``, zero point 0; asymmetric
``s = (max - min) / 255``, zero point ``round(-128 - min / s)``; both in float64.
Weights: ``s = max|w| / 127`` for each output channel, kept in float32 because NNTool does and the
integers depend on it; in float64 where the weights are, as those that a file stores as integers.
Biases: ``s = s_input * s_weights`` in float64.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.qparams import INT8_BITS, QParams
from nnshell.ir.requests import Range
from nnshell.numeric.weight_clipping import clipped_reach
from nnshell.support.errors import QuantizationError

FloatArray = NDArray[np.floating[Any]]

INT8_MAX = 127
NO_WEIGHT = 1e-8  # a smaller extreme of a channel's weights counts as 0
SMALLEST_RANGE = 1e-8  # a constant tensor below this counts as all zero


def real_number(value: Any) -> float:
    """A number as a float, unless it is a float32 of a model file: what is made of it stays one."""
    number: float = value if isinstance(value, np.float32) else float(value)  # type: ignore[assignment]
    return number


def usable_range(observed: Range, where: str = "") -> Range:
    """The range that a record is made from: it holds 0 and is not empty.

    A tensor that is constant gets [-c, c], one that is all zero [0, 1].
    """
    low, high = real_number(observed.minimum), real_number(observed.maximum)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise QuantizationError(
            f"the range {low} .. {high} is not finite",
            where=where,
            hint="look for NaN or overflow in the calibration inputs, then run aquant again",
        )
    if low > high:
        raise QuantizationError(
            f"the range {low} .. {high} is empty", where=where, hint="run aquant again"
        )
    if np.isclose(low, high):
        extreme = max(abs(low), abs(high))
        return Range(-extreme, extreme) if extreme > SMALLEST_RANGE else Range(0.0, 1.0)
    return Range(low, high).including_zero()


def integer_limits(bits: int) -> tuple[int, int]:
    """Smallest and largest integer of so many bits, at most those of int8."""
    half = 1 << (min(bits, INT8_BITS) - 1)
    return -half, half - 1


def symmetric_record(
    observed: Range, where: str = "", *, forced: bool = False, bits: int = INT8_BITS
) -> QParams:
    """int8, zero point 0: -128 is usable although the largest value is stored at 127."""
    usable = usable_range(observed, where)
    low, high = integer_limits(bits)
    scale = max(abs(usable.maximum) / high, abs(usable.minimum) / -low)
    return replace(_activation(scale, 0, usable, forced=forced), bits=bits)


def asymmetric_record(observed: Range, where: str = "", *, bits: int = INT8_BITS) -> QParams:
    """int8 whose 256 values, or fewer with fewer bits, cover the range."""
    usable = usable_range(observed, where)
    low, high = integer_limits(bits)
    scale = (usable.maximum - usable.minimum) / (high - low)
    zero_point = int(np.round(low - usable.minimum / scale))
    record = _activation(scale, max(low, min(high, zero_point)), usable, asymmetric=True)
    return replace(record, bits=bits)


def power_of_two_record(record: QParams) -> QParams:
    """The record with its scale raised to a power of two, as softmax needs it."""
    scale = 2.0 ** math.ceil(math.log2(record.first_scale))
    return QParams(
        np.array([scale], record.scale.dtype),
        record.zero_point,
        record.dtype,
        None,
        record.minimum,
        record.maximum,
        forced=True,
        bits=record.bits,
    )


def _activation(
    scale: float, zero_point: int, usable: Range, *, asymmetric: bool = False, forced: bool = False
) -> QParams:
    return QParams(
        np.array([scale], np.float32 if isinstance(scale, np.float32) else np.float64),
        zero_point,
        "int8",
        None,
        np.array([usable.minimum]),
        np.array([usable.maximum]),
        asymmetric=asymmetric,
        forced=forced,
    )


# Of a range that a concat may cut off: what would leave next to nothing is joined instead.
LARGEST_LOSS = 0.9
NOTABLE_LOSS = 0.25  # from here on it is said, and nobody's range is cut off for another's sake


def loss(record: QParams, wanted: Range) -> float:
    """The part of a range that a record cuts off, 0 to 1."""
    low, high = ((limit - record.zero_point) * record.first_scale for limit in record.limits)
    inside = min(high, wanted.maximum) - max(low, wanted.minimum)
    extent = wanted.maximum - wanted.minimum
    return 1.0 - inside / extent if extent > 0 else 0.0


def fixed_record(
    scale: float, dtype: str, observed: Range | None = None, zero_point: int = 0
) -> QParams:
    """A record whose scale follows from the kernel, not from a range."""
    record = QParams(np.array([scale], np.float64), zero_point, dtype)
    low, high = record.limits
    usable = observed or Range(scale * (low - zero_point), scale * (high - zero_point))
    return QParams(
        record.scale,
        zero_point,
        dtype,
        None,
        np.array([usable.minimum]),
        np.array([usable.maximum]),
        forced=True,
    )


def weight_record(
    values: FloatArray,
    axis: int | None,
    *,
    narrow: bool = True,
    where: str = "",
    bits: int = INT8_BITS,
    clip: str = "none",
) -> QParams:
    """int8, zero point 0, one scale for each index of ``axis`` or one for the whole tensor.

    ``clip`` is one of ``WEIGHT_CLIPS``: which extremes are cut off for finer steps.
    """
    real = values.dtype.type if values.dtype == np.float64 else np.float32
    weights = np.asarray(values, real)
    if not np.isfinite(weights).all():
        raise QuantizationError(
            "the weights hold NaN or infinity", where=where, hint="open a model without them"
        )
    rows = np.moveaxis(weights, axis, 0) if axis is not None else weights
    rows = rows.reshape(rows.shape[0] if axis is not None else 1, -1)
    low = _without_specks(rows.min(axis=1, initial=0.0))
    high = _without_specks(rows.max(axis=1, initial=0.0))
    smallest, largest = integer_limits(bits)
    reach = clipped_reach(rows, clip, largest)
    if reach is not None:
        low, high = np.maximum(low, -reach), np.minimum(high, reach)
    high = np.where((low == 0) & (high == 0), real(1), high)  # a dead channel
    top, bottom = np.abs(high) / real(largest), np.abs(low)
    bottom = bottom / real(largest if narrow else -smallest)
    scale = np.maximum(top, bottom).astype(real)
    return QParams(scale, 0, "int8", axis, low, high, narrow=narrow, bits=bits)


def _without_specks(extremes: FloatArray) -> FloatArray:
    return np.where(np.abs(extremes) < NO_WEIGHT, 0, extremes).astype(extremes.dtype)


def bias_record(data: QParams, weights: QParams) -> QParams:
    """int32 in units of the accumulator: the data's scale times each channel's weight scale."""
    scale = np.float64(data.first_scale) * weights.scale.astype(np.float64)
    low, high = QParams(scale, 0, "int32").limits
    return QParams(
        scale,
        0,
        "int32",
        0 if weights.scale.size > 1 else None,
        low * scale,
        high * scale,
    )
