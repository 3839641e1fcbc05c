"""Hard swish: y = x * min(max(x + 3, 0), 6) / 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import Example, IntArray, Types, register
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.records import RecordRule
from nnshell.ir.requests import QuantizeRequest
from nnshell.ir.types import Layout, TensorType
from nnshell.lowering.gates import lower_gate
from nnshell.numeric.kernels.gates import GateKernel, quantize_gate, wide_gate_record
from nnshell.ops.families.activation import Activation
from nnshell.ops.families.activation_rules import gate_rules, reaching_input, wide_input
from nnshell.reading.registry import imports

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext


ALPHA, BETA = 1.0 / 6.0, 0.5  # of the hard sigmoid that multiplies the input


@register
@dataclass(frozen=True)
class HardSwish(Activation):
    """y = x * min(max(x + 3, 0), 6) / 6"""

    kind: ClassVar[str] = "hswish"
    needs_wide_input: ClassVar[bool] = True

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("HardSwish", inputs, hint=self.kind),)

    @property
    def keeps_zero(self) -> bool:
        return True

    def reads_range(self, index: int) -> bool:
        return True

    def wide_record(self, output: QParams) -> QParams:
        return wide_gate_record(ALPHA)

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return gate_rules(
            self.output_range,
            reaching_input(max(BETA, 1.0) / ALPHA),
            wide_input(wide_gate_record(ALPHA)),
        )

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        return quantize_gate(request, ALPHA, BETA, times_input=True)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        kernel: GateKernel = quantization.kernel
        return kernel.apply(inputs[0], quantization)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        return (lower_gate(quantization, build, inputs[0]),)

    @classmethod
    def examples(cls) -> list[Example]:
        return [
            Example(cls(), (TensorType((3, 4, 5), Layout.CHW),)),
            Example(cls(), (TensorType((7,)),)),
        ]


@imports("HardSwish")
def import_hard_swish(ctx: ImportContext) -> None:
    value = ctx.value(0)
    ctx.produce(ctx.add(HardSwish(), [value.ref]), value.batch)
