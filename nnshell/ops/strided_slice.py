"""Every n-th element of a range along each axis, possibly backwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.facts import Turned
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.graph import Ref
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.moments import Moments
from nnshell.ir.moving import lower_move
from nnshell.ir.operator import Constants, Example, IntArray, Operator, Types, register
from nnshell.ir.permutations import Perm, permuted
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import Range
from nnshell.ir.types import Layout, TensorType
from nnshell.ops.concat import Concat
from nnshell.reading.registry import Unsupported, Value, imports, without
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph
    from nnshell.reading.context import ImportContext

_BEFORE_FIRST = -(1 << 31)  # ONNX takes -1 as the last element, this as "before the first"


@register
@dataclass(frozen=True)
class StridedSlice(Operator):
    """Along axis i: starts[i], starts[i] + strides[i], ... up to but not including ends[i].

    One entry per axis. ``starts`` lie inside the axis; ``ends`` are at most the extent, or at
    least -1 (before the first element) when the stride is negative.
    """

    kind: ClassVar[str] = "strided_slice"
    keeps_record: ClassVar[bool] = True
    starts: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()

    def taken(self) -> tuple[slice, ...]:
        limits = zip(self.starts, self.ends, self.strides, strict=True)
        return tuple(slice(start, end if end >= 0 else None, step) for start, end, step in limits)

    def moves_only(self, inputs: Types) -> bool:
        return True

    def keeps_memory(self, inputs: Types, outputs: Types) -> bool:
        return self._takes_all(inputs[0])

    def identity_reason(self, inputs: Types, constants: Constants) -> str:
        return "it takes everything" if self._takes_all(inputs[0]) else ""

    def _takes_all(self, source: TensorType) -> bool:
        forwards = all(stride > 0 for stride in self.strides)
        return forwards and self.infer((source,))[0].shape == source.shape

    @property
    def keeps_zero(self) -> bool:
        return True

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return inputs[0]

    def reordered(
        self, order: Perm, inputs: Types, outputs: Types, *, of_output: bool = False
    ) -> Turned | None:
        if len(order) != len(self.starts):
            return None
        limits = (permuted(entry, order) for entry in (self.starts, self.ends, self.strides))
        return Turned(StridedSlice(*limits), order, order)

    def channel_moments(
        self, known: Sequence[Moments | None], inputs: Types, constants: Constants
    ) -> Moments | None:
        return None if known[0] is None or not self.starts else known[0].picked(self.taken()[0])

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        source = inputs[0]
        if not len(source.shape) == len(self.starts) == len(self.ends) == len(self.strides):
            raise GraphError(f"strided_slice of {source} with {len(self.starts)} starts")
        limits = zip(source.shape, self.starts, self.ends, self.strides, strict=True)
        shape = tuple(_count(*limit) for limit in limits)
        return (TensorType(shape, source.layout),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        limits = zip(self.starts, self.ends, self.strides, strict=True)
        return ", ".join(f"{start}:{end}:{stride}" for start, end, stride in limits)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        ends = [_BEFORE_FIRST if end < 0 else end for end in self.ends]
        axes = range(1, len(self.starts) + 1)
        limits = [
            build.constant(np.array(values, np.int64), hint)
            for values, hint in (
                (self.starts, "starts"),
                (ends, "ends"),
                (axes, "axes"),
                (self.strides, "strides"),
            )
        ]
        return (build.node("Slice", [inputs[0], *limits], hint=self.kind),)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        return inputs[0][(slice(None), *self.taken())]

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        return (lower_move(self, build, inputs[0], outputs[0].shape),)

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((3, 8, 9), Layout.CHW)
        return [
            Example(cls((0, 2, 1), (3, 7, 9), (1, 1, 1)), (image,), (), "crop"),
            Example(cls((0, 0, 0), (3, 8, 9), (1, 2, 2)), (image,), (), "every second"),
            Example(cls((2, 7, 0), (-1, 0, 9), (-1, -3, 4)), (image,), (), "backwards"),
            Example(cls((1,), (2,), (1,)), (TensorType((2,)),), (), "one element"),
            Example(cls((0, 0, 0), (3, 8, 9), (1, 1, 1)), (image,), (), "everything"),
            Example(cls((2, 0, 0), (-1, 8, 9), (-1, 1, 1)), (image,), (), "all of it backwards"),
        ]


def slicing(slices: Sequence[slice]) -> StridedSlice:
    """The operator that takes ``x[slices]``, as ``taken`` has them: a step each, None as "to 0"."""
    ends = tuple(-1 if entry.stop is None else entry.stop for entry in slices)
    return StridedSlice(
        tuple(entry.start for entry in slices), ends, tuple(entry.step for entry in slices)
    )


def _count(extent: int, start: int, end: int, stride: int) -> int:
    """Elements taken of one axis."""
    inside = 0 <= start < extent and (end <= extent if stride > 0 else end >= -1)
    count = -(-(end - start) // stride) if stride else 0
    if not inside or count < 1:
        raise GraphError(f"strided_slice {start}:{end}:{stride} of an axis of {extent} elements")
    return count


@imports("Slice")
def import_slice(ctx: ImportContext) -> None:
    value = ctx.value(0)
    rank = len(value.shape)
    starts, ends = ctx.integers_in(1) or (), ctx.integers_in(2) or ()
    axes = ctx.integers_in(3) or tuple(range(len(starts)))
    steps = ctx.integers_in(4) or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise Unsupported(f"starts {starts}, ends {ends}, axes {axes}, steps {steps}")
    limits = [(0, n, 1) for n in value.shape]
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        front = ctx.axis(axis, rank)
        limits[front] = _inside(value.shape[front], start, end, step)
    if value.batch is not None and limits.pop(value.batch) != (0, ctx.batch_size, 1):
        raise Unsupported("it takes some samples of the batch", accepted="all samples")
    whole = all(limit == (0, n, 1) for limit, n in zip(limits, value.inner, strict=True))
    ref = value.ref if whole else _add_slice(ctx, value.ref, limits)
    ctx.produce(ref, value.batch)


def _inside(extent: int, start: int, end: int, step: int) -> tuple[int, int, int]:
    """Limits as the file gives them (negative from the back, any size), inside the axis."""
    start += extent if start < 0 else 0
    end += extent if end < 0 else 0
    if step > 0:
        return max(min(start, extent), 0), max(min(end, extent), 0), step
    return max(min(start, extent - 1), 0), max(min(end, extent - 1), -1), step


def _add_slice(
    ctx: ImportContext, ref: Ref, limits: Sequence[tuple[int, int, int]], suffix: str = ""
) -> Ref:
    starts, ends, strides = zip(*limits, strict=True)
    return ctx.add(StridedSlice(starts, ends, strides), [ref], suffix)


_MOST_PIECES = 64  # of a list of indices; each becomes a slice


@imports("Gather")
def import_gather(ctx: ImportContext) -> None:
    """Constant indices: a slice for each run of evenly spaced indices, joined again."""
    value, indices = ctx.value(0), ctx.tensor(1)
    if indices is None:
        raise Unsupported("its indices are missing")
    front = ctx.axis(ctx.integer("axis", 0), len(value.shape))
    extent = value.shape[front]
    if np.any(indices < -extent) or np.any(indices >= extent) or not indices.size:
        raise Unsupported(f"indices {indices.tolist()}", accepted=f"{-extent} to {extent - 1}")
    if front == value.batch and ctx.batch_size == 1:
        _gather_samples(ctx, value, front, indices)
        return
    axis = ctx.inner_axis(front, value)
    inner = value.inner
    ref = _gathered(ctx, value.ref, inner, axis, [int(n) % extent for n in indices.reshape(-1)])
    batch = value.batch
    if batch is not None and batch > front:
        batch += indices.ndim - 1
    ctx.produce(ctx.reshaped(ref, (*inner[:axis], *indices.shape, *inner[axis + 1 :])), batch)


def _gather_samples(ctx: ImportContext, value: Value, front: int, indices: IntArray) -> None:
    """From a batch of 1: the sample itself, or as many copies as there are indices."""
    shape = (*value.shape[:front], *indices.shape, *value.shape[front + 1 :])
    if indices.size == 1:
        batch = front if indices.ndim else None
        ref = ctx.reshaped(value.ref, without(shape, batch))
        ctx.produce_value(Value(ref, shape, batch))
        return
    whole = ctx.at_batch(value, None)
    ref = _gathered(ctx, whole, value.shape, front, [0] * indices.size)
    ctx.produce(ctx.reshaped(ref, shape, "_shape"), None)


def _gathered(
    ctx: ImportContext, ref: Ref, inner: Sequence[int], axis: int, indices: list[int]
) -> Ref:
    runs = _runs(indices)
    if len(runs) > _MOST_PIECES:
        raise Unsupported(
            f"its {len(indices)} indices make {len(runs)} pieces", accepted=f"{_MOST_PIECES}"
        )
    pieces = []
    for number, run in enumerate(runs):
        limits = [(0, n, 1) for n in inner]
        limits[axis] = run
        pieces.append(_add_slice(ctx, ref, limits, f"_{number}" if len(runs) > 1 else ""))
    return pieces[0] if len(pieces) == 1 else ctx.add(Concat(axis), pieces)


def _runs(indices: list[int]) -> list[tuple[int, int, int]]:
    """Indices as (start, end, stride) of evenly spaced runs."""
    runs: list[tuple[int, int, int]] = []
    position = 0
    while position < len(indices):
        start = indices[position]
        stride = indices[position + 1] - start if position + 1 < len(indices) else 1
        count = 1
        while stride and indices[position + count : position + count + 1] == [
            start + count * stride
        ]:
            count += 1
        stride = stride if count > 1 else 1
        runs.append((start, start + (count - 1) * stride + (1 if stride > 0 else -1), stride))
        position += count
    return runs
