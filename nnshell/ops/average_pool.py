"""Mean over a sliding window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from nnshell.ir.facts import Role, including
from nnshell.ir.foreign import AttributeValue, ForeignGraph
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.moments import Moments
from nnshell.ir.operator import Constants, Example, IntArray, Operator, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import Range
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Window
from nnshell.lowering.windows import lower_average_pool
from nnshell.numeric.fixed_point import rounding_shift, saturate
from nnshell.numeric.kernels.windows import pad_map, taps
from nnshell.ops.families.pool import Pool
from nnshell.ops.pad import NO_BORDER, Pad, absorbed, note_border
from nnshell.reading.registry import imports
from nnshell.reading.spatial import (
    kernel_shape,
    padded,
    pads_inside,
    produce_spatial,
    read_window,
    rounding_up,
    spatial_input,
)

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext


MEAN_BITS = 16  # of the factor floor(2**16 / n)


@register
@dataclass(frozen=True)
class AveragePool(Pool):
    """y[c, i, j] = mean of x[c] under the window.

    With ``count_include_pad`` padding counts as zeros, otherwise only real elements count.
    """

    kind: ClassVar[str] = "average_pool"
    role: ClassVar[Role] = "mean_pool"
    pool_kind: ClassVar[Literal["max", "average"]] = "average"
    order_preserving: ClassVar[bool] = False
    count_include_pad: bool = False

    @property
    def padding_counts(self) -> bool:
        return self.count_include_pad or not self.window.padded

    def _padded_by(self, value: float, window: Window, argument: Range) -> Operator | str:
        if self.window.padded and not self.count_include_pad:
            return "the pool leaves its own padding out of the mean, this padding counts"
        if value != 0:
            return f"a window pads with 0, not with {value:g}"
        return AveragePool(window, count_include_pad=True)

    def bounds(self, inputs: Sequence[Range]) -> Range:
        if not self.window.padded:
            return inputs[0]
        return including(inputs[0].minimum, inputs[0].maximum, 0.0)

    def channel_moments(
        self, known: Sequence[Moments | None], inputs: Types, constants: Constants
    ) -> Moments | None:
        """The means; values under a window are taken as alike, so the variances stay."""
        if known[0] is None or not (self.window.padded and self.count_include_pad):
            return known[0]
        share = float(self.window.shares_inside(*inputs[0].shape[1:]).mean())
        return Moments(known[0].mean * share, known[0].variance)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        attributes: dict[str, AttributeValue] = {
            "kernel_shape": self.window.kernel,
            "strides": self.window.strides,
            "pads": self.window.pads,
            "count_include_pad": int(self.count_include_pad),
        }
        if self.window.dilations != (1, 1):  # other tools' quantizers stop at the default
            attributes["dilations"] = self.window.dilations
        return (build.node("AveragePool", inputs, attributes, hint=self.kind),)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        """sat8((sum * floor(65536 / n) + 32768) >> 16), n elements under the window.

        Compared with NNTool for n = 4 and 64 without padding. NNTool counts padding always;
        here it counts only where the model says so, else n is the number of real elements.
        """
        source = inputs[0]
        zero = quantization.input.zero_point
        total, count = self._sum(source, zero), self.counts(source.shape[1:])
        total = total - zero * (math.prod(self.window.kernel) - count)
        mean = rounding_shift(total * ((1 << MEAN_BITS) // count), MEAN_BITS)
        return saturate(mean, quantization.output.limits)

    def counts(self, shape: tuple[int, ...]) -> IntArray:
        """Elements that a mean is taken of: one number, or one for each place of the output."""
        if not self.window.padded or self.count_include_pad:
            return np.array(math.prod(self.window.kernel), np.int64)
        counts: IntArray = np.maximum(self._sum(np.ones((1, 1, *shape[1:]), np.int64), 0), 1)
        return counts

    def _sum(self, array: IntArray, pad_value: int) -> IntArray:
        padded = pad_map(array, self.window, pad_value)
        total: IntArray = np.add.reduce([seen for _, _, seen in taps(padded, self.window)])
        return total

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        zero, output = quantization.input.zero_point, quantization.output
        real = None
        if self.window.padded and not self.count_include_pad:
            real = self._sum(np.ones((1, 1, *inputs[0].shape[1:]), np.int64), 0)
        shape = outputs[0].shape
        return (
            lower_average_pool(build, inputs[0], self.window, zero, shape, real, output, MEAN_BITS),
        )

    @classmethod
    def examples(cls) -> list[Example]:
        padded = Window((3, 3), (2, 2), (1, 1), (1, 1, 1, 1))
        image = TensorType((3, 7, 9), Layout.CHW)
        return [
            Example(cls(), (image,), (), "halving"),
            Example(cls(padded), (image,), (), "padding left out"),
            Example(cls(padded, True), (image,), (), "padding counted"),
            Example(cls(Window((2, 3), (1, 2), (1, 1), (0, 1, 1, 2))), (image,), (), "uneven"),
        ]


@imports("AveragePool")
def import_average_pool(ctx: ImportContext) -> None:
    value = spatial_input(ctx, 0)
    window = read_window(ctx, value.size, kernel_shape(ctx, 1 if value.one_row else 2))
    if not pads_inside(window):
        ctx.refuse("pads", accepted="pads smaller than the kernel")
    counted = bool(ctx.integer("count_include_pad", 0)) and window.padded
    more = rounding_up(window, value.size) if ctx.integer("ceil_mode", 0) else (0, 0)
    given_ref = value.ref
    if any(more) and counted:  # the file's pads count, what rounding up adds does not
        top, left, bottom, right = window.pads
        given_ref = ctx.add(Pad(((0, 0), (top, bottom), (left, right))), [value.ref], "_pad")
        window, counted = Window(window.kernel, window.strides, window.dilations), False
    window = padded(window, (0, 0, *more))
    if not pads_inside(window):
        ctx.refuse("ceil_mode", accepted="0 where the last window would reach that far")
    source, border = absorbed(ctx, given_ref)
    wider = padded(window, border)
    if any(border) and pads_inside(wider) and (counted or not window.padded):
        window, counted = wider, True
    else:
        source, border = given_ref, NO_BORDER
    pool = ctx.add(AveragePool(window, counted), [source])
    note_border(ctx, pool, given_ref, border)
    produce_spatial(ctx, pool, value)
