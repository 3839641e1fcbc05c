"""From one quantization record to another; in float it changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.facts import Role, Turned
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.moments import Moments
from nnshell.ir.operator import Constants, Example, IntArray, Operator, Types, register
from nnshell.ir.permutations import Perm
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import QuantizeRequest, Range, plain_quantization
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import ONE_BYTE, ElementBytes, Work
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
    role: ClassVar[Role] = "convert"
    made_by_quantizer: ClassVar[bool] = True
    local_to_tile: ClassVar[bool] = True

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return inputs[0]

    @property
    def keeps_zero(self) -> bool:
        return True

    def scales_along(self, axis: int) -> bool:
        return True

    def reordered(
        self, order: Perm, inputs: Types, outputs: Types, *, of_output: bool = False
    ) -> Turned | None:
        return Turned(self, order, order) if len(order) == len(outputs[0].shape) else None

    def channel_moments(
        self, known: Sequence[Moments | None], inputs: Types, constants: Constants
    ) -> Moments | None:
        return known[0]

    on_edge: ClassVar[bool] = True

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        return (TensorType(inputs[0].shape, inputs[0].layout),)

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        return Work.of_maps("convert", inputs[:1], outputs, stored)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("Identity", inputs, hint=self.kind),)

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        """The chip's convert record: an offset on the input, then 7 bits of multiplier."""
        source, output = request.record(0), request.output
        shifted = output.zero_point * output.first_scale / source.first_scale
        offset = int(round_half_up(shifted)) - source.zero_point
        ratio = source.first_scale / output.first_scale
        kernel = ConvertKernel(offset, derive_multiplier(ratio, CONVERT_BITS))
        return plain_quantization(request, kernel)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        """In real arithmetic, as NNTool's own simulation computes it (float64)."""
        source, output = quantization.input, quantization.output
        ratio = source.first_scale / output.first_scale
        real = round_half_up((inputs[0] - source.zero_point).astype(np.float64) * ratio)
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
