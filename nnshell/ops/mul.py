"""Product, element by element: y = x0 * x1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.facts import Role
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import Constants, IntArray, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import QuantizeRequest, plain_quantization
from nnshell.lowering.requantize import Accumulator, requantize
from nnshell.numeric.fixed_point import Multiplier, derive_multiplier, saturate
from nnshell.numeric.kernels.samples import align_samples
from nnshell.ops.families.arithmetic import Arithmetic, import_arithmetic
from nnshell.reading.registry import imports

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext


@dataclass(frozen=True, slots=True, eq=False)
class MulKernel:
    """y_q = sat8(RS(a * b * mu, sh)), mu and sh of s_a * s_b / s_out."""

    scaling: Multiplier


@register
@dataclass(frozen=True)
class Mul(Arithmetic):
    """y = x0 * x1"""

    kind: ClassVar[str] = "mul"
    role: ClassVar[Role] = "product"
    local_to_tile: ClassVar[bool] = True
    onnx_op: ClassVar[str] = "Mul"

    def identity_reason(self, inputs: Types, constants: Constants) -> str:
        one = any(value is not None and np.all(value == 1) for value in constants)
        return "it multiplies by 1" if one else ""

    @property
    def keeps_zero(self) -> bool:
        return True

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        ratio = request.record(0).first_scale * request.record(1).first_scale
        kernel = MulKernel(derive_multiplier(ratio / request.output.first_scale))
        return plain_quantization(request, kernel)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        first, second = (
            array - record.zero_point
            for array, record in zip(align_samples(inputs), quantization.inputs, strict=True)
        )
        scaled = quantization.kernel.scaling.apply(first * second)
        return saturate(scaled + quantization.output.zero_point, quantization.output.limits)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        terms = [
            build.shifted(x, -record.zero_point)
            for x, record in zip(inputs, quantization.inputs, strict=True)
        ]
        product = Accumulator.of(build.multiply(*terms))
        scaling, output = quantization.kernel.scaling, quantization.output
        return (requantize(build, product, scaling, output, output.zero_point),)


@imports("Mul")
def import_mul(ctx: ImportContext) -> None:
    import_arithmetic(ctx, Mul())
