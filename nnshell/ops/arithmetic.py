"""What add, sub, mul and div share: two operands, numpy broadcasting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.operator import Example, Operator, Types
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Work
from nnshell.ops.common import INFOS_BYTES, align_ranks, broadcast, broadcast_layout

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph


@dataclass(frozen=True)
class Arithmetic(Operator):
    """y = x0 (op) x1 for each element; either operand may be a constant."""

    onnx_op: ClassVar[str] = ""

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        shape = broadcast([t.shape for t in inputs], self.kind)
        return (TensorType(shape, broadcast_layout(inputs, shape)),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return self.kind

    def work(self, inputs: Types, outputs: Types, body: Graph | None = None) -> Work:
        shape = outputs[0].chw
        return Work(
            "elementwise",
            tuple(t.chw for t in inputs),
            shape,
            shape,
            input_bytes=tuple(t.size for t in inputs),
            output_bytes=outputs[0].size,
            constant_bytes=INFOS_BYTES,
        )

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
