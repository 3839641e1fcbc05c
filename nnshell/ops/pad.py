"""A border of a constant value around a tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.facts import Border, Role, Turned, including
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.graph import Ref
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.moments import Moments
from nnshell.ir.operator import Constants, Example, IntArray, Operator, Types, register
from nnshell.ir.permutations import Perm
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import Answer, RecordQuestion, RecordRule
from nnshell.ir.requests import Range
from nnshell.ir.types import Layout, TensorType
from nnshell.lowering.moves import lower_border
from nnshell.numeric.records import asymmetric_record, loss, symmetric_record
from nnshell.ops.families.record_rules import MOVES, decide_moves, plain
from nnshell.ops.rearranging import mirrored
from nnshell.ops.strided_slice import StridedSlice
from nnshell.reading.registry import Unsupported, Value, imports
from nnshell.reading.spatial import Pads
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph
    from nnshell.reading.context import ImportContext

LOWEST = float(np.finfo(np.float32).min)  # a border that is never the maximum: no record holds it


@register
@dataclass(frozen=True)
class Pad(Operator):
    """``pads[i]`` elements (before, after) of ``value`` along axis i."""

    kind: ClassVar[str] = "pad"
    keeps_record: ClassVar[bool] = True
    role: ClassVar[Role] = "move"
    pads: tuple[tuple[int, int], ...] = ()
    value: float = 0.0

    def border(self) -> Border:
        return Border(self.pads, self.value)

    def identity_reason(self, inputs: Types, constants: Constants) -> str:
        return "" if self._grows else "it pads nothing"

    @property
    def _grows(self) -> bool:
        return any(max(pair) for pair in self.pads)

    @property
    def keeps_zero(self) -> bool:
        return self.value == 0 or not self._grows

    def scales_along(self, axis: int) -> bool:
        return self.keeps_zero and self.pads[axis] == (0, 0)

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return including(inputs[0].minimum, inputs[0].maximum, self.value)

    def reordered(
        self, order: Perm, inputs: Types, outputs: Types, *, of_output: bool = False
    ) -> Turned | None:
        if len(order) != len(self.pads):
            return None
        return Turned(replace(self, pads=tuple(self.pads[a] for a in order)), order, order)

    def channel_moments(
        self, known: Sequence[Moments | None], inputs: Types, constants: Constants
    ) -> Moments | None:
        """The border's share of each channel, and channels that are nothing else."""
        if known[0] is None or not self.pads:
            return None
        share = math.prod(inputs[0].shape[1:]) / math.prod(self.infer(inputs)[0].shape[1:])
        inside = known[0].mixed(self.value, share)
        mean = np.pad(inside.mean, self.pads[0], constant_values=self.value)
        return Moments(mean, np.pad(inside.variance, self.pads[0]))

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        source = inputs[0]
        if len(self.pads) != len(source.shape) or min(min(p) for p in self.pads) < 0:
            raise GraphError(f"pad {self.pads} of {source}")
        extents = zip(source.shape, self.pads, strict=True)
        return (TensorType(tuple(n + sum(pads) for n, pads in extents), source.layout),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        borders = "x".join(f"({before}, {after})" for before, after in self.pads)
        return f"Pad {borders} {'zero' if self.value == 0 else f'{self.value:g}'}"

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        before, after = zip(*self.pads, strict=True)
        pads = build.constant(np.array([0, *before, 0, *after], np.int64), "pads")
        value = build.constant(np.float32(self.value), "value")
        return (build.node("Pad", [inputs[0], pads, value], hint=self.kind),)

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return (replace(MOVES, decide=self._decide),)

    def _decide(self, question: RecordQuestion) -> Answer | None:
        """Moved like anything else, in a record that holds the border's value, too."""
        result = decide_moves(question)
        border = self.output_range(None)
        if result is None or border is None or question.wish is not None:
            return result
        source = result.inputs[0]
        if loss(source.params, border) <= 0 or source.pins or source.dtype != "int8":
            return result
        low = min(source.nominal.minimum, border.minimum)
        high = max(source.nominal.maximum, border.maximum)
        make = asymmetric_record if source.asymmetric else symmetric_record
        wider = make(Range(low, high), f"node {question.path}", bits=source.params.bits)
        return Answer((plain(wider),), (plain(wider),))

    def output_range(self, observed: Range | None) -> Range | None:
        """The border's value, which the record of the input must hold as well."""
        if self.value <= LOWEST:
            return Range(0.0, 0.0)  # its integer is the smallest there is
        return Range(min(self.value, 0.0), max(self.value, 0.0))

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        border = quantization.output.quantize(np.array([self.value], np.float32))
        return np.pad(inputs[0], ((0, 0), *self.pads), constant_values=border[0])

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        border = int(quantization.output.quantize(np.array([self.value], np.float32))[0])
        return (lower_border(build, inputs[0], self.pads, border),)

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((3, 4, 5), Layout.CHW)
        return [
            Example(cls(((0, 0), (1, 1), (2, 2))), (image,), (), "border"),
            Example(cls(((1, 2), (0, 0), (0, 0))), (image,), (), "channels"),
            Example(cls(((0, 0), (0, 1), (1, 0)), -1.5), (image,), (), "other value"),
            Example(cls(((0, 0), (0, 0), (0, 0)), 2.0), (image,), (), "nothing"),
        ]


@imports("Pad")
def import_pad(ctx: ImportContext) -> None:
    """Borders that are constant or of the tensor's own elements; negative ones crop."""
    value = ctx.value(0)
    mode = ctx.text("mode", "constant", ("constant", "reflect", "edge"))
    fill = ctx.tensor(2)
    number = 0.0 if fill is None or not fill.size else float(fill.reshape(-1)[0])
    if not np.isfinite(number):
        raise Unsupported(f"constant_value = {number}", accepted="a finite number")
    pads = _borders(ctx, value)
    crops = [(max(-before, 0), max(-after, 0)) for before, after in pads]
    grows = tuple((max(before, 0), max(after, 0)) for before, after in pads)
    ref = value.ref
    if mode != "constant" and any(max(crop) for crop in crops):
        raise Unsupported(f"pads that crop, mode = {mode}", accepted="pads of 0 or more")
    if any(max(crop) for crop in crops):
        starts = tuple(before for before, _ in crops)
        ends = tuple(n - after for n, (_, after) in zip(value.inner, crops, strict=True))
        suffix = "_crop" if any(max(grow) for grow in grows) else ""
        ref = ctx.add(StridedSlice(starts, ends, (1,) * len(starts)), [ref], suffix)
    if mode != "constant":
        ref = mirrored(ctx, ref, grows, mode)
    elif any(max(grow) for grow in grows):
        ref = ctx.add(Pad(grows, number), [ref])
    ctx.produce(ref, value.batch)


def _borders(ctx: ImportContext, value: Value) -> list[tuple[int, int]]:
    """(before, after) for each axis of the graph's shape."""
    rank = len(value.shape)
    pads = ctx.integers_in(1) or ctx.integers("pads") or ()
    axes = ctx.integers_in(3) or tuple(range(rank))
    if len(pads) != 2 * len(axes):
        raise Unsupported(f"pads = {list(pads)}", accepted=f"{2 * len(axes)} numbers")
    borders = [(0, 0)] * rank
    for position, axis in enumerate(axes):
        borders[ctx.axis(axis, rank)] = (pads[position], pads[position + len(axes)])
    if value.batch is not None and borders.pop(value.batch) != (0, 0):
        raise Unsupported(f"pads = {list(pads)} pad the batch axis", accepted="0 there")
    return borders


NO_BORDER: Pads = (0, 0, 0, 0)


def absorbed(ctx: ImportContext, ref: Ref) -> tuple[Ref, Pads]:
    """What stands before a border of zeros around a feature map, and the border.

    ``ref`` itself and no border where there is none, or one of another kind.
    """
    node = ctx.graph[ref.node]
    border = node.op.border()
    if border is None or border.value != 0 or border.spatial is None:
        return ref, NO_BORDER
    return node.inputs[0], border.spatial


def note_border(ctx: ImportContext, made: Ref, pad: Ref, border: Pads) -> None:
    """Remember for explanations that ``made`` pads its input in place of the node ``pad``."""
    if any(border):
        ctx.note_absorbed(made.node, pad.node, "became padding of")
