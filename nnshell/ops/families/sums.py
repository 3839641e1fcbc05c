"""What add and sub share: y = x0 + sign * x1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnshell.ir.facts import Role
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.moments import Moments
from nnshell.ir.operator import Constants, IntArray, Types
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import QuantizeRequest
from nnshell.lowering.sums import lower_sum
from nnshell.numeric.kernels.sums import SumKernel, quantize_sum
from nnshell.ops.families.arithmetic import Arithmetic


@dataclass(frozen=True)
class Sum(Arithmetic):
    """y = x0 + sign * x1"""

    role: ClassVar[Role] = "sum"
    local_to_tile: ClassVar[bool] = True
    sign: ClassVar[int] = 1
    symmetric_output: ClassVar[bool] = True

    def identity_reason(self, inputs: Types, constants: Constants) -> str:
        first, second = constants
        if second is not None and not np.any(second):
            return "it adds 0"
        return "it adds 0" if first is not None and self.sign > 0 and not np.any(first) else ""

    @property
    def keeps_zero(self) -> bool:
        return True

    def channel_moments(
        self, known: Sequence[Moments | None], inputs: Types, constants: Constants
    ) -> Moments | None:
        """Of two activations, taken as independent."""
        first, second = known
        if first is None or second is None or first.channels != second.channels:
            return None
        return Moments(first.mean + self.sign * second.mean, first.variance + second.variance)

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
