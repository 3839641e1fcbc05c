"""Scales and zero points from real ranges: the formulas that make every record.

Activations: symmetric ``s = max(|max| / 127, |min| / 128)``, zero point 0; asymmetric
``s = (max - min) / 255``, zero point ``round(-128 - min / s)``; both in float64.
Weights: ``s = max|w| / 127`` for each output channel, kept in float32 because NNTool does and the
integers depend on it. Biases: ``s = s_input * s_weights`` in float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.errors import QuantizationError
from nnshell.ir.operator import Range
from nnshell.ir.qparams import QParams

FloatArray = NDArray[np.floating[Any]]

INT8_MIN, INT8_MAX = -128, 127
INT8_STEPS = 255
NO_WEIGHT = 1e-8  # a smaller extreme of a channel's weights counts as 0
SMALLEST_RANGE = 1e-8  # a constant tensor below this counts as all zero


def usable_range(observed: Range, where: str = "") -> Range:
    """The range that a record is made from: it holds 0 and is not empty.

    A tensor that is constant gets [-c, c], one that is all zero [0, 1].
    """
    low, high = float(observed.minimum), float(observed.maximum)
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


def symmetric_record(observed: Range, where: str = "", *, forced: bool = False) -> QParams:
    """int8, zero point 0: -128 is usable although the largest value is stored at 127."""
    usable = usable_range(observed, where)
    scale = max(abs(usable.maximum) / INT8_MAX, abs(usable.minimum) / -INT8_MIN)
    return _activation(scale, 0, usable, forced=forced)


def asymmetric_record(observed: Range, where: str = "") -> QParams:
    """int8 whose 256 values cover the range."""
    usable = usable_range(observed, where)
    scale = (usable.maximum - usable.minimum) / INT8_STEPS
    zero_point = int(np.round(INT8_MIN - usable.minimum / scale))
    return _activation(scale, max(INT8_MIN, min(INT8_MAX, zero_point)), usable, asymmetric=True)


def power_of_two_record(record: QParams) -> QParams:
    """The record with its scale raised to a power of two, as softmax needs it."""
    scale = 2.0 ** math.ceil(math.log2(record.first_scale))
    return QParams(
        np.array([scale]),
        record.zero_point,
        record.dtype,
        None,
        record.minimum,
        record.maximum,
        forced=True,
    )


def _activation(
    scale: float, zero_point: int, usable: Range, *, asymmetric: bool = False, forced: bool = False
) -> QParams:
    return QParams(
        np.array([scale], np.float64),
        zero_point,
        "int8",
        None,
        np.array([usable.minimum]),
        np.array([usable.maximum]),
        asymmetric=asymmetric,
        forced=forced,
    )


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
    values: FloatArray, axis: int | None, *, narrow: bool = True, where: str = ""
) -> QParams:
    """int8, zero point 0, one scale for each index of ``axis`` or one for the whole tensor."""
    weights = np.asarray(values, np.float32)
    if not np.isfinite(weights).all():
        raise QuantizationError(
            "the weights hold NaN or infinity", where=where, hint="open a model without them"
        )
    rows = np.moveaxis(weights, axis, 0) if axis is not None else weights
    rows = rows.reshape(rows.shape[0] if axis is not None else 1, -1)
    low = _without_specks(rows.min(axis=1, initial=0.0))
    high = _without_specks(rows.max(axis=1, initial=0.0))
    high = np.where((low == 0) & (high == 0), np.float32(1), high)
    top, bottom = np.abs(high) / np.float32(INT8_MAX), np.abs(low)
    bottom = bottom / np.float32(INT8_MAX if narrow else -INT8_MIN)
    scale = np.maximum(top, bottom).astype(np.float32)
    return QParams(scale, 0, "int8", axis, low, high, narrow=narrow)


def _without_specks(extremes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(np.abs(extremes) < NO_WEIGHT, np.float32(0), extremes).astype(np.float32)


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
