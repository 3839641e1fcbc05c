"""One tensor cut into several along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.facts import Role, Turned
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.graph import Ref
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.moments import Moments
from nnshell.ir.operator import Constants, Example, IntArray, Operator, Types, register
from nnshell.ir.permutations import Perm
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import Answer, RecordQuestion, RecordRule, agree, compatible
from nnshell.ir.requests import Range
from nnshell.ir.types import Layout, TensorType
from nnshell.lowering.moves import lower_split
from nnshell.ops.families.record_rules import BYTES, fresh_inputs
from nnshell.reading.registry import Value, imports
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph
    from nnshell.reading.context import ImportContext


@register
@dataclass(frozen=True)
class Split(Operator):
    """Output ``i`` takes ``sizes[i]`` elements of ``axis``, in order, and all are taken."""

    kind: ClassVar[str] = "split"
    keeps_record: ClassVar[bool] = True
    role: ClassVar[Role] = "cut"
    axis: int = 0
    sizes: tuple[int, ...] = ()

    @property
    def cut_axis(self) -> int:
        return self.axis

    @property
    def works_along(self) -> int:
        return self.axis

    def along(self, axis: int) -> Split:
        return replace(self, axis=axis)

    def moves_only(self, inputs: Types) -> bool:
        return True

    def keeps_memory(self, inputs: Types, outputs: Types) -> bool:
        return len(self.sizes) == 1

    def identity_reason(self, inputs: Types, constants: Constants) -> str:
        return "it has one part" if len(self.sizes) == 1 else ""

    @property
    def keeps_zero(self) -> bool:
        return True

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return inputs[0]

    def reordered(
        self, order: Perm, inputs: Types, outputs: Types, *, of_output: bool = False
    ) -> Turned | None:
        if len(order) != len(outputs[0].shape):
            return None
        return Turned(self.along(order.index(self.axis)), order, order)

    def channel_moments(
        self, known: Sequence[Moments | None], inputs: Types, constants: Constants
    ) -> Moments | None:
        if known[0] is None:
            return None
        return known[0] if self.axis else known[0].picked(slice(self.sizes[0]))

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        source = inputs[0]
        if not 0 <= self.axis < len(source.shape) or min(self.sizes, default=0) < 1:
            raise GraphError(f"split of {source} along axis {self.axis} into {self.sizes}")
        if sum(self.sizes) != source.shape[self.axis]:
            raise GraphError(f"split of {source.shape[self.axis]} elements into {self.sizes}")
        before, after = source.shape[: self.axis], source.shape[self.axis + 1 :]
        return tuple(TensorType((*before, n, *after), source.layout) for n in self.sizes)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"A {self.axis} into {', '.join(str(n) for n in self.sizes)}"

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        sizes = build.constant(np.array(self.sizes, np.int64), "sizes")
        count = len(self.sizes)
        attributes = {"axis": self.axis + 1}
        return build.multi("Split", [inputs[0], sizes], count, attributes, hint=self.kind)

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return (RecordRule(_decide, BYTES, BYTES),)

    def integer_multi(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray]
    ) -> tuple[IntArray, ...]:
        ends = np.cumsum(self.sizes)[:-1]
        return tuple(np.split(inputs[0], ends, axis=self.axis + 1))

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        return lower_split(self, build, inputs[0], outputs)

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((5, 4, 6), Layout.CHW)
        return [
            Example(cls(0, (2, 3)), (image,), (), "channels"),
            Example(cls(2, (1, 2, 3)), (image,), (), "columns"),
            Example(cls(0, (1, 1)), (TensorType((2,)),), (), "vector"),
            Example(cls(1, (4,)), (image,), (), "one part"),
        ]


def _decide(question: RecordQuestion) -> Answer | None:
    """All parts and the whole have one record: a pinned one from above, else the first wish."""
    value = fresh_inputs(question)[0]
    wishes = [wish for wish in question.wishes if wish is not None]
    if wishes and not agree(wishes):
        return None
    if wishes and value.pins and not compatible(wishes[0], (value,)):
        return None
    common = value if value.pins or not wishes else wishes[0]
    return Answer((common.copy(),), tuple(common.copy() for _ in question.output_types))


@imports("Split")
def import_split(ctx: ImportContext) -> None:
    value = ctx.value(0)
    axis = ctx.inner_axis(ctx.integer("axis", 0), value)
    sizes = _sizes(ctx, value, axis)
    if len(sizes) == 1:
        ctx.produce_value(value)
        return
    split = ctx.add(Split(axis, sizes), [value.ref])
    for output in range(len(sizes)):
        ctx.produce(Ref(split.node, output), value.batch, output=output)


def _sizes(ctx: ImportContext, value: Value, axis: int) -> tuple[int, ...]:
    """As given, or equal parts of which the last may be smaller."""
    argument = ctx.integers_in(1) or ctx.integers("split")
    if argument is not None:
        return argument
    extent, count = value.inner[axis], len(ctx.node.outputs)
    part = -(-extent // count)
    return (*(part for _ in range(count - 1)), extent - part * (count - 1))
