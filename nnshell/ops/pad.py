"""A border of a constant value around a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.errors import GraphError
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.operator import Example, IntArray, Operator, Range, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.types import Layout, TensorType

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph


@register
@dataclass(frozen=True)
class Pad(Operator):
    """``pads[i]`` elements (before, behind) of ``value`` along axis i."""

    kind: ClassVar[str] = "pad"
    keeps_record: ClassVar[bool] = True
    pads: tuple[tuple[int, int], ...] = ()
    value: float = 0.0

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        given = inputs[0]
        if len(self.pads) != len(given.shape) or min(min(p) for p in self.pads) < 0:
            raise GraphError(f"pad {self.pads} of {given}")
        extents = zip(given.shape, self.pads, strict=True)
        return (TensorType(tuple(n + sum(pads) for n, pads in extents), given.layout),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        borders = "x".join(f"({before}, {behind})" for before, behind in self.pads)
        return f"Pad {borders} {'zero' if self.value == 0 else f'{self.value:g}'}"

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        before, behind = zip(*self.pads, strict=True)
        pads = build.constant(np.array([0, *before, 0, *behind], np.int64), "pads")
        value = build.constant(np.float32(self.value), "value")
        return (build.node("Pad", [inputs[0], pads, value], hint=self.kind),)

    def output_range(self, observed: Range | None) -> Range | None:
        """The border's value, which the record of the input must hold as well."""
        return Range(min(self.value, 0.0), max(self.value, 0.0))

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        border = quantization.output.quantize(np.array([self.value], np.float32))
        return np.pad(inputs[0], ((0, 0), *self.pads), constant_values=border[0])

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((3, 4, 5), Layout.CHW)
        return [
            Example(cls(((0, 0), (1, 1), (2, 2))), (image,), (), "border"),
            Example(cls(((1, 2), (0, 0), (0, 0))), (image,), (), "channels"),
            Example(cls(((0, 0), (0, 1), (1, 0)), -1.5), (image,), (), "other value"),
        ]
