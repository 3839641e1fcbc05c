"""Mean or maximum over all of height and width: (channels, h, w) becomes (channels, 1, 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.operator import Example, Operator, Types, register
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Window, Work
from nnshell.ops.common import INFOS_BYTES, feature_map

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph


@dataclass(frozen=True)
class GlobalPool(Operator):
    """One value per channel."""

    onnx_op: ClassVar[str] = ""
    word: ClassVar[str] = ""

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        channels, _, _ = feature_map(inputs[0], self.kind)
        return (TensorType((channels, 1, 1), Layout.CHW),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"{self.word} A (1, 2) keep_dims"

    def work(self, inputs: Types, outputs: Types, body: Graph | None = None) -> Work:
        shape = outputs[0].chw
        _, height, width = inputs[0].shape
        return Work(
            "global_pool",
            (inputs[0].chw,),
            shape,
            shape,
            Window((height, width), (height, width)),
            input_bytes=(inputs[0].size,),
            output_bytes=outputs[0].size,
            constant_bytes=INFOS_BYTES,
            pool_kind="max" if self.word == "max" else "average",
        )

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node(self.onnx_op, inputs, hint=self.kind),)

    @classmethod
    def examples(cls) -> list[Example]:
        shapes = ((4, 6, 5), (3, 1, 7), (2, 1, 1))
        return [Example(cls(), (TensorType(shape, Layout.CHW),)) for shape in shapes]


@register
@dataclass(frozen=True)
class GlobalAveragePool(GlobalPool):
    """y[c] = mean of x[c]"""

    kind: ClassVar[str] = "global_average_pool"
    onnx_op: ClassVar[str] = "GlobalAveragePool"
    word: ClassVar[str] = "average"


@register
@dataclass(frozen=True)
class GlobalMaxPool(GlobalPool):
    """y[c] = max of x[c]"""

    kind: ClassVar[str] = "global_max_pool"
    onnx_op: ClassVar[str] = "GlobalMaxPool"
    word: ClassVar[str] = "max"
