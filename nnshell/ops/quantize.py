"""From one quantization record to another; in float it changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.operator import Example, Operator, Types, register
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Work

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph


@register
@dataclass(frozen=True)
class Quantize(Operator):
    """The same real numbers with another scale, zero point or element type."""

    kind: ClassVar[str] = "quantize"

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        return (TensorType(inputs[0].shape, inputs[0].layout),)

    def work(self, inputs: Types, outputs: Types, body: Graph | None = None) -> Work:
        shape = outputs[0].chw
        size = outputs[0].size
        return Work("convert", (shape,), shape, shape, input_bytes=(size,), output_bytes=size)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("Identity", inputs, hint=self.kind),)

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(cls(), (TensorType((3, 4, 5), Layout.CHW),))]
