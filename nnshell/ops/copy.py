"""A second tensor with the same contents, where a consumer needs memory of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nnshell.ir.facts import Role, Turned
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.moments import Moments
from nnshell.ir.operator import Constants, Example, IntArray, Operator, Types, register
from nnshell.ir.permutations import Perm
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import Range
from nnshell.ir.types import Layout, TensorType

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph


@register
@dataclass(frozen=True)
class Copy(Operator):
    """y = x"""

    kind: ClassVar[str] = "copy"
    role: ClassVar[Role] = "move"
    keeps_record: ClassVar[bool] = True
    copies: ClassVar[bool] = True
    on_edge: ClassVar[bool] = True

    def moves_only(self, inputs: Types) -> bool:
        return True

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return inputs[0]

    @property
    def keeps_zero(self) -> bool:
        return True

    def reordered(
        self, order: Perm, inputs: Types, outputs: Types, *, of_output: bool = False
    ) -> Turned | None:
        return Turned(self, order, order) if len(order) == len(outputs[0].shape) else None

    def channel_moments(
        self, known: Sequence[Moments | None], inputs: Types, constants: Constants
    ) -> Moments | None:
        return known[0]

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        return (TensorType(inputs[0].shape, inputs[0].layout),)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("Identity", inputs, hint=self.kind),)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        return inputs[0]

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        return (inputs[0],)

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(cls(), (TensorType((3, 4, 5), Layout.CHW),))]
