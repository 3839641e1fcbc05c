"""Rectifiers: max(x, 0), also cut off at 6 or at another upper bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.operator import Example, Types, register
from nnshell.ir.types import Layout, TensorType
from nnshell.ops.activation import Activation


@register
@dataclass(frozen=True)
class Relu(Activation):
    """y = max(x, 0)"""

    kind: ClassVar[str] = "relu"

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("Relu", inputs, hint=self.kind),)

    @classmethod
    def examples(cls) -> list[Example]:
        return [
            Example(cls(), (TensorType((3, 4, 5), Layout.CHW),)),
            Example(cls(), (TensorType((7,)),)),
        ]


@register
@dataclass(frozen=True)
class Relu6(Activation):
    """y = min(max(x, 0), 6)"""

    kind: ClassVar[str] = "relu6"

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        bounds = [build.constant(np.float32(b), "bound") for b in (0.0, 6.0)]
        return (build.node("Clip", [inputs[0], *bounds], hint=self.kind),)

    @classmethod
    def examples(cls) -> list[Example]:
        return [
            Example(cls(), (TensorType((3, 4, 5), Layout.CHW),)),
            Example(cls(), (TensorType((7,)),)),
        ]


@register
@dataclass(frozen=True)
class ReluN(Activation):
    """y = min(max(x, 0), upper)"""

    kind: ClassVar[str] = "relun"
    upper: float = 6.0

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        bounds = [build.constant(np.float32(b), "bound") for b in (0.0, self.upper)]
        return (build.node("Clip", [inputs[0], *bounds], hint=self.kind),)

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(cls(upper), (TensorType((3, 4, 5), Layout.CHW),)) for upper in (1.0, 4.5)]
