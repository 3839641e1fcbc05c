"""Hard sigmoid: y = min(max(alpha * x + beta, 0), 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import Example, IntArray, Types, register
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.records import RecordRule
from nnshell.ir.requests import QuantizeRequest, Range
from nnshell.ir.types import Layout, TensorType
from nnshell.lowering.gates import lower_gate
from nnshell.numeric.kernels.gates import (
    GateKernel,
    gate_input_record,
    quantize_gate,
    wide_gate_record,
)
from nnshell.ops.families.activation import Activation
from nnshell.ops.families.activation_rules import fixed_input, gate_rules, wide_input
from nnshell.reading.registry import imports

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext


@register
@dataclass(frozen=True)
class HardSigmoid(Activation):
    """y = min(max(alpha * x + beta, 0), 1)"""

    kind: ClassVar[str] = "hsigmoid"
    needs_wide_input: ClassVar[bool] = True
    alpha: float = 0.2
    beta: float = 0.5

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (
            build.node(
                "HardSigmoid", inputs, {"alpha": self.alpha, "beta": self.beta}, hint=self.kind
            ),
        )

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return Range(0.0, 1.0)

    def input_record(self, index: int) -> QParams | None:
        return gate_input_record(self.alpha, self.beta)

    def wide_record(self, output: QParams) -> QParams:
        return wide_gate_record(self.alpha)

    def output_range(self, observed: Range | None) -> Range | None:
        return Range(0.0, 1.0)

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return gate_rules(
            self.output_range,
            fixed_input(gate_input_record(self.alpha, self.beta)),
            wide_input(wide_gate_record(self.alpha)),
        )

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        return quantize_gate(request, self.alpha, self.beta, times_input=False)

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
        image = TensorType((3, 4, 5), Layout.CHW)
        return [Example(cls(), (image,)), Example(cls(1 / 6, 0.5), (image,))]


@imports("HardSigmoid")
def import_hard_sigmoid(ctx: ImportContext) -> None:
    value = ctx.value(0)
    ctx.produce(
        ctx.add(HardSigmoid(ctx.real("alpha", 0.2), ctx.real("beta", 0.5)), [value.ref]),
        value.batch,
    )
