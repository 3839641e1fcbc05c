"""Padding and pools lowered."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from nnshell.ir.foreign import AttributeValue
from nnshell.ir.integer_graph import FLOAT32_LIMIT, CannotLower, IntegerGraph, IntegerTensor
from nnshell.ir.operator import IntArray
from nnshell.ir.qparams import QParams
from nnshell.ir.work import Window
from nnshell.lowering.moves import lower_border
from nnshell.lowering.requantize import (
    Accumulator,
    Requantized,
    divided,
    requantize_by,
    settled,
)


def lower_padding(
    build: IntegerGraph, x: IntegerTensor, window: Window, value: int
) -> tuple[IntegerTensor, Window]:
    """What a filter sees, and the padding left to its own node, which pads with 0."""
    if not window.padded:
        return x, window
    if value == 0:
        return replace(x, low=min(x.low, 0), high=max(x.high, 0), source=None), window
    return _with_border(build, x, window, value)


def _with_border(
    build: IntegerGraph, x: IntegerTensor, window: Window, value: int
) -> tuple[IntegerTensor, Window]:
    top, left, bottom, right = window.pads
    padded = lower_border(build, x, ((0, 0), (top, bottom), (left, right)), value)
    return padded, replace(window, pads=(0, 0, 0, 0))


def _attributes(window: Window) -> dict[str, AttributeValue]:
    return {
        "kernel_shape": window.kernel,
        "strides": window.strides,
        "dilations": window.dilations,
        "pads": window.pads,
    }


# -- maximum -------------------------------------------------------------------------------


def lower_max_pool(
    build: IntegerGraph,
    x: IntegerTensor,
    window: Window,
    zero_point: int,
    shape: tuple[int, ...],
) -> IntegerTensor:
    """Before the requantization that made ``x`` if possible: there are fewer elements after."""
    source = x.source
    if not window.padded and isinstance(source, Requantized) and source.per_channel:
        pooled = _pooled(build, source.accumulator, window, shape)
        return requantize_by(build, pooled, source.factors)
    x = settled(build, x)
    if window.padded and (x.low < zero_point or not _sees_data(window)):
        x, window = _with_border(build, x, window, zero_point)
    name = build.node("MaxPool", [x.name], _attributes(window))
    return IntegerTensor(name, shape, x.low, x.high, x.wide)


def _pooled(
    build: IntegerGraph, before: Accumulator, window: Window, shape: tuple[int, ...]
) -> Accumulator:
    def pool(name: str) -> str:
        return build.node("MaxPool", [name], _attributes(window))

    room = before.room
    if room is not None:
        make = room.rescale
        room = replace(room, rescale=lambda gain, bias: pool(make(gain, bias)))
    tensor = replace(before.tensor, name=pool(before.tensor.name), shape=shape, narrow="")
    return replace(
        before,
        tensor=replace(tensor, source=None),
        convolved=False,
        room=room,
    )


def _sees_data(window: Window) -> bool:
    """Whether no position of the window lies in the padding alone."""
    extents = [d * (k - 1) + 1 for d, k in zip(window.dilations, window.kernel, strict=True)]
    inside = all(pad < extent for pad, extent in zip(window.pads, extents * 2, strict=True))
    return inside and window.dilations == (1, 1)


# -- mean ----------------------------------------------------------------------------------


def lower_average_pool(
    build: IntegerGraph,
    x: IntegerTensor,
    window: Window,
    zero_point: int,
    shape: tuple[int, ...],
    real: IntArray | None,
    output: QParams,
    mean_bits: int,
) -> IntegerTensor:
    """RS(sum * floor(2**bits / n), bits); ``real`` has n by position where padding is left out."""
    count = math.prod(window.kernel)
    x, window = lower_padding(build, x, window, zero_point)
    total = _window_sum(build, x, window, shape)
    if real is None:
        factors = divided(output, mean_bits, (1 << mean_bits) // count)
        return requantize_by(build, Accumulator.of(total), factors)
    if zero_point:
        total = build.add(total, build.integers(zero_point * (count - real)), -1)
    total = build.widened(total)
    factor = np.ldexp(((1 << mean_bits) // np.maximum(real, 1)).astype(np.float64), -mean_bits)
    name = build.floor_of(total, factor, np.array(0.5))
    low, high = output.limits
    clipped = build.node("Clip", [name, build.number(low, True), build.number(high, True)])
    return build.narrowed(IntegerTensor(clipped, shape, low, high, True))


def _window_sum(
    build: IntegerGraph, x: IntegerTensor, window: Window, shape: tuple[int, ...]
) -> IntegerTensor:
    """A depthwise convolution with ones, which is exact where a mean is not."""
    count = math.prod(window.kernel)
    if x.wide or count * x.magnitude >= FLOAT32_LIMIT:
        raise CannotLower(f"a sum of {count} elements is more than float32 holds")
    channels = shape[0]
    ones = build.constant(np.ones((channels, 1, *window.kernel), np.float32), "ones")
    attributes = {**_attributes(window), "group": channels}
    name = build.node("Conv", [x.name, ones], attributes)
    return IntegerTensor(name, shape, x.low * count, x.high * count)


def lower_global_mean(build: IntegerGraph, x: IntegerTensor, mean_bits: int) -> IntegerTensor:
    """(sum << bits) / n, truncated towards 0, over height and width."""
    channels, height, width = x.shape
    count = height * width
    if count * x.magnitude >= FLOAT32_LIMIT:
        x = build.widened(x)
    axes = build.constant(np.array([2, 3], np.int64), "axes")
    total = build.node("ReduceSum", [x.name, axes], {"keepdims": 1})
    scaled = build.node("Mul", [build.cast(total, "float64"), build.number(1 << mean_bits, True)])
    mean = build.node("Div", [scaled, build.number(count, True)])
    whole = build.cast(build.cast(mean, "int64"), "float64")  # a cast truncates
    low, high = x.low << mean_bits, x.high << mean_bits
    return build.narrowed(IntegerTensor(whole, (channels, 1, 1), low, high, True))
