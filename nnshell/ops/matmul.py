"""Product of two matrices: y = a @ b, or a @ b^T; leading axes broadcast as in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.errors import GraphError
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.operator import Example, Operator, Types, register
from nnshell.ir.types import TensorType
from nnshell.ir.work import Work
from nnshell.ops.common import CHANNEL_BYTES, INFOS_BYTES, align_ranks, broadcast

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph


@register
@dataclass(frozen=True)
class MatMul(Operator):
    """a (..., rows, inner) times b (..., inner, columns); b is (..., columns, inner) transposed.

    Either operand may be a constant.
    """

    kind: ClassVar[str] = "matmul"
    transpose_b: bool = False

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        first, second = inputs
        if len(first.shape) < 2 or len(second.shape) < 2:
            raise GraphError(f"matmul needs matrices, not {first} and {second}")
        inner, columns = second.shape[-2:]
        if self.transpose_b:
            inner, columns = columns, inner
        if first.shape[-1] != inner:
            raise GraphError(f"matmul of {first} and {second}: {first.shape[-1]} is not {inner}")
        leading = broadcast([first.shape[:-2], second.shape[:-2]], self.kind)
        return (TensorType((*leading, first.shape[-2], columns)),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"matmul {inputs[0]} {inputs[1]}{' transposed' if self.transpose_b else ''}"

    def macs(self, inputs: Types, outputs: Types, body: Graph | None = None) -> int:
        return outputs[0].size * inputs[0].shape[-1]

    def work(self, inputs: Types, outputs: Types, body: Graph | None = None) -> Work:
        shape = outputs[0].chw
        return Work(
            "matmul",
            tuple(t.chw for t in inputs),
            shape,
            shape,
            macs=self.macs(inputs, outputs),
            input_bytes=tuple(t.size for t in inputs),
            output_bytes=outputs[0].size,
            constant_bytes=outputs[0].shape[-1] * CHANNEL_BYTES + INFOS_BYTES,
        )

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        rank = len(outputs[0].shape)
        first, second = align_ranks(build, inputs, types, rank)
        if self.transpose_b:
            constant = second in build.constants
            axes = list(range(len(types[1].shape) if constant else 1 + rank))
            axes[-1], axes[-2] = axes[-2], axes[-1]
            second = build.node("Transpose", [second], {"perm": axes})
        return (build.node("MatMul", [first, second], hint=self.kind),)

    @classmethod
    def examples(cls) -> list[Example]:
        weights = np.random.default_rng(1).normal(size=(4, 5)).astype(np.float32)
        rows = TensorType((3, 4))
        return [
            Example(cls(), (rows, TensorType((4, 5))), (), "two activations"),
            Example(cls(True), (rows, TensorType((5, 4))), (), "second transposed"),
            Example(cls(), (rows, TensorType((4, 5))), (None, weights), "constant second"),
            Example(
                cls(), (TensorType((4, 5)), TensorType((5, 2))), (weights, None), "constant first"
            ),
            Example(
                cls(True),
                (TensorType((2, 3, 5)), TensorType((4, 5))),
                (None, weights),
                "stack times transposed constant",
            ),
            Example(cls(True), (TensorType((2, 3, 5)), TensorType((4, 5))), (), "stack of rows"),
        ]
