"""Leaky rectifier: y = x if x >= 0 else alpha * x."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.moments import Moments
from nnshell.ir.operator import Constants, Example, IntArray, Types, register
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.records import RecordRule
from nnshell.ir.requests import QuantizeRequest, plain_quantization
from nnshell.ir.types import Layout, TensorType
from nnshell.lowering.leaky import lower_leaky
from nnshell.numeric.kernels.leaky import LeakyKernel, leaky_kernel, wide_record
from nnshell.ops.families.activation import Activation
from nnshell.ops.families.activation_rules import leaky_rules
from nnshell.reading.registry import imports

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext


@register
@dataclass(frozen=True)
class LeakyRelu(Activation):
    """y = x if x >= 0 else alpha * x"""

    kind: ClassVar[str] = "leaky"
    needs_wide_input: ClassVar[bool] = True
    alpha: float = 0.01

    @property
    def keeps_zero(self) -> bool:
        return True

    @property
    def commutes_with_max(self) -> bool:
        return self.alpha >= 0

    def scales_along(self, axis: int) -> bool:
        return True

    def channel_moments(
        self, known: Sequence[Moments | None], inputs: Types, constants: Constants
    ) -> Moments | None:
        if known[0] is None:
            return None
        return known[0].through(lambda x: np.where(x < 0, self.alpha * x, x))

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("LeakyRelu", inputs, {"alpha": self.alpha}, hint=self.kind),)

    def wide_record(self, output: QParams) -> QParams:
        return wide_record(output)

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return leaky_rules()

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        slope = np.array([self.alpha])
        return plain_quantization(request, leaky_kernel(slope, request.record(0), request.output))

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        kernel: LeakyKernel = quantization.kernel
        return kernel.apply(inputs[0], quantization)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        return (lower_leaky(quantization, build, inputs[0]),)

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((3, 4, 5), Layout.CHW)
        return [Example(cls(alpha), (image,)) for alpha in (0.01, 0.1, -0.5)]


@imports("LeakyRelu")
def import_leaky_relu(ctx: ImportContext) -> None:
    value = ctx.value(0)
    ctx.produce(ctx.add(LeakyRelu(ctx.real("alpha", 0.01)), [value.ref]), value.batch)
