"""Hard sigmoid and hard swish lowered."""

from __future__ import annotations

from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.qparams import NodeQuantization
from nnshell.lowering.requantize import Accumulator, requantize
from nnshell.numeric.kernels.gates import GateKernel


def lower_gate(
    quantization: NodeQuantization, build: IntegerGraph, x: IntegerTensor
) -> IntegerTensor:
    """Hard sigmoid and swish as clip, product and requantization, exact in floating point."""
    kernel: GateKernel = quantization.kernel
    output = quantization.output
    centred = build.shifted(x, -quantization.input.zero_point)
    gate = build.clipped(build.shifted(centred, kernel.offset), 0, kernel.upper)
    product = build.multiply(gate, centred) if kernel.times_input else gate
    return requantize(build, Accumulator.of(product), kernel.scaling, output, output.zero_point)
