"""A second tensor with the same contents, where a consumer needs memory of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import Example, IntArray, Operator, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.types import Layout, TensorType

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph


@register
@dataclass(frozen=True)
class Copy(Operator):
    """y = x"""

    kind: ClassVar[str] = "copy"
    keeps_record: ClassVar[bool] = True

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
