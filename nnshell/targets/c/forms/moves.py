"""Operators that move elements: concat, split, pad, slices, transposes, reshapes, resizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nnshell.ir.permutations import Perm, permuted
from nnshell.ir.types import Layout, TensorType
from nnshell.ops.channels_last import TO_FIRST, TO_LAST
from nnshell.ops.image_format import FORMATS, WIDE_SHIFT, ImageFormat
from nnshell.ops.resize import neighbours
from nnshell.support.errors import QuantizationError
from nnshell.targets.c.builder import Builder, Site
from nnshell.targets.c.forms.table import form, form_of
from nnshell.targets.c.program import Value, memory_order


@form("copy", "output", "unused", "fusion_output")
def copy(build: Builder, site: Site) -> list[Value]:
    return [site.inputs[0]]


@form("reshape")
def reshape(build: Builder, site: Site) -> list[Value]:
    """The same memory, once its elements lie as the shape says."""
    x, shape = build.plain(site.inputs[0]), site.types[0].shape
    return [replace(x, shape=shape, order=tuple(range(len(shape))))]


@form("transpose")
def transpose(build: Builder, site: Site) -> list[Value]:
    """The same memory under another name of its axes; who reads it may want it elsewhere."""
    return [_turned(site.inputs[0], site.op.perm)]


def _turned(x: Value, perm: Perm) -> Value:
    place = {old: new for new, old in enumerate(perm)}
    order = tuple(place[axis] for axis in x.order)
    return replace(x, shape=permuted(x.shape, perm), order=order)


@form("channels_last")
def channels_last(build: Builder, site: Site) -> list[Value]:
    """The operator inside, on the same memory: feature maps lie with channels innermost anyway."""
    node = site.item.node.copy()
    node.op = site.op.inner
    node.outputs = tuple(_channels_first(type) for type in site.types)
    item = replace(site.item, node=node)
    turned = _turned(site.inputs[0], TO_FIRST) if len(site.inputs[0].shape) == 3 else site.inputs[0]
    inner = Site(item, site.quantization, (turned, *site.inputs[1:]))
    return [
        _turned(result, TO_LAST) if len(result.shape) == 3 else result
        for result in form_of(item)(build, inner)
    ]


def _channels_first(type: TensorType) -> TensorType:
    if len(type.shape) != 3:
        return type
    return TensorType(permuted(type.shape, TO_FIRST), Layout.CHW, type.dtype)


@form("concat")
def concat(build: Builder, site: Site) -> list[Value]:
    axis = site.op.axis
    y = build.result(site.types[0], site.dtype)
    start = 0
    for x in site.inputs:
        build.move(x, y, target_start=start * _step(y, axis))
        start += x.shape[axis]
    return [y]


@form("split")
def split(build: Builder, site: Site) -> list[Value]:
    x, axis = site.inputs[0], site.op.axis
    parts, start = [], 0
    for type in site.types:
        y = build.result(type, x.dtype)
        build.move(x, y, extents=type.shape, source_start=start * _step(x, axis))
        parts.append(y)
        start += type.shape[axis]
    return parts


@form("pad")
def pad(build: Builder, site: Site) -> list[Value]:
    """The border's value everywhere, then the input inside."""
    x, around = site.inputs[0], site.op.border()
    if around is None:
        where = f"node {site.item.path}"
        raise QuantizationError("a border that is not constant has no C form", where=where)
    y = build.result(site.types[0], site.dtype)
    border = site.quantization.output.quantize(np.array([around.value], np.float32))
    fill = {"count": y.size, "element_bytes": y.element_bytes, "value": int(border[0])}
    build.call("fill", fill, [], y)
    start = sum(before * _step(y, axis) for axis, (before, _) in enumerate(around.pads))
    if x.size:
        build.move(x, y, target_start=start)
    return [y]


@form("spread")
def spread(build: Builder, site: Site) -> list[Value]:
    """Zeros everywhere, then the input at every step."""
    x = site.inputs[0]
    y = build.result(site.types[0], x.dtype)
    zero = site.quantization.output.zero_point
    build.call("fill", {"count": y.size, "element_bytes": y.element_bytes, "value": zero}, [], y)
    steps = [_step(y, axis) * step for axis, step in enumerate(site.op.steps)]
    build.move(x, y, extents=x.shape, target_steps=steps)
    return [y]


@form("strided_slice")
def strided_slice(build: Builder, site: Site) -> list[Value]:
    x, op = site.inputs[0], site.op
    y = build.result(site.types[0], x.dtype)
    steps = [_step(x, axis) for axis in range(len(x.shape))]
    start = sum(first * step for first, step in zip(op.starts, steps, strict=True))
    strided = [stride * step for stride, step in zip(op.strides, steps, strict=True)]
    build.move(x, y, extents=y.shape, source_start=start, source_steps=strided)
    return [y]


def _step(value: Value, axis: int) -> int:
    """Elements from one index of an axis to the next, also where the axis has one."""
    place = value.order.index(axis)
    return int(np.prod([value.shape[a] for a in value.order[place + 1 :]], dtype=np.int64))


@form("nearest_neighbor_resizer")
def nearest(build: Builder, site: Site) -> list[Value]:
    x = build.pixels(site.inputs[0])
    y = build.result(site.types[0], x.dtype)
    rows, columns = site.op.indices(x.shape)
    fields = {
        "input_width": x.shape[2],
        "output_height": y.shape[1],
        "output_width": y.shape[2],
        "pixel_bytes": x.shape[0] * x.element_bytes,
        "rows": rows.astype(np.int32),
        "columns": columns.astype(np.int32),
    }
    return [build.call("nearest", fields, [x], y)]


@form("bilinear_resizer")
def bilinear(build: Builder, site: Site) -> list[Value]:
    x = build.pixels(site.inputs[0])
    y = build.result(site.types[0], x.dtype)
    positions = site.op.positions(TensorType(x.shape))
    rows, columns = (
        np.stack(neighbours(at, extent), axis=1).astype(np.int32)
        for at, extent in zip(positions, x.shape[1:], strict=True)
    )
    fields = {
        "element_type": x.element_type,
        "input_width": x.shape[2],
        "output_height": y.shape[1],
        "output_width": y.shape[2],
        "channels": x.shape[0],
        "rows": rows,
        "columns": columns,
    }
    return [build.call("bilinear", fields, [x], y)]


@form("image_format")
def image_format(build: Builder, site: Site) -> list[Value]:
    """Pixels lie in memory as feature maps do: only their values change."""
    x = build.plain(site.inputs[0])
    y = build.new(site.types[0].shape, memory_order(site.types[0]), site.dtype)
    unpacks = site.op.format == "rgb565_rgb888"
    right, left, offset = _pixel_arithmetic(site.op)
    fields = {
        "pixels": x.size,
        "input_type": x.element_type,
        "output_type": y.element_type,
        "unpacks": int(unpacks),
        "right": right,
        "left": left,
        "offset": offset,
    }
    return [
        build.call(
            "image_format",
            fields,
            [x],
            y,
            in_place=() if unpacks or x.element_bytes != y.element_bytes else (0,),
        )
    ]


def _pixel_arithmetic(op: ImageFormat) -> tuple[int, int, int]:
    """Shift to the right, then to the left, then an offset."""
    right = left = 0
    if op.format != "rgb565_rgb888" and FORMATS[op.format][2] == "uint16":
        right = 1 if op.norm == "out_int16" else 8
    elif op.norm == "out_int16":
        left = WIDE_SHIFT
    return right + int(op.norm == "shift_int8"), left, -128 if op.norm == "offset_int8" else 0
