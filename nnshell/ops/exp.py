"""Exponential: y = exp(x), as detection heads use it for box sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.operator import Example, IntArray, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import RecordRule
from nnshell.ir.requests import QuantizeRequest, Range
from nnshell.ir.types import Layout, TensorType
from nnshell.numeric.kernels.tables import TableKernel, quantize_table
from nnshell.ops.families.activation import Activation
from nnshell.ops.families.record_rules import ANY_RECORD
from nnshell.reading.registry import imports

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext


@register
@dataclass(frozen=True)
class Exp(Activation):
    """y = exp(x)"""

    kind: ClassVar[str] = "exp"

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("Exp", inputs, hint=self.kind),)

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return Range(0.0, math.inf)

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return (ANY_RECORD,)

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        return quantize_table(request, np.exp)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        kernel: TableKernel = quantization.kernel
        return kernel.look_up(inputs[0])

    @classmethod
    def examples(cls) -> list[Example]:
        return [
            Example(cls(), (TensorType((3, 4, 5), Layout.CHW),)),
            Example(cls(), (TensorType((7,)),)),
        ]


@imports("Exp")
def import_exp(ctx: ImportContext) -> None:
    value = ctx.value(0)
    ctx.produce(ctx.add(Exp(), [value.ref]), value.batch)
