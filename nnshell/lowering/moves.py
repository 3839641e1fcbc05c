"""Operators that only move integers, lowered: on the narrow tensor where there is one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.integer_graph import CannotLower, IntegerGraph, IntegerTensor
from nnshell.ir.moving import moved, narrowest
from nnshell.ir.operator import Operator, Types
from nnshell.ir.types import TensorType


def lower_split(
    op: Operator, build: IntegerGraph, x: IntegerTensor, outputs: Types
) -> tuple[IntegerTensor, ...]:
    """The parts, in the narrowest type that the tensor exists in."""
    names = op.to_onnx(build, [narrowest(x)], (TensorType(x.shape),), outputs)
    return tuple(
        moved(build, x, name, kind.shape) for name, kind in zip(names, outputs, strict=True)
    )


def lower_pick(
    build: IntegerGraph, x: IntegerTensor, indices: NDArray[np.int64], axis: int
) -> IntegerTensor:
    """Elements of one axis by index; ``axis`` counts the samples' axis."""
    name = build.node("Gather", [narrowest(x), build.constant(indices, "indices")], {"axis": axis})
    shape = list(x.shape)
    shape[axis - 1] = indices.size
    return moved(build, x, name, tuple(shape))


def lower_border(
    build: IntegerGraph,
    x: IntegerTensor,
    pads: Sequence[tuple[int, int]],
    border: int,
) -> IntegerTensor:
    """``border`` around every axis but the samples'."""
    before, after = zip(*pads, strict=True)
    extents = build.constant(np.array([0, *before, 0, *after], np.int64), "pads")
    dtype = x.narrow_type if x.narrow else "float64" if x.wide else "float32"
    value = build.constant(np.array(border, dtype), "border")
    name = build.node("Pad", [narrowest(x), extents, value])
    shape = tuple(n + sum(pair) for n, pair in zip(x.shape, pads, strict=True))
    return moved(build, x, name, shape, min(x.low, border), max(x.high, border))


def lower_concat(
    build: IntegerGraph, inputs: Sequence[IntegerTensor], axis: int, shape: tuple[int, ...]
) -> IntegerTensor:
    """One after the other; constants are repeated for every sample."""
    varying = [x for x in inputs if not x.constant]
    if not varying:
        raise CannotLower("a concat of constants only")
    types = {x.narrow_type for x in varying if x.narrow}
    dtype = types.pop() if len(types) == 1 and all(x.narrow for x in varying) else ""
    if not dtype and any(x.wide for x in inputs):
        inputs = [build.widened(x) for x in inputs]
    names = []
    for x in inputs:
        name = (x.narrow or build.cast(x.name, dtype)) if dtype else x.name
        names.append(_repeated(build, name, x.shape, varying[0].name) if x.constant else name)
    joined = build.node("Concat", names, {"axis": axis + 1})
    low, high = min(x.low for x in inputs), max(x.high for x in inputs)
    if dtype:
        return build.from_narrow(joined, shape, low, high, dtype)
    return IntegerTensor(joined, shape, low, high, inputs[0].wide)


def _repeated(build: IntegerGraph, name: str, shape: tuple[int, ...], like: str) -> str:
    """A constant with as many samples as ``like``."""
    samples = build.node("Shape", [like], {"start": 0, "end": 1})
    extents = build.constant(np.array(shape, np.int64), "extents")
    return build.node("Expand", [name, build.node("Concat", [samples, extents], {"axis": 0})])
