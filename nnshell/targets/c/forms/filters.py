"""Filters in C: convolutions, linear layers as convolutions of one pixel, batch norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.work import Window
from nnshell.numeric.fixed_point import INT32_LIMITS
from nnshell.numeric.kernels.filters import FilterKernel
from nnshell.targets.c.builder import Builder, Site, in_place
from nnshell.targets.c.forms.table import form
from nnshell.targets.c.program import Value


def window_fields(window: Window, given: Sequence[int], made: Sequence[int]) -> dict[str, int]:
    """nn_window: sizes are (height, width)."""
    return {
        "input_height": given[0],
        "input_width": given[1],
        "output_height": made[0],
        "output_width": made[1],
        "kernel_height": window.kernel[0],
        "kernel_width": window.kernel[1],
        "stride_height": window.strides[0],
        "stride_width": window.strides[1],
        "dilation_height": window.dilations[0],
        "dilation_width": window.dilations[1],
        "pad_top": window.pads[0],
        "pad_left": window.pads[1],
    }


def _finish_fields(site: Site) -> dict[str, Any]:
    kernel: FilterKernel = site.kernel
    low, high = site.quantization.output.limits
    return {
        "low": low,
        "high": high,
        "per_channel": int(kernel.multiplier.size > 1),
        "bias": kernel.bias.astype(np.int32),
        "multipliers": kernel.multiplier.astype(np.uint8).reshape(-1),
        "shifts": kernel.shift.astype(np.int8).reshape(-1),
    }


@form("conv2d")
def conv2d(build: Builder, site: Site) -> list[Value]:
    """Of each channel alone where every group has one channel and one filter, else in general."""
    op, kernel = site.op, site.kernel
    x = build.pixels(site.inputs[0])
    y = build.result(site.types[0], site.dtype)
    window = window_fields(op.window, x.shape[1:], y.shape[1:])
    shared = {
        "window": window,
        "input_type": x.element_type,
        "output_type": y.element_type,
        "pad_value": site.quantization.input.zero_point,
        **_finish_fields(site),
    }
    weights: NDArray[np.int8] = kernel.weights
    if op.groups > 1 and op.groups == x.shape[0] == y.shape[0]:
        taps = weights.reshape(len(weights), -1).T
        fields = {**shared, "channels": x.shape[0], "weights": np.ascontiguousarray(taps)}
        return [build.call("depthwise", fields, [x], y)]
    fields = {
        **shared,
        "input_channels": x.shape[0],
        "output_channels": y.shape[0],
        "groups": op.groups,
        "converts": int(_converts(build, site)),
        "weights": np.ascontiguousarray(weights.transpose(0, 2, 3, 1)),
    }
    return [build.call("conv2d", fields, [x], y)]


def _converts(build: Builder, site: Site) -> bool:
    """Whether sums may leave 32 bits, which NNTool's convolutions convert and do not wrap."""
    kernel: FilterKernel = site.kernel
    if build.chip or site.op.sums_in_int32(kernel.weights.shape):
        return False
    low, high = kernel.accumulator_limits(site.quantization.input.limits)
    return bool(low.min() < INT32_LIMITS[0] or high.max() > INT32_LIMITS[1])


@form("linear")
def linear(build: Builder, site: Site) -> list[Value]:
    """The weights take the order that the input has in memory, so that nothing moves."""
    x = site.inputs[0]
    weights = site.kernel.weights
    filters = len(weights)
    turned = weights.reshape(filters, *x.shape).transpose(0, *(axis + 1 for axis in x.order))
    y = build.result(site.types[0], site.dtype)
    fields = {
        "window": window_fields(Window(), (1, 1), (1, 1)),
        "input_type": x.element_type,
        "output_type": y.element_type,
        "input_channels": x.size,
        "output_channels": filters,
        "groups": 1,
        "pad_value": 0,
        "converts": 0,
        "weights": np.ascontiguousarray(turned.reshape(filters, x.size)),
        **_finish_fields(site),
    }
    return [build.call("conv2d", fields, [x], y)]


@form("batch_norm")
def batch_norm(build: Builder, site: Site) -> list[Value]:
    """One weight for each channel; the channels, axis 0, lie innermost."""
    source = site.inputs[0]
    rank = len(source.shape)
    channels = source.shape[0]
    x = build.ordered(source, (*range(1, rank), 0))
    y = build.new(site.types[0].shape, x.order, site.dtype)
    pixels = (1, x.size // max(channels, 1))
    fields = {
        "window": window_fields(Window(), pixels, pixels),
        "input_type": x.element_type,
        "output_type": y.element_type,
        "channels": channels,
        "pad_value": 0,
        "weights": np.ascontiguousarray(site.kernel.weights.reshape(1, channels)),
        **_finish_fields(site),
    }
    return [build.call("depthwise", fields, [x], y, in_place=in_place(x, y))]
