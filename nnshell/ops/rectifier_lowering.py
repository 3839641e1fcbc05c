"""Rectifiers lowered: bounds, in front of the requantization that made the input if that is 0.

Requantization never falls and keeps 0, so max(RS(acc * mu, sh), 0) = RS(max(acc, 0) * mu, sh): a
Relu directly behind a convolution costs nothing. Behind other operators the bound becomes a limit
of the requantization.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nnshell.ir.lowering import IntegerGraph, IntegerTensor
from nnshell.ir.qparams import NodeQuantization
from nnshell.ops.rectifier_kernel import RectifierKernel
from nnshell.ops.requantize_lowering import Accumulator, Requantized, requantize, requantize_by


def lower_rectifier(
    quantization: NodeQuantization, build: IntegerGraph, x: IntegerTensor
) -> IntegerTensor:
    kernel: RectifierKernel = quantization.kernel
    given, output = quantization.input, quantization.output
    if kernel.lower is not None and x.low < kernel.lower:
        x = _at_least(build, x, kernel.lower)
    if kernel.upper is not None:
        x = build.clipped(x, x.low, kernel.upper)
    if kernel.same_record:
        return x
    accumulator = Accumulator.of(build.shifted(x, -given.zero_point))
    return requantize(build, accumulator, kernel.scaling, output, output.zero_point)


def _at_least(build: IntegerGraph, x: IntegerTensor, bound: int) -> IntegerTensor:
    source = x.source
    if not isinstance(source, Requantized) or source.factors.zero_point != bound:
        return build.clipped(x, bound, max(x.high, bound))
    before = source.accumulator
    if before.convolved:
        made = requantize_by(build, _positive(build, before), source.factors)
        if made.narrow:
            return made
    limits = (bound, source.factors.limits[1])
    return requantize_by(build, before, replace(source.factors, limits=limits))


def _positive(build: IntegerGraph, before: Accumulator) -> Accumulator:
    tensor = before.tensor
    name = build.node("Relu", [tensor.name])
    relu = IntegerTensor(name, tensor.shape, 0, max(tensor.high, 0), tensor.wide)
    low, high = np.maximum(before.low, 0), np.maximum(before.high, 0)
    return replace(before, tensor=relu, low=low, high=high, room=None)
