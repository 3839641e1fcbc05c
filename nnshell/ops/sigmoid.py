"""Logistic function: y = 1 / (1 + exp(-x))."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.lowering import IntegerGraph, IntegerTensor
from nnshell.ir.operator import Example, IntArray, QuantizeRequest, Range, Types, register
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.types import Layout, TensorType
from nnshell.numeric.lookup import LAST_ARGUMENT, sigmoid_q15
from nnshell.ops.activation import Activation
from nnshell.ops.lookup_kernel import (
    LookUpKernel,
    argument_record,
    quantize_look_up,
    wide_argument_record,
)
from nnshell.ops.registry import imports
from nnshell.ops.table_lowering import lower_by_table

if TYPE_CHECKING:
    from nnshell.ops.importing import ImportContext


@register
@dataclass(frozen=True)
class Sigmoid(Activation):
    """y = 1 / (1 + exp(-x))"""

    kind: ClassVar[str] = "sigmoid"
    symmetric_output: ClassVar[bool] = True
    needs_wide_input: ClassVar[bool] = True

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("Sigmoid", inputs, hint=self.kind),)

    def input_record(self, index: int) -> QParams | None:
        return argument_record()

    def wide_record(self, output: QParams) -> QParams:
        return wide_argument_record()

    def output_range(self, observed: Range | None) -> Range | None:
        return Range(0.0, 1.0)

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        return quantize_look_up(request)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        kernel: LookUpKernel = quantization.kernel
        return kernel.apply(sigmoid_q15, quantization, inputs[0])

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        """A table over the arguments below the last entry of the kernel's own."""
        x = build.clipped(inputs[0], -LAST_ARGUMENT, LAST_ARGUMENT)
        return (lower_by_table(self, quantization, build, x, outputs[0].shape),)

    @classmethod
    def examples(cls) -> list[Example]:
        return [
            Example(cls(), (TensorType((3, 4, 5), Layout.CHW),)),
            Example(cls(), (TensorType((7,)),)),
        ]


@imports("Sigmoid")
def import_sigmoid(ctx: ImportContext) -> None:
    value = ctx.value(0)
    ctx.produce(ctx.add(Sigmoid(), [value.ref]), value.batch)
