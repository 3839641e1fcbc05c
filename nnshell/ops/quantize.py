"""From one quantization record to another; in float it changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import Example, IntArray, Operator, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import QuantizeRequest, plain_quantization
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Work
from nnshell.lowering.tables import lower_by_table
from nnshell.numeric.fixed_point import Multiplier, derive_multiplier, round_half_up, saturate

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph


CONVERT_BITS = 7  # of the multiplier in a convert record


@dataclass(frozen=True, slots=True, eq=False)
class ConvertKernel:
    """What the generated kernel does: sat8(RS((x + offset) * mu, sh)), mu, sh ~ s_in / s_out."""

    offset: int
    scaling: Multiplier


@register
@dataclass(frozen=True)
class Quantize(Operator):
    """The same real numbers with another scale, zero point or element type."""

    kind: ClassVar[str] = "quantize"
    made_by_quantizer: ClassVar[bool] = True

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        return (TensorType(inputs[0].shape, inputs[0].layout),)

    def work(self, inputs: Types, outputs: Types, body: Graph | None = None) -> Work:
        shape = outputs[0].chw
        size = outputs[0].size
        return Work("convert", (shape,), shape, shape, input_bytes=(size,), output_bytes=size)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("Identity", inputs, hint=self.kind),)

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        """The chip's convert record: an offset on the input, then 7 bits of multiplier."""
        given, output = request.record(0), request.output
        shifted = output.zero_point * output.first_scale / given.first_scale
        offset = int(round_half_up(shifted)) - given.zero_point
        ratio = given.first_scale / output.first_scale
        kernel = ConvertKernel(offset, derive_multiplier(ratio, CONVERT_BITS))
        return plain_quantization(request, kernel)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        """In real arithmetic, as NNTool's own simulation computes it (float64)."""
        given, output = quantization.input, quantization.output
        ratio = given.first_scale / output.first_scale
        real = round_half_up((inputs[0] - given.zero_point).astype(np.float64) * ratio)
        limited = np.clip(real + output.zero_point, *output.limits)  # before: beyond int64, maybe
        return limited.astype(np.int64)

    def integer_on_chip(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray]
    ) -> tuple[IntArray, ...]:
        """With the convert record; its rounding was not compared with a chip."""
        kernel: ConvertKernel = quantization.kernel
        scaled = kernel.scaling.apply(inputs[0] + kernel.offset)
        return (saturate(scaled, quantization.output.limits),)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        x = inputs[0]
        return (lower_by_table(self, quantization, build, x, outputs[0].shape, build.chip),)

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(cls(), (TensorType((3, 4, 5), Layout.CHW),))]
