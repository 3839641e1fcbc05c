"""Axes in another order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nnshell.ir.facts import Role
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.moments import Moments
from nnshell.ir.moving import lower_move
from nnshell.ir.operator import Constants, Example, IntArray, Operator, Types, register
from nnshell.ir.permutations import Perm, identity, moves_nothing
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import Range
from nnshell.ir.types import Layout, TensorType
from nnshell.reading.registry import imports
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph
    from nnshell.reading.context import ImportContext

_LAYOUTS: dict[tuple[Layout, tuple[int, ...]], Layout] = {
    (Layout.CHW, (1, 2, 0)): Layout.HWC,
    (Layout.HWC, (2, 0, 1)): Layout.CHW,
}


@register
@dataclass(frozen=True)
class Transpose(Operator):
    """Axis ``i`` of the result is axis ``perm[i]`` of the input (no batch axis)."""

    kind: ClassVar[str] = "transpose"
    keeps_record: ClassVar[bool] = True
    role: ClassVar[Role] = "move"
    perm: tuple[int, ...] = (1, 0)

    @property
    def permutation(self) -> Perm:
        return self.perm

    def moves_only(self, inputs: Types) -> bool:
        return True

    def keeps_memory(self, inputs: Types, outputs: Types) -> bool:
        return moves_nothing(inputs[0].shape, self.perm)

    def identity_reason(self, inputs: Types, constants: Constants) -> str:
        return "the order of axes stays" if self.perm == identity(len(self.perm)) else ""

    @property
    def keeps_zero(self) -> bool:
        return True

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return inputs[0]

    def channel_moments(
        self, known: Sequence[Moments | None], inputs: Types, constants: Constants
    ) -> Moments | None:
        """Those of the input while its channels stay before."""
        return known[0] if self.perm[:1] == (0,) else None

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        source = inputs[0]
        if sorted(self.perm) != list(range(len(source.shape))):
            raise GraphError(f"transpose {self.perm} of {source}")
        layout = _LAYOUTS.get((source.layout, self.perm), Layout.NONE)
        if self.perm == tuple(range(len(self.perm))):
            layout = source.layout
        return (TensorType(tuple(source.shape[axis] for axis in self.perm), layout),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"T {','.join(str(axis) for axis in self.perm)}"

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        perm = [0, *(axis + 1 for axis in self.perm)]
        return (build.node("Transpose", inputs, {"perm": perm}, hint=self.kind),)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        return inputs[0].transpose(0, *(axis + 1 for axis in self.perm))

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
        return [
            Example(cls((1, 2, 0)), (TensorType((3, 4, 5), Layout.CHW),), (), "to HWC"),
            Example(cls((2, 0, 1)), (TensorType((4, 5, 3), Layout.HWC),), (), "to CHW"),
            Example(cls((1, 0)), (TensorType((6, 2)),), (), "matrix"),
            Example(cls((3, 1, 0, 2)), (TensorType((2, 3, 4, 5)),), (), "four axes"),
            Example(cls((0, 2, 1)), (TensorType((3, 4, 5), Layout.CHW),), (), "in each channel"),
            Example(cls((0, 1, 2)), (TensorType((3, 4, 5), Layout.CHW),), (), "nothing"),
            Example(cls((1, 0, 2)), (TensorType((3, 1, 5), Layout.CHW),), (), "an axis of one"),
        ]


@imports("Transpose")
def import_transpose(ctx: ImportContext) -> None:
    value = ctx.any_value(0)
    rank = len(value.shape)
    perm = ctx.integers("perm") or tuple(reversed(range(rank)))
    if sorted(perm) != list(range(rank)):
        ctx.refuse("perm", accepted=f"each of {rank} axes once")
    batch = None if value.batch is None else perm.index(value.batch)
    inner = tuple(ctx.inner_axis(axis, value) for axis in perm if axis != value.batch)
    ref = value.ref
    if inner != tuple(range(len(inner))):
        ref = ctx.add(Transpose(inner), [ref])
    ctx.produce(ref, batch, dtype=value.dtype)
