"""Hard sigmoid: y = min(max(alpha * x + beta, 0), 1)."""

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
class HardSigmoid(Activation):
    """y = min(max(alpha * x + beta, 0), 1)"""

    kind: ClassVar[str] = "hsigmoid"
    alpha: float = 0.2
    beta: float = 0.5

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (
            build.node(
                "HardSigmoid", inputs, {"alpha": self.alpha, "beta": self.beta}, hint=self.kind
            ),
        )

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((3, 4, 5), Layout.CHW)
        return [Example(cls(), (image,)), Example(cls(1 / 6, 0.5), (image,))]
