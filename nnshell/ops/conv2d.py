"""Convolution of a feature map: y[o] = bias[o] + sum over i, k of weights[o, i, k] * x[i, ...].

Inputs are x (channels, height, width), weights (out, in / groups, kernel height, kernel width) and
bias (out). ``groups`` equal to the number of input channels makes it depthwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.facts import Border
from nnshell.ir.foreign import AttributeValue, ForeignGraph
from nnshell.ir.graph import Ref
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import Example, IntArray, Operator, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import RecordRule
from nnshell.ir.requests import QuantizeRequest, Range
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import ONE_BYTE, ElementBytes, Window, Work, WorkKind
from nnshell.lowering.filters import Sums, lower_filter
from nnshell.lowering.windows import lower_padding
from nnshell.numeric.kernels.filters import FilterKernel, quantize_filter
from nnshell.numeric.kernels.windows import pad_map, taps
from nnshell.ops.families.filter import Filter
from nnshell.ops.families.filter_rules import filter_rules
from nnshell.ops.families.shapes import (
    CHANNEL_BYTES,
    INFOS_BYTES,
    describe_pads,
    feature_map,
    windowed_map,
)
from nnshell.ops.pad import absorbed, note_border
from nnshell.reading.registry import Unsupported, imports
from nnshell.reading.spatial import padded, produce_spatial, read_window, spatial_input
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph
    from nnshell.reading.context import ImportContext


_POINTWISE = Window()


@register
@dataclass(frozen=True)
class Conv2D(Filter):
    """Two-dimensional convolution with zero padding; weights and bias are constants."""

    kind: ClassVar[str] = "conv2d"
    window: Window = _POINTWISE
    groups: int = 1

    def sliding_window(self) -> Window:
        return self.window

    def with_window(self, window: Window) -> Conv2D:
        return replace(self, window=window)

    @property
    def padding_counts(self) -> bool:
        return True

    def with_border(self, border: Border, given: Range) -> Operator | str:
        if border.spatial is None:
            return "it pads channels, a window pads height and width"
        if border.value != 0:
            return f"a window pads with 0, not with {border.value:g}"
        return self.with_window(self.window.grown(border.spatial))

    @property
    def filter_groups(self) -> int:
        return self.groups

    def shares_inside(self, given: TensorType) -> NDArray[np.float64]:
        return self.window.shares_inside(*given.shape[1:])

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        source, weights, bias = inputs
        channels, height, width = feature_map(source, self.kind)
        self._check_filter(channels, weights, bias)
        return (windowed_map(self.window, weights.shape[0], height, width, self.kind),)

    def _check_filter(self, channels: int, weights: TensorType, bias: TensorType) -> None:
        if len(weights.shape) != 4 or weights.shape[2:] != self.window.kernel:
            raise GraphError(f"conv2d with kernel {self.window.kernel} has weights {weights}")
        if weights.shape[1] * self.groups != channels:
            raise GraphError(
                f"conv2d with weights {weights} and {self.groups} groups"
                f" needs {weights.shape[1] * self.groups} input channels, not {channels}"
            )
        if weights.shape[0] % self.groups:
            raise GraphError(f"conv2d divides {weights.shape[0]} filters into {self.groups} groups")
        if bias.shape != weights.shape[:1]:
            raise GraphError(f"conv2d has {weights.shape[0]} filters and a bias of shape {bias}")

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        window = self.window
        strides = "x".join(str(n) for n in window.strides)
        dilations = "x".join(str(n) for n in window.dilations)
        multiplier = inputs[1].shape[0] // self.groups if self._depthwise(inputs[0]) else 1
        return (
            f"F {inputs[1]} S {strides} D {dilations}"
            f" G {self.groups} M {multiplier} {describe_pads(window)}"
        )

    def _depthwise(self, source: TensorType) -> bool:
        return self.groups > 1 and self.groups == source.shape[0]

    def macs(self, inputs: Types, outputs: Types, body: Graph | None = None) -> int:
        return outputs[0].size * (inputs[1].size // inputs[1].shape[0])

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        shape = outputs[0].chw
        return Work(
            self._work_kind(inputs[0], shape[0]),
            (feature_map(inputs[0], self.kind),),
            shape,
            shape,
            self.window,
            self.groups,
            self.macs(inputs, outputs),
            input_bytes=stored.of_inputs(inputs[:1]),
            output_bytes=stored.of_outputs(outputs),
            weight_bytes=stored.of_inputs(inputs)[1],
            constant_bytes=shape[0] * CHANNEL_BYTES + INFOS_BYTES,
        )

    def _work_kind(self, source: TensorType, filters: int) -> WorkKind:
        if self.groups == 1:
            return "conv"
        return "depthwise" if self._depthwise(source) and filters == self.groups else "grouped"

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        attributes = self._attributes(self.window)
        return (build.node("Conv", inputs, attributes, hint=self.kind),)

    def _attributes(self, window: Window) -> dict[str, AttributeValue]:
        return {
            "kernel_shape": window.kernel,
            "strides": window.strides,
            "dilations": window.dilations,
            "pads": window.pads,
            "group": self.groups,
        }

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return filter_rules(padded=self.window.padded)

    def reads_range(self, index: int) -> bool:
        """Before padding, where a zero point of 0 is made from what was seen."""
        return index == 0 and self.window.padded

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        return quantize_filter(request, request.constant(1), request.constant(2))

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        """Matrix products in float64, exact below 2**53, of what the windows see of a sample."""
        kernel: FilterKernel = quantization.kernel
        wraps = self.sums_in_int32(kernel.weights.shape)
        sums = self.products(inputs[0], kernel.weights, quantization.input.zero_point)
        return kernel.finish(sums, quantization.output, wraps=wraps)

    def products(self, data: IntArray, weights: NDArray[Any], zero_point: int) -> IntArray:
        padded = pad_map(data, self.window, zero_point)
        rows = weights.reshape(self.groups, weights.shape[0] // self.groups, -1)
        products = [
            self._products(sample[np.newaxis], rows.astype(np.float64))
            for sample in padded.astype(np.float64)
        ]
        return np.stack(products)

    def sums_in_int32(self, filters: tuple[int, ...]) -> bool:
        """As a depthwise kernel does."""
        return self.groups == filters[0] and filters[1] == 1

    def integer_on_chip(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray]
    ) -> tuple[IntArray, ...]:
        """The chip's kernels add up in int32, whatever the groups."""
        kernel: FilterKernel = quantization.kernel
        sums = self.products(inputs[0], kernel.weights, quantization.input.zero_point)
        return (kernel.finish(sums, quantization.output),)

    def _products(self, sample: NDArray[np.float64], weights: NDArray[np.float64]) -> IntArray:
        """(filters, rows, columns) of one padded sample."""
        seen = np.stack([view[0] for _, _, view in taps(sample, self.window)], axis=1)
        rows, columns = seen.shape[2:]
        data = seen.reshape(self.groups, weights.shape[2], rows * columns)
        products: IntArray = (weights @ data).astype(np.int64)
        return products.reshape(-1, rows, columns)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        kernel: FilterKernel = quantization.kernel
        x, sums = self.summing(build, inputs[0], quantization.input.zero_point)
        wraps = build.chip or self.sums_in_int32(kernel.weights.shape)
        output, shape = quantization.output, outputs[0].shape
        return (lower_filter(build, x, kernel, output, shape, sums, wraps=wraps),)

    def summing(
        self, build: IntegerGraph, x: IntegerTensor, zero_point: int
    ) -> tuple[IntegerTensor, Sums]:
        x, window = lower_padding(build, x, self.window, zero_point)
        attributes = self._attributes(window)

        def sums(data: str, weights: IntArray, bias: IntArray | None, wide: bool) -> str:
            operands = [build.real(weights, wide)]
            operands += [] if bias is None else [build.real(bias, wide)]
            return build.node("Conv", [data, *operands], attributes, hint=self.kind)

        return x, sums

    @classmethod
    def examples(cls) -> list[Example]:
        cases = [
            ("plain", Window((3, 3)), 1, (4, 7, 9), 6),
            ("pointwise", Window(), 1, (5, 4, 4), 3),
            ("padded and strided", Window((3, 3), (2, 2), (1, 1), (1, 1, 1, 1)), 1, (3, 8, 8), 4),
            ("uneven pads", Window((3, 5), (1, 2), (1, 1), (0, 1, 2, 3)), 1, (2, 6, 7), 3),
            ("dilated", Window((3, 3), (1, 1), (2, 3), (2, 3, 2, 3)), 1, (2, 9, 9), 2),
            ("depthwise", Window((3, 3), (1, 1), (1, 1), (1, 1, 1, 1)), 6, (6, 5, 5), 6),
            ("depthwise with multiplier", Window((3, 3)), 3, (3, 5, 5), 6),
            ("grouped", Window((1, 3)), 2, (4, 5, 6), 6),
        ]
        return [_example(*case) for case in cases]


def _example(
    name: str, window: Window, groups: int, shape: tuple[int, int, int], filters: int
) -> Example:
    random = np.random.default_rng(len(name))
    weights = random.normal(size=(filters, shape[0] // groups, *window.kernel))
    bias = random.normal(size=filters)
    types = (TensorType(shape, Layout.CHW), TensorType(weights.shape), TensorType((filters,)))
    constants = (None, weights.astype(np.float32), bias.astype(np.float32))
    return Example(Conv2D(window, groups), types, constants, name)


@imports("Conv")
def import_conv(ctx: ImportContext) -> None:
    """One or two spatial axes; a constant border of zeros before it becomes padding."""
    value = spatial_input(ctx, 0)
    weights = ctx.weights(1)
    if weights.ndim != (3 if value.one_row else 4):
        raise Unsupported(f"its weights have {weights.ndim} axes", accepted="as many as its input")
    kernel = ctx.integers("kernel_shape")
    if kernel is not None and kernel != weights.shape[2:]:
        ctx.refuse("kernel_shape", accepted=f"that of its weights, {list(weights.shape[2:])}")
    groups = ctx.integer("group", 1)
    if groups < 1:
        ctx.refuse("group", accepted="1 or more")
    window = read_window(ctx, value.size, weights.shape[2:])
    if value.one_row:
        weights = weights[:, :, np.newaxis]
    source, border = absorbed(ctx, value.ref)
    filters = [ctx.parameter(1, weights, "weights"), _bias(ctx, len(weights))]
    conv = ctx.add(Conv2D(padded(window, border), groups), [source, *filters])
    note_border(ctx, conv, value.ref, border)
    produce_spatial(ctx, conv, value)


def _bias(ctx: ImportContext, filters: int) -> Ref:
    """The file's bias under its own name, or zeros."""
    if ctx.has(2):
        return ctx.named_constant(2, ctx.weights(2))
    return ctx.missing_bias(filters)
