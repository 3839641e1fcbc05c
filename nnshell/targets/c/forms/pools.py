"""Pools and softmax in C."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nnshell.ir.work import Window
from nnshell.numeric.softmax import distance_shift, dropped_bits
from nnshell.support.errors import QuantizationError
from nnshell.targets.c.builder import Builder, Site, in_place
from nnshell.targets.c.forms.elementwise import look_up, output_fields, scaling_fields
from nnshell.targets.c.forms.filters import window_fields
from nnshell.targets.c.forms.table import form
from nnshell.targets.c.program import Value


def _shrinks(window: Window) -> tuple[int, ...]:
    """An unpadded window reads at or after the place that it writes: in place is safe."""
    return () if window.padded else (0,)


@form("max_pool")
def max_pool(build: Builder, site: Site) -> list[Value]:
    x = build.pixels(site.inputs[0])
    y = build.result(site.types[0], x.dtype)
    window = site.op.window
    fields = {
        "window": window_fields(window, x.shape[1:], y.shape[1:]),
        "element_type": x.element_type,
        "channels": x.shape[0],
        "pad_value": site.quantization.input.zero_point,
    }
    return [build.call("max_pool", fields, [x], y, in_place=_shrinks(window))]


@form("maximum")
def maximum(build: Builder, site: Site) -> list[Value]:
    """Both operands one after the other, and a pool over the two."""
    return [_larger(build, site, site.inputs)]


@form("minimum")
def minimum(build: Builder, site: Site) -> list[Value]:
    """min(a, b) = ~max(~a, ~b), which 8 bits hold."""
    if any(x.dtype != "int8" for x in site.inputs):
        where = f"node {site.item.path}"
        raise QuantizationError("a minimum of more than 8 bits has no C form", where=where)
    turned = ~np.arange(-128, 128)
    operands = [
        look_up(build, x, build.new(x.shape, x.order, x.dtype), turned) for x in site.inputs
    ]
    larger = _larger(build, site, operands)
    return [look_up(build, larger, build.result(site.types[0], larger.dtype), turned)]


def _larger(build: Builder, site: Site, operands: Sequence[Value]) -> Value:
    y = build.result(site.types[0], operands[0].dtype)
    size = int(np.prod(y.shape))
    pair = build.new((size, 2, 1), (1, 2, 0), y.dtype)
    for number, x in enumerate(operands):
        missing = len(y.shape) - len(x.shape)
        steps = [
            0 if axis < missing or x.shape[axis - missing] == 1 else x.steps[axis - missing]
            for axis in range(len(y.shape))
        ]
        half = replace(pair, shape=y.shape, order=y.order)
        build.move(x, half, extents=y.shape, source_steps=steps, target_start=number * size)
    fields = {
        "window": window_fields(Window((2, 1)), (2, 1), (1, 1)),
        "element_type": y.element_type,
        "channels": size,
        "pad_value": 0,
    }
    build.call("max_pool", fields, [pair], replace(y, shape=(size, 1, 1), order=(1, 2, 0)))
    return y


@form("average_pool")
def average_pool(build: Builder, site: Site) -> list[Value]:
    x = build.pixels(site.inputs[0])
    y = build.result(site.types[0], site.dtype)
    op = site.op
    low, high = site.quantization.output.limits
    fields = {
        "window": window_fields(op.window, x.shape[1:], y.shape[1:]),
        "input_type": x.element_type,
        "output_type": y.element_type,
        "channels": x.shape[0],
        "zero": site.quantization.input.zero_point,
        "count_pads": int(op.count_include_pad),
        "low": low,
        "high": high,
    }
    same = x.element_bytes == y.element_bytes
    in_place = _shrinks(op.window) if same else ()
    return [build.call("average_pool", fields, [x], y, in_place=in_place)]


@form("global_max_pool")
def global_max_pool(build: Builder, site: Site) -> list[Value]:
    x = build.pixels(site.inputs[0])
    y = build.result(site.types[0], x.dtype)
    window = Window((x.shape[1], x.shape[2]))
    fields = {
        "window": window_fields(window, x.shape[1:], (1, 1)),
        "element_type": x.element_type,
        "channels": x.shape[0],
        "pad_value": 0,
    }
    return [build.call("max_pool", fields, [x], y, in_place=(0,))]


@form("global_average_pool")
def global_average_pool(build: Builder, site: Site) -> list[Value]:
    x = build.pixels(site.inputs[0])
    y = build.result(site.types[0], site.dtype)
    fields = {
        "pixels": x.shape[1] * x.shape[2],
        "channels": x.shape[0],
        "input_type": x.element_type,
        "output_type": y.element_type,
        "input_zero": site.quantization.input.zero_point,
        **scaling_fields(site.kernel.scaling),
        **output_fields(site.quantization.output),
    }
    return [build.call("global_average", fields, [x], y)]


@form("softmax")
def softmax(build: Builder, site: Site) -> list[Value]:
    """Along one axis of the input as it lies in memory."""
    x = site.inputs[0]
    y = build.new(x.shape, x.order, site.dtype)
    place = x.order.index(site.op.axis)
    outer = inner = 1
    for position, axis in enumerate(x.order):
        outer *= x.shape[axis] if position < place else 1
        inner *= x.shape[axis] if position > place else 1
    bits = site.kernel.output_bits
    limit = 1 << (bits - 1)
    fields = {
        "outer": outer,
        "length": x.shape[site.op.axis],
        "inner": inner,
        "input_type": x.element_type,
        "output_type": y.element_type,
        "scale_shift": distance_shift(site.kernel.scale_exponent),
        "drop": dropped_bits(bits),
        "low": -limit,
        "high": limit - 1,
    }
    return [build.call("softmax", fields, [x], y, in_place=in_place(x, y))]
