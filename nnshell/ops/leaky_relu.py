"""Leaky rectifier: y = x if x >= 0 else alpha * x."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.operator import Example, Types, register
from nnshell.ir.types import Layout, TensorType
from nnshell.ops.activation import Activation


@register
@dataclass(frozen=True)
class LeakyRelu(Activation):
    """y = x if x >= 0 else alpha * x"""

    kind: ClassVar[str] = "leaky"
    alpha: float = 0.01

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("LeakyRelu", inputs, {"alpha": self.alpha}, hint=self.kind),)

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((3, 4, 5), Layout.CHW)
        return [Example(cls(), (image,)), Example(cls(0.1), (image,))]
