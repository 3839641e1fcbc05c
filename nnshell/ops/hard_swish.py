"""Hard swish: y = x * min(max(x + 3, 0), 6) / 6."""

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
class HardSwish(Activation):
    """y = x * min(max(x + 3, 0), 6) / 6"""

    kind: ClassVar[str] = "hswish"

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("HardSwish", inputs, hint=self.kind),)

    @classmethod
    def examples(cls) -> list[Example]:
        return [
            Example(cls(), (TensorType((3, 4, 5), Layout.CHW),)),
            Example(cls(), (TensorType((7,)),)),
        ]
