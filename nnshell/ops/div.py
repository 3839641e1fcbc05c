"""Quotient, element by element: y = x0 / x1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.facts import Role
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import Constants, IntArray, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import QuantizeRequest, Range, plain_quantization
from nnshell.lowering.quotients import lower_constant_quotient, lower_quotient
from nnshell.numeric.fixed_point import (
    Multiplier,
    derive_multiplier,
    rounding_shift,
    saturate,
    scale_accumulator,
)
from nnshell.numeric.kernels.samples import align_samples
from nnshell.numeric.records import symmetric_record
from nnshell.ops.families.arithmetic import Arithmetic, import_arithmetic
from nnshell.reading.registry import Unsupported, imports
from nnshell.support.errors import QuantizationError

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext


QUOTIENT_BITS = 8  # fraction bits of a quotient of two feature maps before it is requantized
FAR = 1 << 40  # what division by zero gives; saturates


@dataclass(frozen=True, slots=True, eq=False)
class DivKernel:
    """nnshell's own rule, as NNTool has no SQ8 kernel for it.

    Two feature maps: ``RS(floor(a * mu * 2**8 / b), sh + 8)``, mu and sh of s_a / (s_b * s_out);
    a / 0 saturates to the sign of a, 0 / 0 is 0. A constant divisor c is not quantized at all:
    ``RS(a * sign(c) * mu, sh)`` with mu and sh of s_a / (|c| * s_out) for each of its elements.
    """

    scaling: Multiplier
    signs: NDArray[np.int64] | None = None  # of a constant divisor

    def divide(self, dividend: IntArray, divisor: IntArray) -> IntArray:
        scaled = (dividend * int(self.scaling.multiplier[0])) << QUOTIENT_BITS
        quotient = scaled // np.where(divisor == 0, 1, divisor)
        shifted = rounding_shift(quotient, int(self.scaling.shift[0]) + QUOTIENT_BITS)
        return np.where(divisor == 0, np.sign(dividend) * FAR, shifted)

    def multiply(self, dividend: IntArray, shape: tuple[int, ...]) -> IntArray:
        assert self.signs is not None
        multiplier = self.scaling.multiplier.astype(np.int64) * self.signs.reshape(-1)
        shift = self.scaling.shift.astype(np.int64)
        return scale_accumulator(dividend, multiplier.reshape(shape), shift.reshape(shape))


@register
@dataclass(frozen=True)
class Div(Arithmetic):
    """y = x0 / x1"""

    kind: ClassVar[str] = "div"
    role: ClassVar[Role] = "quotient"
    onnx_op: ClassVar[str] = "Div"
    parameters: ClassVar[tuple[int, ...]] = (1,)

    def identity_reason(self, inputs: Types, constants: Constants) -> str:
        divisor = constants[1]
        return "it divides by 1" if divisor is not None and np.all(divisor == 1) else ""

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        value = request.constants[1]
        if value is not None:
            return self._by_constant(request, value)
        ratio = request.record(0).first_scale / request.record(1).first_scale
        kernel = DivKernel(derive_multiplier(ratio / request.output.first_scale))
        return plain_quantization(request, kernel)

    def _by_constant(self, request: QuantizeRequest, value: NDArray[Any]) -> NodeQuantization:
        divisor = np.asarray(value, np.float64)
        if not np.isfinite(divisor).all() or (divisor == 0).any():
            raise QuantizationError(
                "a constant divisor holds 0, NaN or infinity", where=f"node {request.name}"
            )
        ratio = request.record(0).first_scale / (np.abs(divisor) * request.output.first_scale)
        record = symmetric_record(Range(float(divisor.min()), float(divisor.max())))
        kernel = DivKernel(derive_multiplier(ratio.reshape(-1)), np.sign(divisor).astype(np.int64))
        return replace(
            plain_quantization(replace(request, inputs=(request.record(0), record))), kernel=kernel
        )

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        kernel: DivKernel = quantization.kernel
        first, second = align_samples(inputs)
        dividend = first - quantization.input.zero_point
        if kernel.signs is None:
            quotient = kernel.divide(dividend, second - quantization.inputs[1].zero_point)
        else:
            quotient = kernel.multiply(dividend, second.shape)
        output = quantization.output
        return saturate(quotient + output.zero_point, output.limits)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        kernel: DivKernel = quantization.kernel
        dividend = build.shifted(inputs[0], -quantization.input.zero_point)
        if kernel.signs is None:
            divisor = build.shifted(inputs[1], -quantization.inputs[1].zero_point)
            return (
                lower_quotient(
                    build, dividend, divisor, kernel.scaling, quantization.output, QUOTIENT_BITS
                ),
            )
        return (
            lower_constant_quotient(
                build, dividend, inputs[1], kernel.scaling, kernel.signs, quantization.output
            ),
        )


@imports("Div")
def import_div(ctx: ImportContext) -> None:
    if ctx.is_constant(1) and not ctx.weights(1).all():
        raise Unsupported(f"it divides by zeros in '{ctx.node.inputs[1]}'", accepted="no zeros")
    import_arithmetic(ctx, Div())
