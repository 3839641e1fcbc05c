"""Limits other than those of a rectifier: y = min(max(x, minimum), maximum)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.operator import Example, Types, register
from nnshell.ir.types import Layout, TensorType
from nnshell.ops.activation import Activation

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph


@register
@dataclass(frozen=True)
class Clip(Activation):
    """y = min(max(x, minimum), maximum); an infinite bound does not limit"""

    kind: ClassVar[str] = "clip"
    minimum: float = float("-inf")
    maximum: float = float("inf")

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        bounds = [build.constant(np.float32(b), "bound") for b in (self.minimum, self.maximum)]
        return (build.node("Clip", [inputs[0], *bounds], hint=self.kind),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"Activation clip {self.minimum:g} {self.maximum:g}"

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((3, 4, 5), Layout.CHW)
        limits = ((-1.0, 1.0), (0.5, 2.0), (float("-inf"), 0.5))
        return [Example(cls(*pair), (image,)) for pair in limits]
