"""Softmax: y_i = exp(x_i) / sum over the axis of exp(x_j)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nnshell.errors import GraphError
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.operator import Example, Operator, Types, register
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Work
from nnshell.ops.common import INFOS_BYTES

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph


@register
@dataclass(frozen=True)
class Softmax(Operator):
    """y_i = exp(x_i) / sum_j exp(x_j) along ``axis`` (the graph has no batch axis)."""

    kind: ClassVar[str] = "softmax"
    axis: int = 0

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        given = inputs[0]
        if not 0 <= self.axis < len(given.shape):
            raise GraphError(f"softmax along axis {self.axis} of {given}")
        return (TensorType(given.shape, given.layout),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"Beta 0.0 Axis {self.axis} Op:"

    def work(self, inputs: Types, outputs: Types, body: Graph | None = None) -> Work:
        shape = outputs[0].chw
        size = outputs[0].size
        return Work(
            "softmax",
            (shape,),
            shape,
            shape,
            input_bytes=(size,),
            output_bytes=2 * size,  # int16 (Q15)
            constant_bytes=INFOS_BYTES,
        )

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("Softmax", inputs, {"axis": self.axis + 1}, hint=self.kind),)

    @classmethod
    def examples(cls) -> list[Example]:
        return [
            Example(cls(0), (TensorType((10,)),), (), "vector"),
            Example(cls(1), (TensorType((6, 2)),), (), "rows"),
            Example(cls(0), (TensorType((3, 4, 5), Layout.CHW),), (), "channels"),
        ]
