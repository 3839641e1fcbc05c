"""A layer as a loop nest over output channels, output rows and input channels.

Every kind of work is brought to this one form: an image filter is cut by rows, a 1x1 convolution
or a matrix product by columns of the matrix (its "rows" are pixels), an element-wise layer by
elements. An operand's tile is ``unit_bytes`` times the extents of the axes it depends on, so
sizes, traffic and lines follow without looking at the kind again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from nnshell.ir.work import Window, Work

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Role = Literal["input", "weights", "constants", "output"]
Extent = Literal["none", "input", "output"]

FILTER_CONSTANTS = 4
VECTOR_KINDS = ("elementwise", "activation", "softmax", "move", "resize", "format", "convert")


@dataclass(frozen=True, slots=True)
class Operand:
    """One array a kernel reads or writes.

    ``unit_bytes`` is the size for one output channel, one input channel and one row, as far as
    the operand depends on them; ``extent`` says whether it spans input rows (with halo), output
    rows or neither. ``tensor`` indexes the layer's inputs; the output has index 0 too.
    """

    role: Role
    unit_bytes: float
    by_out: bool = False
    by_in: bool = False
    extent: Extent = "none"
    tensor: int = 0
    constant: bool = False
    pieces: int = 1

    def depends_on(self, axis: str) -> bool:
        """Whether another tile along ``axis`` needs another part of the operand."""
        by = {"group": True, "out": self.by_out, "in": self.by_in, "rows": self.extent != "none"}
        return by[axis]


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes of one group of the layer; ``groups`` repetitions make the layer."""

    groups: int
    out: int
    depth: int
    height: int
    width: int
    filter_height: int
    filter_width: int
    input_height: int
    input_width: int
    window: Window
    pool: Window | None
    channelwise: bool
    operands: tuple[Operand, ...]
    gates: int = 1  # of a recurrent layer: products of each state
    in_steps: bool = False  # a row needs all outputs of the one before it

    @property
    def input_element_bytes(self) -> float:
        """Bytes of an element of the first input."""
        moved = next((entry for entry in self.operands if entry.role == "input"), None)
        if moved is None:
            return 1.0
        return moved.unit_bytes / (self.input_width if moved.extent == "input" else 1)

    def filter_rows(self, rows: IntArray) -> IntArray:
        """Rows of the filter's own output that ``rows`` rows after the pool need."""
        if self.pool is None:
            return np.minimum(rows, self.filter_height)
        span = (rows - 1) * self.pool.strides[0] + self.pool.kernel[0]
        return np.minimum(span, self.filter_height)

    def input_rows(self, rows: IntArray) -> IntArray:
        """Input rows with halo for ``rows`` output rows, ignoring the padded border."""
        extent = self.window.dilations[0] * (self.window.kernel[0] - 1) + 1
        span = (self.filter_rows(rows) - 1) * self.window.strides[0] + extent
        return np.minimum(span, self.input_height)

    def input_span(self, first: int, last: int) -> tuple[int, int]:
        """Input rows [first, last) that output rows [first, last) read, clipped to the map."""
        first, last = self.filter_span(first, last)
        extent = self.window.dilations[0] * (self.window.kernel[0] - 1) + 1
        top = self.window.pads[0]
        start = first * self.window.strides[0] - top
        stop = (last - 1) * self.window.strides[0] - top + extent
        return max(0, start), max(0, min(self.input_height, stop))

    def filter_span(self, first: int, last: int) -> tuple[int, int]:
        """Rows of the filter's output that output rows [first, last) read."""
        if self.pool is None:
            return first, last
        top = self.pool.pads[0]
        start = first * self.pool.strides[0] - top
        stop = (last - 1) * self.pool.strides[0] - top + self.pool.kernel[0]
        return max(0, start), max(0, min(self.filter_height, stop))


def geometry(work: Work, *, matrix: bool) -> Geometry:
    """The loop nest of a layer; ``matrix`` flattens a 1x1 filter's pixels into columns."""
    if work.kind in VECTOR_KINDS:
        return _vector(work)
    if work.kind == "matmul":
        return _matmul(work)
    if work.kind == "linear":
        return _linear(work)
    if work.kind == "global_pool":
        return _global_pool(work)
    if work.kind == "recurrent":
        return _recurrent(work)
    if work.kind in ("depthwise", "pool"):
        return _channelwise(work)
    return _filter(work, matrix=matrix)


def _vector(work: Work) -> Geometry:
    elements = max(1, math.prod(work.output))
    inputs = tuple(
        Operand("input", size / elements, extent="output", tensor=index)
        for index, size in enumerate(work.input_bytes)
        if size > 0
    )
    fixed: tuple[Operand, ...] = ()
    if work.weight_bytes:
        fixed = (Operand("weights", work.weight_bytes / elements, extent="output", constant=True),)
    output = Operand("output", work.output_bytes / elements, extent="output")
    return _plain(1, 1, elements, (*inputs, *fixed, *_constants(work, 1), output))


def _matmul(work: Work) -> Geometry:
    """First input times second: rows of the first are output channels, columns are pixels.

    A constant factor takes the place of the weights, whichever side it is on.
    """
    channels, height, width = work.output
    out, columns = max(1, channels * height), max(1, width)
    depth = max(1, work.macs // (out * columns))
    if work.weight_bytes and work.inputs and work.inputs[0][2] == depth:
        out, columns = columns, out
    moved = work.input_bytes[-1] if work.input_bytes else 0
    if work.weight_bytes:
        factor = _weights(work, out, depth, groups=1)
    else:
        unit = work.input_bytes[0] / (out * depth)
        factor = Operand("input", unit, by_out=True, by_in=True)
    last = len(work.input_bytes) - 1
    operands = (
        Operand("input", moved / (depth * columns), by_in=True, extent="output", tensor=last),
        factor,
        *_constants(work, out),
        Operand("output", work.output_bytes / (out * columns), by_out=True, extent="output"),
    )
    return _plain(out, depth, columns, operands)


def _linear(work: Work) -> Geometry:
    out = max(1, math.prod(work.output))
    depth = max(1, sum(math.prod(shape) for shape in work.inputs))
    operands = (
        Operand("input", sum(work.input_bytes) / depth, by_in=True),
        _weights(work, out, depth, groups=1),
        *_constants(work, out),
        Operand("output", work.output_bytes / out, by_out=True),
    )
    return _plain(out, depth, 1, operands)


def _global_pool(work: Work) -> Geometry:
    """Channels are outputs; the pixels of a map are reduced like input channels."""
    channels, height, width = work.inputs[0]
    out, depth = max(1, channels), max(1, height * width)
    operands = (
        Operand("input", work.input_bytes[0] / (out * depth), by_out=True, by_in=True),
        *_constants(work, out),
        Operand("output", work.output_bytes / out, by_out=True),
    )
    return _plain(out, depth, 1, operands)


def _recurrent(work: Work) -> Geometry:
    """States are output channels, steps are rows; a state reads the step's input and all states."""
    (_, steps, width), (_, _, out) = work.inputs[0], work.output
    operands = (
        Operand("input", work.input_bytes[0] / steps, extent="output"),
        Operand("weights", work.weight_bytes / out, by_out=True, constant=True),
        *_constants(work, out),
        Operand("output", work.output_bytes / (out * steps), by_out=True, extent="output"),
    )
    return replace(_plain(out, width + out, steps, operands), gates=work.gates, in_steps=True)


def _plain(out: int, depth: int, rows: int, operands: tuple[Operand, ...]) -> Geometry:
    return Geometry(
        groups=1,
        out=out,
        depth=depth,
        height=rows,
        width=1,
        filter_height=rows,
        filter_width=1,
        input_height=rows,
        input_width=1,
        window=Window(),
        pool=None,
        channelwise=False,
        operands=operands,
    )


def _channelwise(work: Work) -> Geometry:
    """Depthwise filters and pools: an output channel reads its own input channel."""
    _, in_height, in_width = work.inputs[0]
    channels, height, width = work.output
    pixels = max(1, math.prod(work.inputs[0]))
    operands = [
        Operand("input", work.input_bytes[0] / pixels * in_width, by_out=True, extent="input"),
        *_constants(work, channels),
        Operand("output", _row_bytes(work), by_out=True, extent="output"),
    ]
    if work.weight_bytes:
        operands.insert(1, _weights(work, channels, 1, groups=1, by_in=False))
    return Geometry(
        groups=1,
        out=channels,
        depth=1,
        height=height,
        width=width,
        filter_height=work.filter_output[1],
        filter_width=work.filter_output[2],
        input_height=in_height,
        input_width=in_width,
        window=work.window,
        pool=work.pool,
        channelwise=True,
        operands=tuple(operands),
    )


def _filter(work: Work, *, matrix: bool) -> Geometry:
    """Dense and grouped convolutions."""
    groups = max(1, work.groups) if work.kind == "grouped" else 1
    channels, in_height, in_width = work.inputs[0]
    out, height, width = work.output
    out, depth = max(1, out // groups), max(1, channels // groups)
    flat = matrix and work.window == Window() and work.pool is None
    row_bytes = work.input_bytes[0] / max(1, math.prod(work.inputs[0])) * in_width
    if flat:
        operands = _matrix_operands(work, out, depth, groups)
        return replace(_plain(out, depth, height * width, operands), groups=groups)
    operands = (
        Operand("input", row_bytes, by_in=True, extent="input"),
        _weights(work, out, depth, groups),
        *_constants(work, out * groups),
        Operand("output", _row_bytes(work), by_out=True, extent="output"),
    )
    return Geometry(
        groups=groups,
        out=out,
        depth=depth,
        height=height,
        width=width,
        filter_height=work.filter_output[1],
        filter_width=work.filter_output[2],
        input_height=in_height,
        input_width=in_width,
        window=work.window,
        pool=work.pool,
        channelwise=False,
        operands=operands,
    )


def _matrix_operands(work: Work, out: int, depth: int, groups: int) -> tuple[Operand, ...]:
    pixels = max(1, work.output[1] * work.output[2])
    in_unit = work.input_bytes[0] / (depth * groups * pixels)
    out_unit = work.output_bytes / (out * groups * pixels)
    return (
        Operand("input", in_unit, by_in=True, extent="output"),
        _weights(work, out, depth, groups),
        *_constants(work, out * groups),
        Operand("output", out_unit, by_out=True, extent="output"),
    )


def _weights(work: Work, out: int, depth: int, groups: int, by_in: bool = True) -> Operand:
    unit = work.weight_bytes / max(1, out * depth * groups)
    return Operand("weights", unit, by_out=True, by_in=by_in, constant=True)


def _constants(work: Work, out: int) -> tuple[Operand, ...]:
    if work.constant_bytes <= 0:
        return ()
    unit, pieces = work.constant_bytes / out, constant_arrays(work)
    return (Operand("constants", unit, by_out=out > 1, constant=True, pieces=pieces),)


def constant_arrays(work: Work) -> int:
    """Arrays besides the weights: biases, multipliers, shifts and infos of a filter, or infos."""
    if work.constant_bytes <= 0:
        return 0
    return FILTER_CONSTANTS if work.weight_bytes else 1


def _row_bytes(work: Work) -> float:
    return work.output_bytes / max(1, work.output[0] * work.output[1])
