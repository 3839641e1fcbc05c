"""Tensors one after the other along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.facts import Role, Turned, union
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.moments import Moments, joined
from nnshell.ir.operator import Constants, Example, IntArray, Operator, Types, register
from nnshell.ir.permutations import Perm
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import Answer, Record, RecordQuestion, RecordRule, agree, compatible
from nnshell.ir.requests import Range
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import ONE_BYTE, ElementBytes, Work
from nnshell.lowering.moves import lower_concat
from nnshell.numeric.records import LARGEST_LOSS, asymmetric_record, loss, symmetric_record
from nnshell.ops.families.arithmetic import without_batch
from nnshell.ops.families.record_rules import fresh_inputs, plain
from nnshell.reading.registry import Unsupported, imports
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph
    from nnshell.reading.context import ImportContext


@register
@dataclass(frozen=True)
class Concat(Operator):
    """Joins its inputs along ``axis``; all other extents are equal."""

    kind: ClassVar[str] = "concat"
    keeps_record: ClassVar[bool] = True
    role: ClassVar[Role] = "join"
    axis: int = 0

    @property
    def joined_axis(self) -> int:
        return self.axis

    @property
    def works_along(self) -> int:
        return self.axis

    def along(self, axis: int) -> Concat:
        return Concat(axis)

    def moves_only(self, inputs: Types) -> bool:
        return len(inputs) == 1

    def keeps_memory(self, inputs: Types, outputs: Types) -> bool:
        return len(inputs) == 1

    def identity_reason(self, inputs: Types, constants: Constants) -> str:
        return "it has one part" if len(inputs) == 1 else ""

    @property
    def keeps_zero(self) -> bool:
        return True

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return union(inputs)

    def reordered(
        self, order: Perm, inputs: Types, outputs: Types, *, of_output: bool = False
    ) -> Turned | None:
        if len(order) != len(outputs[0].shape):
            return None
        return Turned(self.along(order.index(self.axis)), order, order)

    def channel_moments(
        self, known: Sequence[Moments | None], inputs: Types, constants: Constants
    ) -> Moments | None:
        parts = [moments for moments in known if moments is not None]
        if self.axis or len(parts) != len(known):
            return parts[0] if parts and len(known) == 1 else None
        return joined(parts)

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        first = inputs[0]
        if not 0 <= self.axis < len(first.shape):
            raise GraphError(f"concat along axis {self.axis} of {first}")
        others = {self._without_axis(t) for t in inputs}
        if len(others) != 1:
            shapes = ", ".join(str(t) for t in inputs)
            raise GraphError(f"concat along axis {self.axis} of {shapes}")
        shape = list(first.shape)
        shape[self.axis] = sum(t.shape[self.axis] for t in inputs)
        layouts = {t.layout for t in inputs}
        layout = layouts.pop() if len(layouts) == 1 else Layout.NONE
        return (TensorType(tuple(shape), layout),)

    def _without_axis(self, source: TensorType) -> tuple[int, ...]:
        return (*source.shape[: self.axis], -1, *source.shape[self.axis + 1 :])

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"A {self.axis}"

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        return Work.of_maps("move", inputs, outputs, stored)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        activation = next((n for n in inputs if not build.batchless(n)), "")
        joined = [
            _for_each_sample(build, name, value, activation) if build.batchless(name) else name
            for name, value in zip(inputs, types, strict=True)
        ]
        return (build.node("Concat", joined, {"axis": self.axis + 1}, hint=self.kind),)

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return (RecordRule(decide_common),)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        samples = max(array.shape[0] for array in inputs)
        parts = [np.broadcast_to(array, (samples, *array.shape[1:])) for array in inputs]
        return np.concatenate(parts, axis=self.axis + 1)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        return (lower_concat(build, inputs, self.axis, outputs[0].shape),)

    @classmethod
    def examples(cls) -> list[Example]:
        small, large = TensorType((2, 4, 5), Layout.CHW), TensorType((3, 4, 5), Layout.CHW)
        value = np.random.default_rng(1).normal(size=(2, 4, 5)).astype(np.float32)
        return [
            Example(cls(0), (small, large), (), "channels"),
            Example(cls(2), (small, TensorType((2, 4, 1), Layout.CHW)), (), "columns"),
            Example(cls(0), (TensorType((3,)), TensorType((4,)), TensorType((1,))), (), "vectors"),
            Example(cls(0), (large, TensorType((2, 4, 5))), (None, value), "with a constant"),
            Example(cls(1), (small,), (), "one part"),
        ]


def decide_common(question: RecordQuestion) -> Answer | None:
    """All inputs get the record with the largest scale, also where others are pinned.

    A wish is heard when it comes from below and is pinned itself.
    """
    inputs, wish = fresh_inputs(question), question.wish
    pinned = [record for record in inputs if record.pins]
    if pinned and not agree(pinned):
        return None
    if wish is not None and not compatible(wish, pinned):
        return None
    if wish is not None and question.upwards and _insists(wish, inputs):
        return Answer(tuple(wish.copy() for _ in inputs), (wish.copy(),))
    if all(record.equals(inputs[0]) for record in inputs):
        return Answer(inputs, (inputs[0].copy(),))
    common = _common_record(question, inputs)
    return Answer(tuple(common.copy() for _ in inputs), (common.copy(),))


def _insists(wish: Record, inputs: Sequence[Record]) -> bool:
    other_type = any(record.dtype != wish.dtype for record in inputs)
    return bool(wish.pins & {"zero_point", "scale"}) or ("type" in wish.pins and other_type)


def _common_record(question: RecordQuestion, inputs: Sequence[Record]) -> Record:
    """The one with the largest scale; where that leaves next to nothing of another, all joined.

    NNTool has no such limit: of ranges on both sides of zero it loses one.
    """
    largest = max(inputs, key=lambda record: record.params.first_scale)
    losses = [loss(largest.params, record.nominal) for record in inputs]
    if max(losses) <= LARGEST_LOSS:
        return largest
    both = union([record.nominal for record in inputs])
    make = asymmetric_record if largest.asymmetric else symmetric_record
    return plain(make(both, f"node {question.path}", bits=largest.params.bits))


def _for_each_sample(build: ForeignGraph, name: str, source: TensorType, activation: str) -> str:
    """Repeat a constant along the batch axis of ``activation``."""
    batch = build.node("Shape", [activation], {"start": 0, "end": 1})
    extents = build.constant(np.array(source.shape, np.int64), "extents")
    return build.node("Expand", [name, build.node("Concat", [batch, extents], {"axis": 0})])


@imports("Concat")
def import_concat(ctx: ImportContext) -> None:
    indices = range(len(ctx.node.inputs))
    values = {index: ctx.value(index) for index in indices if not ctx.is_constant(index)}
    rank = len(next(iter(values.values())).shape)
    axis = ctx.axis(ctx.integer("axis", 0), rank)
    batch = next((v.batch for v in values.values() if v.batch is not None), None)
    if axis == batch:
        if ctx.batch_size != 1:
            raise Unsupported(f"axis = {axis} is the batch axis", accepted="any other axis")
        batch = None
    refs = []
    for index in indices:
        if index in values:
            refs.append(ctx.at_batch(values[index], batch))
        else:
            array = without_batch(ctx.weights(index), batch, rank)
            refs.append(ctx.named_constant(index, array))
    inner = axis - (batch is not None and axis > batch)
    joined = refs[0] if len(refs) == 1 else ctx.add(Concat(inner), refs)
    ctx.produce(joined, batch)
