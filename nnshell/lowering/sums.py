"""Add and sub lowered: the larger scale's terms rescaled, the sum, MULSCALE."""

from __future__ import annotations

from collections.abc import Sequence

from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.qparams import NodeQuantization
from nnshell.lowering.requantize import (
    Accumulator,
    requantize,
    requantize_by,
    settled,
    unlimited,
)
from nnshell.numeric.kernels.sums import SumKernel


def lower_sum(
    quantization: NodeQuantization, build: IntegerGraph, inputs: Sequence[IntegerTensor]
) -> IntegerTensor:
    """One term rescaled, both added, the sum requantized, as the kernel does."""
    kernel: SumKernel = quantization.kernel
    terms = list(inputs)
    big = Accumulator.of(terms[kernel.scaled_input])
    scaled = requantize_by(build, big, unlimited(kernel.input_scaling))
    terms[kernel.scaled_input] = settled(build, scaled)
    total = Accumulator.of(build.add(terms[0], terms[1], kernel.sign))
    return requantize(build, total, kernel.scaling, quantization.output, kernel.bias)
