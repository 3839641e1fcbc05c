"""Difference: y = x0 - x1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nnshell.ir.lowering import IntegerGraph, IntegerTensor
from nnshell.ir.operator import IntArray, QuantizeRequest, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ops.arithmetic import Arithmetic, import_arithmetic
from nnshell.ops.registry import imports
from nnshell.ops.sum_kernel import SumKernel, quantize_sum
from nnshell.ops.sum_lowering import lower_sum

if TYPE_CHECKING:
    from nnshell.ops.importing import ImportContext


@register
@dataclass(frozen=True)
class Sub(Arithmetic):
    """y = x0 - x1"""

    kind: ClassVar[str] = "sub"
    onnx_op: ClassVar[str] = "Sub"
    symmetric_output: ClassVar[bool] = True

    def demands_symmetric(self, index: int) -> bool:
        return True

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        return quantize_sum(request, -1)

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


@imports("Sub")
def import_sub(ctx: ImportContext) -> None:
    import_arithmetic(ctx, Sub())
