"""Rectifiers lowered: bounds, before the requantization that made the input if that is 0.

Requantization never falls and keeps 0, so max(RS(acc * mu, sh), 0) = RS(max(acc, 0) * mu, sh): a
Relu directly after a convolution costs nothing. After other operators the bound becomes a limit
of the requantization.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.qparams import NodeQuantization
from nnshell.lowering.requantize import (
    Accumulator,
    Requantized,
    requantize,
    requantize_by,
    settled,
)
from nnshell.numeric.kernels.rectifiers import RectifierKernel


def lower_rectifier(
    quantization: NodeQuantization, build: IntegerGraph, x: IntegerTensor
) -> IntegerTensor:
    """Clip in units of the input, then requantization unless both records are one."""
    kernel: RectifierKernel = quantization.kernel
    source, output = quantization.input, quantization.output
    lower, upper = kernel.lower, kernel.upper
    if lower is None:
        lower = x.low if upper is None else min(x.low, upper)
    if upper is None:
        upper = max(x.high, lower)
    if lower > x.low or upper < x.high:
        x = _bounded(build, x, lower, upper)
    if kernel.same_record:
        return x
    accumulator = Accumulator.of(build.shifted(settled(build, x), -source.zero_point))
    return requantize(build, accumulator, kernel.scaling, output, output.zero_point)


def _bounded(build: IntegerGraph, x: IntegerTensor, lower: int, upper: int) -> IntegerTensor:
    source = x.source
    if not isinstance(source, Requantized):
        return build.clipped(x, lower, upper)
    before, factors = source.accumulator, source.factors
    low, high = factors.limits
    if before.convolved and lower == factors.zero_point and not build.deferring:
        only_above = replace(factors, limits=(low, min(high, upper)))
        result = requantize_by(build, _positive(build, before), only_above)
        if result.narrow:
            return result
    limits = (max(low, lower), min(high, upper))
    return requantize_by(build, before, replace(factors, limits=limits))


def _positive(build: IntegerGraph, before: Accumulator) -> Accumulator:
    tensor = before.tensor
    name = build.node("Relu", [tensor.name])
    relu = IntegerTensor(name, tensor.shape, 0, max(tensor.high, 0), tensor.wide)
    low, high = np.maximum(before.low, 0), np.maximum(before.high, 0)
    return replace(before, tensor=relu, low=low, high=high, room=None)
