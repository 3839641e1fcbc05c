"""What add and sub share: y = x0 + sign * x1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import IntArray, Types
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import QuantizeRequest
from nnshell.lowering.sums import lower_sum
from nnshell.numeric.kernels.sums import SumKernel, quantize_sum
from nnshell.ops.families.arithmetic import Arithmetic


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
