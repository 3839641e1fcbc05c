"""Parametric rectifier: y = x if x >= 0 else slope * x, slope a constant (one per channel)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.errors import GraphError
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.operator import Example, Types, register
from nnshell.ir.types import Layout, TensorType
from nnshell.ops.activation import Activation
from nnshell.ops.common import broadcast

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph


@register
@dataclass(frozen=True)
class PRelu(Activation):
    """y = x if x >= 0 else slope * x; inputs are x and the slope, which broadcasts to x."""

    kind: ClassVar[str] = "prelu"

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        image, slope = inputs
        if broadcast([image.shape, slope.shape], self.kind) != image.shape:
            raise GraphError(f"prelu has a slope of shape {slope} for an input of shape {image}")
        return (TensorType(image.shape, image.layout),)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("PRelu", inputs, hint=self.kind),)

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((3, 4, 5), Layout.CHW)
        per_channel = np.array([0.1, 0.25, -0.5], np.float32).reshape(3, 1, 1)
        vector = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
        return [
            Example(cls(), (image, TensorType((3, 1, 1))), (None, per_channel), "per channel"),
            Example(cls(), (TensorType((4,)), TensorType((4,))), (None, vector), "vector"),
        ]
