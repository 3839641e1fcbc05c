"""Leaky relu and prelu lowered: the positive and the negative part, added up again."""

from __future__ import annotations

import numpy as np

from nnshell.ir.integer_graph import (
    FLOAT32_LIMIT,
    FLOAT64_LIMIT,
    CannotLower,
    IntegerGraph,
    IntegerTensor,
)
from nnshell.ir.qparams import NodeQuantization
from nnshell.lowering.requantize import Accumulator, requantize
from nnshell.numeric.kernels.leaky import SLOPE_BITS, LeakyKernel


def lower_leaky(
    quantization: NodeQuantization, build: IntegerGraph, x: IntegerTensor
) -> IntegerTensor:
    """max(x, 0) + RS(min(x, 0) * slope, 7), then requantized; CannotLower beyond 2^53."""
    kernel: LeakyKernel = quantization.kernel
    output = quantization.output
    centred = build.shifted(x, -quantization.input.zero_point)
    if centred.low < 0:
        positive = build.clipped(centred, 0, max(centred.high, 0))
        centred = build.add(positive, _bent(build, centred, kernel))
    return requantize(build, Accumulator.of(centred), kernel.scaling, output, output.zero_point)


def _bent(build: IntegerGraph, x: IntegerTensor, kernel: LeakyKernel) -> IntegerTensor:
    """RS(min(x, 0) * slope, 7)."""
    negative = build.clipped(x, x.low, min(x.high, 0))
    slopes = kernel.slope
    ends = [end * int(slope) for end in (x.low, 0) for slope in (slopes.min(), slopes.max())]
    unit = 1 << SLOPE_BITS
    low, high = min(ends), max(ends)
    largest = max(abs(low), abs(high)) + unit
    if largest >= FLOAT64_LIMIT:
        raise CannotLower(f"a product with a slope reaches {largest}")
    if largest >= FLOAT32_LIMIT:
        negative = build.widened(negative)
    factor = np.ldexp(slopes.astype(np.float64), -SLOPE_BITS)
    name = build.floor_of(negative, factor, np.array(0.5))
    bounds = ((low + unit // 2) >> SLOPE_BITS, (high + unit // 2) >> SLOPE_BITS)
    return IntegerTensor(name, x.shape, *bounds, negative.wide)
