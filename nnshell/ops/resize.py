"""Another height and width by interpolation between neighbouring elements.

An output position p reads the input at a coordinate that ``coordinates`` gives (s is output size
over input size, or the factor in ``scales``; n_in and n_out are the extents):

    half_pixel            (p + 0.5) / s - 0.5
    pytorch_half_pixel    the same, and 0 where n_out is 1
    half_pixel_symmetric  the same, centred when n_in * s is not a whole number
    asymmetric            p / s
    align_corners         p * (n_in - 1) / (n_out - 1)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.errors import GraphError
from nnshell.ir.foreign import AttributeValue, ForeignGraph
from nnshell.ir.operator import Example, Operator, Types, register
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Work
from nnshell.ops.common import feature_map

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph

COORDINATES = (
    "half_pixel",
    "pytorch_half_pixel",
    "half_pixel_symmetric",
    "asymmetric",
    "align_corners",
)
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@dataclass(frozen=True)
class Resizer(Operator):
    """Resizes each channel of a CHW feature map to ``size`` (height, width)."""

    mode: ClassVar[str] = ""
    size: tuple[int, int] = (1, 1)
    coordinates: str = "half_pixel"
    scales: tuple[float, float] | None = None  # set where it is not size / input size

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        channels, _, _ = feature_map(inputs[0], self.kind)
        if self.coordinates not in COORDINATES:
            accepted = ", ".join(COORDINATES)
            raise GraphError(f"no coordinates '{self.coordinates}'", hint=f"one of {accepted}")
        if min(self.size) < 1:
            raise GraphError(f"{self.kind} to {self.size[0]}x{self.size[1]}")
        return (TensorType((channels, *self.size), Layout.CHW),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"{inputs[0]} -> {outputs[0]} {self.coordinates}"

    def work(self, inputs: Types, outputs: Types, body: Graph | None = None) -> Work:
        shape = outputs[0].chw
        return Work(
            "resize",
            (inputs[0].chw,),
            shape,
            shape,
            input_bytes=(inputs[0].size,),
            output_bytes=outputs[0].size,
        )

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        if self.scales is None:
            sizes = build.constant(np.array(self.size, np.int64), "sizes")
            operands = [inputs[0], "", "", sizes]
        else:
            scales = build.constant(np.array(self.scales, np.float32), "scales")
            operands = [inputs[0], "", scales]
        return (build.node("Resize", operands, self._attributes(), hint=self.kind),)

    def _attributes(self) -> dict[str, AttributeValue]:
        return {
            "mode": self.mode,
            "coordinate_transformation_mode": self.coordinates,
            "axes": [2, 3],
        }


@register
@dataclass(frozen=True)
class BilinearResizer(Resizer):
    """Weighted mean of the four nearest elements."""

    kind: ClassVar[str] = "bilinear_resizer"
    mode: ClassVar[str] = "linear"

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((3, 4, 6), Layout.CHW)
        sizes = ((8, 12), (7, 5), (2, 3))
        return [
            Example(cls(size, coordinates), (image,), (), f"{coordinates} {size}")
            for coordinates in COORDINATES
            for size in sizes
        ]


@register
@dataclass(frozen=True)
class NearestNeighborResizer(Resizer):
    """The element at the coordinate rounded as ``rounding`` says."""

    kind: ClassVar[str] = "nearest_neighbor_resizer"
    mode: ClassVar[str] = "nearest"
    rounding: str = "round_prefer_floor"

    def _attributes(self) -> dict[str, AttributeValue]:
        return {**super()._attributes(), "nearest_mode": self.rounding}

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((3, 4, 6), Layout.CHW)
        found = [
            Example(cls((8, 12), "asymmetric", None, rounding), (image,), (), rounding)
            for rounding in ROUNDINGS
        ]
        found.append(Example(cls((5, 9), "half_pixel"), (image,), (), "half pixel"))
        found.append(Example(cls((6, 9), "asymmetric", (1.6, 1.5), "floor"), (image,), (), "1.6"))
        return found
