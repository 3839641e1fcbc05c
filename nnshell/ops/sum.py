"""What add and sub share: y = x0 + sign * x1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nnshell.ir.lowering import IntegerGraph, IntegerTensor
from nnshell.ir.operator import IntArray, QuantizeRequest, Types
from nnshell.ir.qparams import NodeQuantization
from nnshell.ops.arithmetic import Arithmetic
from nnshell.ops.sum_kernel import SumKernel, quantize_sum
from nnshell.ops.sum_lowering import lower_sum


@dataclass(frozen=True)
class Sum(Arithmetic):
    """y = x0 + sign * x1"""

    sign: ClassVar[int] = 1
    symmetric_output: ClassVar[bool] = True

    def demands_symmetric(self, index: int) -> bool:
        return True

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        return quantize_sum(request, self.sign)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        kernel: SumKernel = quantization.kernel
        return kernel.apply(inputs, quantization.output)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        return (lower_sum(quantization, build, inputs),)
