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
from nnshell.ir.records import INT8, Answer, RecordQuestion, RecordRule
from nnshell.ir.requests import QuantizeRequest
from nnshell.lowering.sums import lower_sum
from nnshell.numeric.kernels.sums import SumKernel, quantize_sum
from nnshell.ops.families.arithmetic import Arithmetic
from nnshell.ops.families.record_rules import all_symmetric, fresh_inputs, own


@dataclass(frozen=True)
class Sum(Arithmetic):
    """y = x0 + sign * x1"""

    role: ClassVar[Role] = "sum"
    local_to_tile: ClassVar[bool] = True
    sign: ClassVar[int] = 1

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

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return (RecordRule(_decide, INT8, INT8),)

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


def _decide(question: RecordQuestion) -> Answer | None:
    """Zero points of 0, which the kernel pins on the records that it reads and on its own."""
    inputs, wish = all_symmetric(question, fresh_inputs(question)), question.wish
    if inputs is None or (wish is not None and wish.asymmetric):
        return None
    output = own(question, question.seen.output(0)) if wish is None else wish.copy()
    for record in (*inputs, output):
        if not record.params.asymmetric:
            record.pins |= {"type", "zero_point"}
    return Answer(inputs, (output,))
