"""What add, sub, mul and div share: two operands, numpy broadcasting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.facts import Turned
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.graph import Ref
from nnshell.ir.operator import Example, Operator, Types
from nnshell.ir.permutations import Perm
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import ONE_BYTE, ElementBytes, Work
from nnshell.ops.families.shapes import INFOS_BYTES, align_ranks, broadcast, broadcast_layout
from nnshell.ops.resize import NearestNeighborResizer
from nnshell.reading.registry import Unsupported, Value

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph
    from nnshell.reading.context import ImportContext

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Arithmetic(Operator):
    """y = x0 (op) x1 for each element; either operand may be a constant."""

    onnx_op: ClassVar[str] = ""

    def reordered(
        self, order: Perm, inputs: Types, outputs: Types, *, of_output: bool = False
    ) -> Turned | None:
        return Turned(self, order, order) if len(order) == len(outputs[0].shape) else None

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        shape = broadcast([t.shape for t in inputs], self.kind)
        return (TensorType(shape, broadcast_layout(inputs, shape)),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return self.kind

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        return Work.of_maps("elementwise", inputs, outputs, stored, constant_bytes=INFOS_BYTES)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        operands = align_ranks(build, inputs, types, len(outputs[0].shape))
        return (build.node(self.onnx_op, operands, hint=self.kind),)

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((3, 4, 5), Layout.CHW)
        vector = TensorType((6,))
        channel = np.array([0.5, -1.5, 2.0], np.float32).reshape(3, 1, 1)
        per_channel = TensorType(channel.shape)
        return [
            Example(cls(), (image, image), (), "two feature maps"),
            Example(cls(), (vector, vector), (), "two vectors"),
            Example(cls(), (image, per_channel), (None, channel), "constant per channel"),
            Example(cls(), (per_channel, image), (channel, None), "constant first"),
            Example(cls(), (image, TensorType((5,))), (), "a vector along the width"),
            Example(cls(), (image, TensorType((3, 1, 1), Layout.CHW)), (), "a gate per channel"),
        ]


def import_arithmetic(ctx: ImportContext, op: Arithmetic) -> None:
    """Import a node with two operands, constants or not, that the file broadcasts."""
    refs, batch = operands(ctx)
    ctx.produce(ctx.add(op, refs), batch)


def operands(ctx: ImportContext) -> tuple[list[Ref], int | None]:
    """The node's inputs without batch axis, constants added to the graph, and where that axis is.

    The file aligns shapes from the right with the batch axis among the others.
    """
    indices = range(len(ctx.node.inputs))
    values = {index: ctx.value(index) for index in indices if not ctx.is_constant(index)}
    constants = {index: ctx.weights(index) for index in indices if index not in values}
    ranks = [len(value.shape) for value in values.values()]
    rank = max([*ranks, *(array.ndim for array in constants.values())])
    results = [rank - len(v.shape) + v.batch for v in values.values() if v.batch is not None]
    batch = min(results, default=None)
    whole = [value.shape for value in values.values() if _spread_from(ctx, value) is None]
    refs = []
    for index in indices:
        if index in values:
            value = _unspread(ctx, values[index], whole)
            refs.append(_without_batch_axis(ctx, value, batch, rank))
        else:
            array = without_batch(constants[index], batch, rank)
            refs.append(ctx.named_constant(index, array))
    return refs, batch


def _unspread(ctx: ImportContext, value: Value, whole: Sequence[tuple[int, ...]]) -> Value:
    """One number per channel in place of a map full of it, beside a map as large: it broadcasts."""
    source = _spread_from(ctx, value)
    if source is None or value.shape not in whole:
        return value
    return replace(value, ref=source, shape=(*value.shape[:2], 1, 1))


def _spread_from(ctx: ImportContext, value: Value) -> Ref | None:
    """The tensor of one number per channel that was written all over a feature map, if it was."""
    node = ctx.graph[value.ref.node]
    if not isinstance(node.op, NearestNeighborResizer) or len(value.shape) != 4 or value.batch != 0:
        return None
    source = node.inputs[0]
    return source if ctx.graph.type_of(source).chw[1:] == (1, 1) else None


def _without_batch_axis(ctx: ImportContext, value: Value, batch: int | None, rank: int) -> Ref:
    own = -1 if batch is None else batch - (rank - len(value.shape))
    return ctx.at_batch(value, own if own >= 0 else None)


def without_batch(array: FloatArray, batch: int | None, rank: int) -> FloatArray:
    """A constant that is broadcast to ``rank`` axes, without the one at ``batch``."""
    axis = -1 if batch is None else batch - (rank - array.ndim)
    if axis < 0:
        return array
    first = array.take(0, axis)
    if not np.array_equal(np.broadcast_to(np.expand_dims(first, axis), array.shape), array):
        text = "x".join(str(n) for n in array.shape)
        raise Unsupported(f"its constant of shape {text} differs from sample to sample")
    return np.asarray(first)
