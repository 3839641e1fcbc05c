"""Softmax: y_i = exp(x_i) / sum over the axis of exp(x_j)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.facts import Role, Turned
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import Example, IntArray, Operator, Types, register
from nnshell.ir.permutations import Perm
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.records import ALL_PINS, INT8, Answer, RecordQuestion, RecordRule
from nnshell.ir.requests import KernelOptions, QuantizeRequest, Range, plain_quantization
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import ONE_BYTE, ElementBytes, Work
from nnshell.lowering.softmax import lower_softmax
from nnshell.numeric.records import fixed_record, power_of_two_record
from nnshell.numeric.softmax import softmax
from nnshell.ops.families.record_rules import plain, symmetric, to_symmetric
from nnshell.ops.families.shapes import INFOS_BYTES
from nnshell.reading.registry import imports
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph
    from nnshell.reading.context import ImportContext


@dataclass(frozen=True, slots=True)
class SoftmaxKernel:
    """The input's scale is 2**scale_exponent; the result has output_bits - 1 fraction bits."""

    scale_exponent: int
    output_bits: int


@register
@dataclass(frozen=True)
class Softmax(Operator):
    """y_i = exp(x_i) / sum_j exp(x_j) along ``axis`` (the graph has no batch axis)."""

    kind: ClassVar[str] = "softmax"
    role: ClassVar[Role] = "softmax"

    reads_8_bits: ClassVar[bool] = True
    axis: int = 0

    @property
    def works_along(self) -> int:
        return self.axis

    def along(self, axis: int) -> Softmax:
        return Softmax(axis)

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return Range(0.0, 1.0)

    def reordered(
        self, order: Perm, inputs: Types, outputs: Types, *, of_output: bool = False
    ) -> Turned | None:
        if len(order) != len(outputs[0].shape):
            return None
        return Turned(Softmax(order.index(self.axis)), order, order)

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        source = inputs[0]
        if not 0 <= self.axis < len(source.shape):
            raise GraphError(f"softmax along axis {self.axis} of {source}")
        return (TensorType(source.shape, source.layout),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"Beta 0.0 Axis {self.axis} Op:"

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        return Work.of_maps("softmax", inputs[:1], outputs, stored, constant_bytes=INFOS_BYTES)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("Softmax", inputs, {"axis": self.axis + 1}, hint=self.kind),)

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return (RecordRule(self._decide, INT8, frozenset(("int8", "int16"))),)

    def _decide(self, question: RecordQuestion) -> Answer | None:
        """The input's scale becomes a power of two; a wish can choose between int16 and int8."""
        wish, source = question.wish, question.inputs[0]
        if source is None:
            source = symmetric(question, question.seen.input(0))
        if wish is not None and (
            "scale" in wish.pins
            or ("zero_point" in wish.pins and source.zero_point != 0)
            or ("type" in wish.pins and wish.dtype not in ("int8", "int16"))
        ):
            return None
        centred = to_symmetric(question, source)
        if centred is None:
            return None
        data = plain(replace(power_of_two_record(centred.params), forced=False), *ALL_PINS)
        eight = question.options.kernel.softmax_8_bits or (
            wish is not None and wish.dtype == "int8"
        )
        output = self.output_record(replace(question.options.kernel, softmax_8_bits=eight))
        assert output is not None
        return Answer((data,), (plain(replace(output, forced=False)),))

    def output_record(self, options: KernelOptions) -> QParams | None:
        """Q15; Q7 when 8 bits are asked for."""
        dtype, fraction_bits = ("int8", 7) if options.softmax_8_bits else ("int16", 15)
        return fixed_record(float(np.ldexp(1.0, -fraction_bits)), dtype, Range(-1.0, 1.0))

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        mantissa, exponent = math.frexp(request.record(0).first_scale)
        assert mantissa == 0.5, f"{request.name}: softmax needs a power of two as input scale"
        bits = 8 if request.output.dtype == "int8" else 16
        return plain_quantization(request, SoftmaxKernel(exponent - 1, bits))

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        kernel: SoftmaxKernel = quantization.kernel
        return softmax(
            inputs[0], kernel.scale_exponent, self.axis + 1, output_bits=kernel.output_bits
        )

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        kernel: SoftmaxKernel = quantization.kernel
        return (
            lower_softmax(
                build, inputs[0], kernel.scale_exponent, self.axis + 1, kernel.output_bits
            ),
        )

    @classmethod
    def examples(cls) -> list[Example]:
        return [
            Example(cls(0), (TensorType((10,)),), (), "vector"),
            Example(cls(1), (TensorType((6, 2)),), (), "rows"),
            Example(cls(0), (TensorType((3, 4, 5), Layout.CHW),), (), "channels"),
        ]


@imports("Softmax")
def import_softmax(ctx: ImportContext) -> None:
    """``flatten`` is set for opset 12 and older, where all axes from ``axis`` on are one."""
    value = ctx.value(0)
    flatten = ctx.integer("flatten", 0)
    axis = ctx.inner_axis(ctx.integer("axis", 1 if flatten else -1), value)
    shape = value.inner
    merged = (*shape[:axis], math.prod(shape[axis:])) if flatten else shape
    argument = ctx.reshaped(value.ref, merged, "_input")
    result = ctx.add(Softmax(axis), [argument])
    ctx.produce(ctx.reshaped(result, shape), value.batch)
