"""Zeros between the elements of a tensor, and the transposed convolutions that read them.

A transposed convolution with strides s is a convolution over its input with s - 1 zeros between
neighbours, with the weights turned round and their channels exchanged (V. Dumoulin, F. Visin, "A
guide to convolution arithmetic for deep learning", 2016, section 4):

    ConvTranspose(x, W, strides s, pads p, dilations d)
        = Conv(spread(x, s), W', strides 1, pads d (k - 1) - p, dilations d)
    W'[o, i, y, x] = W[i, o, k - 1 - y, k - 1 - x]     within each group

Its integers are so those of the convolution; the zeros are the record's zero point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.facts import Role, Turned, including
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.graph import Ref
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.moving import moved, narrowest
from nnshell.ir.operator import Example, IntArray, Operator, Types, register
from nnshell.ir.permutations import Perm, permuted
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import Range
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Window
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.strided_slice import StridedSlice
from nnshell.reading.registry import Unsupported, imports
from nnshell.reading.spatial import (
    AUTO_PADS,
    SpatialInput,
    produce_spatial,
    read_extents,
    spatial_input,
)
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from typing import Any

    from nnshell.ir.graph import Graph
    from nnshell.reading.context import ImportContext


@register
@dataclass(frozen=True)
class Spread(Operator):
    """``steps[i] - 1`` zeros between neighbours along axis i."""

    kind: ClassVar[str] = "spread"
    keeps_record: ClassVar[bool] = True
    role: ClassVar[Role] = "move"
    steps: tuple[int, ...] = ()

    @property
    def keeps_zero(self) -> bool:
        return True

    def scales_along(self, axis: int) -> bool:
        return self.steps[axis] == 1

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return including(inputs[0].minimum, inputs[0].maximum, 0.0)

    def reordered(
        self, order: Perm, inputs: Types, outputs: Types, *, of_output: bool = False
    ) -> Turned | None:
        if len(order) != len(self.steps):
            return None
        return Turned(Spread(permuted(self.steps, order)), order, order)

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        source = inputs[0]
        if len(self.steps) != len(source.shape) or min(self.steps) < 1:
            raise GraphError(f"spread {self.steps} of {source}")
        return (TensorType(self._shape(source.shape), source.layout),)

    def _shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return tuple((n - 1) * step + 1 for n, step in zip(shape, self.steps, strict=True))

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"Spread by {'x'.join(str(step) for step in self.steps)}"

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (self._written(build, inputs[0], types[0].shape, np.array(0, np.float32)),)

    def _written(
        self, build: ForeignGraph, name: str, shape: tuple[int, ...], zero: NDArray[Any]
    ) -> str:
        """An axis of one after each axis, zeros after its element, both joined, the end cut."""
        apart = [extent for n in shape for extent in (n, 1)]
        after = [extent for step in self.steps for extent in (0, step - 1)]
        joined = [n * step for n, step in zip(shape, self.steps, strict=True)]
        axes = range(1, len(shape) + 1)

        def numbers(values: Sequence[int], hint: str) -> str:
            return build.constant(np.array(values, np.int64), hint)

        wide = build.node("Reshape", [name, numbers([0, *apart], "apart")], hint=self.kind)
        pads = numbers([*(0 for _ in (0, *after)), 0, *after], "pads")
        filled = build.node("Pad", [wide, pads, build.constant(zero, "zero")], hint=self.kind)
        whole = build.node("Reshape", [filled, numbers([0, *joined], "joined")], hint=self.kind)
        limits = (
            numbers([0 for _ in shape], "starts"),
            numbers(self._shape(shape), "ends"),
            numbers(list(axes), "axes"),
        )
        return build.node("Slice", [whole, *limits], hint=self.kind)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        x, zero = inputs[0], quantization.output.zero_point
        result = np.full((len(x), *self._shape(x.shape[1:])), zero, np.int64)
        result[(slice(None), *(slice(None, None, step) for step in self.steps))] = x
        return result

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        x, zero = inputs[0], quantization.output.zero_point
        dtype = x.narrow_type if x.narrow else "float64" if x.wide else "float32"
        name = self._written(build, narrowest(x), x.shape, np.array(zero, dtype))
        return (moved(build, x, name, outputs[0].shape, min(x.low, zero), max(x.high, zero)),)

    @classmethod
    def examples(cls) -> list[Example]:
        image = (TensorType((3, 4, 5), Layout.CHW),)
        return [
            Example(cls((1, 2, 2)), image, (), "map"),
            Example(cls((1, 3, 1)), image, (), "rows"),
            Example(cls((2, 1, 1)), image, (), "channels"),
            Example(cls((1, 1, 1)), image, (), "nothing"),
            Example(cls((4,)), (TensorType((6,)),), (), "vector"),
        ]


@imports("ConvTranspose")
def import_conv_transpose(ctx: ImportContext) -> None:
    """One or two spatial axes; what pads take beyond the kernel's reach is cut off."""
    value = spatial_input(ctx, 0)
    weights = ctx.weights(1)
    axes = 1 if value.one_row else 2
    if weights.ndim != axes + 2:
        raise Unsupported(f"its weights have {weights.ndim} axes", accepted="as many as its input")
    groups = ctx.integer("group", 1)
    if groups < 1 or value.channels % groups or len(weights) != value.channels:
        ctx.refuse("group", accepted="a divisor of the channels")
    kernel = ctx.integers("kernel_shape")
    if kernel is not None and kernel != weights.shape[2:]:
        ctx.refuse("kernel_shape", accepted=f"that of its weights, {list(weights.shape[2:])}")
    form = _form(ctx, value, weights.shape[2:])
    ref = value.ref
    if max(form.strides) > 1:
        ref = ctx.add(Spread((1, *form.strides)), [ref], "_spread")
    ref = _cropped(ctx, ref, form.pads)
    pads = tuple(max(pad, 0) for pad in form.pads)
    window = Window(form.kernel, (1, 1), form.dilations, (pads[0], pads[1], pads[2], pads[3]))
    turned = _turned(weights[:, :, np.newaxis] if value.one_row else weights, groups)
    bias = ctx.named_constant(2, ctx.weights(2)) if ctx.has(2) else ctx.missing_bias(len(turned))
    parameters = [ctx.parameter(1, turned, "weights"), bias]
    produce_spatial(ctx, ctx.add(Conv2D(window, groups), [ref, *parameters]), value)


@dataclass(frozen=True, slots=True)
class _Form:
    """Kernel, strides and dilations, and what the convolution pads: top, left, bottom, right."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, ...]


def _form(ctx: ImportContext, value: SpatialInput, kernel: tuple[int, ...]) -> _Form:
    axes = len(kernel)
    strides, dilations = read_extents(ctx, "strides", axes), read_extents(ctx, "dilations", axes)
    more = ctx.integers("output_padding") or (0,) * axes
    most = [max(pair) for pair in zip(strides, dilations, strict=True)]
    if len(more) != axes or any(not 0 <= m < n for m, n in zip(more, most, strict=True)):
        ctx.refuse("output_padding", accepted="less than the stride")
    sizes = value.size[2 - axes :]
    reach = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
    full = [(n - 1) * s + r + 1 + m for n, s, r, m in zip(sizes, strides, reach, more, strict=True)]
    before, after = _removed(ctx, sizes, strides, full)
    ends = [r - b for r, b in zip(reach, before, strict=True)]
    ends += [r - a + m for r, a, m in zip(reach, after, more, strict=True)]
    if any(total < 1 for total in (f - b - a for f, b, a in zip(full, before, after, strict=True))):
        ctx.refuse("pads", accepted="less than the output")
    if axes == 2:
        pads: tuple[int, ...] = tuple(ends)
    else:
        kernel, strides, dilations = (1, *kernel), (1, *strides), (1, *dilations)
        pads = (0, ends[0], 0, ends[1])
    return _Form(kernel[:2], strides[:2], dilations[:2], pads)  # type: ignore[arg-type]


def _removed(
    ctx: ImportContext, sizes: Sequence[int], strides: Sequence[int], full: Sequence[int]
) -> tuple[list[int], list[int]]:
    """What pads take away from the full result, before and after, for each axis."""
    axes = len(sizes)
    wanted = ctx.integers("output_shape")
    automatic = ctx.text("auto_pad", "NOTSET", AUTO_PADS)
    if wanted is None and automatic == "NOTSET":
        pads = ctx.integers("pads") or (0,) * (2 * axes)
        if len(pads) != 2 * axes or min(pads) < 0:
            ctx.refuse("pads", accepted=f"{2 * axes} numbers from 0 on")
        return list(pads[:axes]), list(pads[axes:])
    if wanted is None:
        wanted = tuple(n * s for n, s in zip(sizes, strides, strict=True))
        wanted = tuple(full) if automatic == "VALID" else wanted
    if len(wanted) < axes:
        _refuse_shape(ctx)
    totals = [f - w for f, w in zip(full, wanted[-axes:], strict=True)]
    if min(totals) < 0:
        _refuse_shape(ctx)
    small = [total // 2 for total in totals]
    large = [total - half for total, half in zip(totals, small, strict=True)]
    return (small, large) if automatic == "SAME_UPPER" else (large, small)


def _refuse_shape(ctx: ImportContext) -> NoReturn:
    ctx.refuse("output_shape", accepted="at most what the kernel reaches")


def _cropped(ctx: ImportContext, ref: Ref, pads: Sequence[int]) -> Ref:
    """Without the rows and columns that negative pads take away."""
    if min(pads) >= 0:
        return ref
    channels, rows, columns = ctx.graph.type_of(ref).shape
    top, left, bottom, right = (max(-pad, 0) for pad in pads)
    ends = (channels, rows - bottom, columns - right)
    return ctx.add(StridedSlice((0, top, left), ends, (1, 1, 1)), [ref], "_crop")


def _turned(weights: NDArray[Any], groups: int) -> NDArray[Any]:
    """Weights of the convolution: output channel first, taps in the opposite order."""
    inputs, outputs, *kernel = weights.shape
    grouped = weights.reshape(groups, inputs // groups, outputs, *kernel).swapaxes(1, 2)
    turned = grouped[..., ::-1, ::-1].reshape(groups * outputs, inputs // groups, *kernel)
    return np.ascontiguousarray(turned)
