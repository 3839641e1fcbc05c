"""The integer arithmetic once more, in plain Python on single numbers, to compare the engine with.

Nothing here comes from the package: a rule that both get right was written down twice. A record is
a pair (scale, zero point); activations are integer arrays (channels, height, width) or vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Record = tuple[float, int]
Ints = np.ndarray[Any, Any]

Q12: Record = (2.0**-12, 0)
UNIT: Record = (1 / 127, 0)  # of sigmoid, hard sigmoid and tanh
ONE_HIGHER = (
    *(4, 8, 12, 14, 15, 16, 17, 19, 20, 21, 22, 25, 27, 28, 29, 30, 31, 33, 34, 35, 37, 39, 40, 41),
    *(43, 44, 45, 46, 49, 50, 54, 62, 63, 64, 66, 82, 86, 93, 100, 103, 112, 116, 135, 255),
)
TABLE = [math.floor(65536 / (1 + math.exp(-k / 24)) + 0.5) + (k in ONE_HIGHER) for k in range(256)]


def symmetric(low: float, high: float) -> Record:
    return max(abs(max(high, 0)) / 127, abs(min(low, 0)) / 128), 0


def asymmetric(low: float, high: float) -> Record:
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    return scale, round(-128 - low / scale)


def shifted(value: int, shift: int) -> int:
    """RS: halves towards plus infinity."""
    return (value + (1 << shift >> 1)) >> shift if shift >= 0 else value << -shift


def clip8(value: int) -> int:
    return max(-128, min(127, value))


def multiplier(factor: float, available: int = 8) -> tuple[int, int]:
    """(multiplier, shift): bits are given up while the multiplier is even or does not fit."""
    mantissa, exponent = math.frexp(factor)
    mantissa = float(np.float32(mantissa))
    bits = most = min(8, available)
    while True:
        found, shift = math.floor(mantissa * 2**bits + 0.5), bits - exponent
        poor = found >= 2**most or shift > 24 or found % 2 == 0
        if not (poor and shift > 0 and bits > 0):
            return found, shift
        bits -= 1


def quantized(real: Ints, record: Record) -> Ints:
    steps = np.floor(real.astype(np.float32) / np.float64(record[0]) + 0.5) + record[1]
    return np.clip(steps, -128, 127).astype(np.int64)


def requantized(x: Ints, given: Record, wanted: Record) -> Ints:
    """What a quantize node computes in the simulation: real arithmetic."""
    steps = np.floor((x - given[1]) * given[0] / wanted[0] + 0.5) + wanted[1]
    return np.clip(steps, -128, 127).astype(np.int64)


def each(function: Callable[[int], int], x: Ints) -> Ints:
    return np.array([function(int(value)) for value in x.ravel()], np.int64).reshape(x.shape)


def filtered(
    x: Ints,
    given: Record,
    wanted: Record,
    weights: Ints,
    bias: Ints,
    *,
    pad: int = 0,
    wide: bool = False,
) -> Ints:
    """Convolution or linear layer; ``wide`` leaves the int32 result unclipped."""
    windows = _windows(x, weights, pad, given[1])  # (outputs, taps)
    channels = []
    for row, real_bias in zip(weights, bias, strict=True):
        scale, integers = _weights(row.reshape(-1))
        step = given[0] * float(scale)
        units = math.floor(float(real_bias) / step + 0.5)
        start = units - given[1] * sum(integers) + math.floor(wanted[1] * wanted[0] / step + 0.5)
        head = math.ceil(math.log2(abs(units))) if units else 0
        available = 31 - max(math.ceil(math.log2(len(integers))) + 14, head)
        by, shift = multiplier(step / wanted[0], available)
        sums = windows @ np.array(integers, np.int64) + start
        values = each(lambda total, by=by, shift=shift: shifted(total * by, shift), sums)  # type: ignore[misc]
        channels.append(values if wide else np.clip(values, -128, 127))
    made = np.stack(channels)
    if weights.ndim == 2:
        return made[:, 0]
    side = [n + 2 * pad - k + 1 for n, k in zip(x.shape[1:], weights.shape[2:], strict=True)]
    return made.reshape(len(weights), *side)


def _weights(row: Ints) -> tuple[np.float32, list[int]]:
    """Scale in float32 and integers of one output channel."""
    low, high = (
        extreme if abs(extreme) >= 1e-8 else np.float32(0) for extreme in (row.min(), row.max())
    )
    largest = np.float32(max(abs(low), abs(high)) or 1)
    scale = largest / np.float32(127)
    steps = np.floor(row / scale + np.float32(0.5))
    return scale, [int(n) for n in np.clip(steps, -127, 127)]


def _windows(x: Ints, weights: Ints, pad: int, zero: int) -> Ints:
    if weights.ndim == 2:
        return x.reshape(1, -1)
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)), constant_values=zero)
    seen = np.lib.stride_tricks.sliding_window_view(padded, weights.shape[2:], (1, 2))
    return seen.transpose(1, 2, 0, 3, 4).reshape(-1, weights[0].size)


def pooled(
    x: Ints, size: int, step: int, function: Callable[[Ints], Any], pad: int = 0, zero: int = 0
) -> Ints:
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)), constant_values=zero)
    seen = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))
    windows = seen[:, ::step, ::step]
    flat = windows.reshape(*windows.shape[:3], -1)
    return np.apply_along_axis(function, 3, flat).astype(np.int64)


def mean(window: Ints) -> int:
    return clip8((int(window.sum()) * (65536 // len(window)) + 32768) >> 16)


def leaky(x: Ints, alpha: float) -> Ints:
    slope = math.floor(float(np.float32(alpha)) * 128 + 0.5)
    return each(lambda v: clip8(shifted(v * slope, 7) if v < 0 else v), x)


def hard_sigmoid_input(alpha: float) -> Record:
    return 1 / float(np.float32(alpha)) / 127, 0


def hard_sigmoid(x: Ints, alpha: float, beta: float) -> Ints:
    scale, slope = hard_sigmoid_input(alpha)[0], float(np.float32(alpha))
    offset, upper = (math.floor(real / scale + 0.5) for real in (beta / slope, 1 / slope))
    by, shift = multiplier(scale * slope / UNIT[0])
    return each(lambda v: clip8(shifted(min(max(v + offset, 0), upper) * by, shift)), x)


def sigmoid(x: Ints) -> Ints:
    """Of a Q12 argument."""
    by, shift = multiplier(2.0**-15 / UNIT[0])

    def value(v: int) -> int:
        entry = TABLE[min(3 * abs(v) >> 9, 255)]
        return clip8(shifted(((entry if v > 0 else 65536 - entry) >> 1) * by, shift))

    return each(value, x)


def tanh(x: Ints) -> Ints:
    """Of a Q12 argument."""
    by, shift = multiplier(2.0**-15 / UNIT[0])

    def value(v: int) -> int:
        entry = TABLE[min(3 * abs(v) >> 8, 255)]
        return clip8(shifted((entry - 32768 if v > 0 else 32768 - entry) * by, shift))

    return each(value, x)


def product(a: Ints, b: Ints, factor: float) -> Ints:
    by, shift = multiplier(factor)
    return each(lambda v: clip8(shifted(v * by, shift)), a * b)


def total(a: Ints, b: Ints, scales: tuple[float, float], wanted: float) -> Ints:
    """Sum: the input with the larger scale is brought to the smaller one, unclipped."""
    if scales[1] > scales[0]:
        a, b, scales = b, a, (scales[1], scales[0])
    by, shift = multiplier(scales[0] / scales[1])
    scaled = each(lambda v: shifted(v * by, shift), a)
    by_out, shift_out = multiplier(scales[1] / wanted)
    return each(lambda v: clip8(shifted(v * by_out, shift_out)), scaled + b)
