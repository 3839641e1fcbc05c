"""Every n-th element of a range along each axis, possibly backwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.errors import GraphError
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.operator import Example, IntArray, Operator, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.types import Layout, TensorType

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph

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

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        given = inputs[0]
        if not len(given.shape) == len(self.starts) == len(self.ends) == len(self.strides):
            raise GraphError(f"strided_slice of {given} with {len(self.starts)} starts")
        limits = zip(given.shape, self.starts, self.ends, self.strides, strict=True)
        shape = tuple(_count(*limit) for limit in limits)
        return (TensorType(shape, given.layout),)

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
        limits = zip(self.starts, self.ends, self.strides, strict=True)
        axes = (slice(start, end if end >= 0 else None, stride) for start, end, stride in limits)
        return inputs[0][(slice(None), *axes)]

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((3, 8, 9), Layout.CHW)
        return [
            Example(cls((0, 2, 1), (3, 7, 9), (1, 1, 1)), (image,), (), "crop"),
            Example(cls((0, 0, 0), (3, 8, 9), (1, 2, 2)), (image,), (), "every second"),
            Example(cls((2, 7, 0), (-1, 0, 9), (-1, -3, 4)), (image,), (), "backwards"),
            Example(cls((1,), (2,), (1,)), (TensorType((2,)),), (), "one element"),
        ]


def _count(extent: int, start: int, end: int, stride: int) -> int:
    """Elements taken of one axis."""
    inside = 0 <= start < extent and (end <= extent if stride > 0 else end >= -1)
    count = -(-(end - start) // stride) if stride else 0
    if not inside or count < 1:
        raise GraphError(f"strided_slice {start}:{end}:{stride} of an axis of {extent} elements")
    return count
