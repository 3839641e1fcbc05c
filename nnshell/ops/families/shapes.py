"""Shape rules and byte counts that several operators share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Window
from nnshell.support.errors import GraphError

INFOS_BYTES = 13  # the table of bounds and multipliers that each computing kernel is given
CHANNEL_BYTES = 4 + 1 + 1  # int32 bias, uint8 multiplier, int8 shift of one output channel


def feature_map(tensor: TensorType, kind: str) -> tuple[int, int, int]:
    """(channels, height, width) of a tensor that must have three axes."""
    if len(tensor.shape) != 3:
        raise GraphError(f"{kind} needs channels x height x width, not {tensor}")
    channels, height, width = tensor.shape
    return channels, height, width


def windowed_map(window: Window, channels: int, height: int, width: int, kind: str) -> TensorType:
    """What ``window`` leaves of a feature map, with ``channels`` channels."""
    rows, columns = window.output_size(height, width)
    if rows < 1 or columns < 1:
        kernel = "x".join(str(n) for n in window.kernel)
        raise GraphError(f"{kind} {kernel} is larger than its padded {height}x{width} input")
    return TensorType((channels, rows, columns), Layout.CHW)


def describe_window(window: Window) -> str:
    """Kernel, strides and pads in NNTool's notation."""
    return f"F {_pair(window.kernel)} S {_pair(window.strides)} {describe_pads(window)}"


def describe_pads(window: Window) -> str:
    top, left, bottom, right = window.pads
    return f"P ({top}, {bottom})x({left}, {right}) zero"


def _pair(values: tuple[int, int]) -> str:
    return f"{values[0]}x{values[1]}"


def broadcast(shapes: Sequence[tuple[int, ...]], kind: str) -> tuple[int, ...]:
    """Numpy broadcasting of shapes without batch axis."""
    try:
        return tuple(int(n) for n in np.broadcast_shapes(*shapes))
    except ValueError:
        text = " and ".join("x".join(str(n) for n in shape) or "scalar" for shape in shapes)
        raise GraphError(f"{kind} cannot combine shapes {text}") from None


def broadcast_layout(inputs: Sequence[TensorType], shape: tuple[int, ...]) -> Layout:
    """Layout of a broadcast result: that of the first input that already has its shape."""
    known = (t.layout for t in inputs if t.shape == shape and t.layout is not Layout.NONE)
    return next(known, Layout.NONE)


def align_ranks(
    build: ForeignGraph, names: Sequence[str], types: Sequence[TensorType], rank: int
) -> list[str]:
    """Give each activation ``rank`` axes after its batch axis, so that ONNX aligns them right.

    Constants have no batch axis and are aligned as they are.
    """
    aligned = []
    for name, tensor in zip(names, types, strict=True):
        missing = rank - len(tensor.shape)
        if missing > 0 and not build.batchless(name):
            axes = build.constant(np.arange(1, missing + 1), "axes")
            name = build.node("Unsqueeze", [name, axes])
        aligned.append(name)
    return aligned
