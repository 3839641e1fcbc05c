"""Limits other than those of a rectifier: y = min(max(x, minimum), maximum)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.operator import Example, Operator, Types, register
from nnshell.ir.requests import Range
from nnshell.ir.types import Layout, TensorType
from nnshell.ops.families.rectifier import Rectifier
from nnshell.ops.relu import Relu, Relu6, ReluN
from nnshell.reading.registry import Unsupported, imports

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph
    from nnshell.reading.context import ImportContext


@register
@dataclass(frozen=True)
class Clip(Rectifier):
    """y = min(max(x, minimum), maximum); an infinite bound does not limit"""

    kind: ClassVar[str] = "clip"
    minimum: float = float("-inf")
    maximum: float = float("inf")

    @property
    def limits(self) -> tuple[float, float]:
        return self.minimum, self.maximum

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"Activation clip {self.minimum:g} {self.maximum:g}"

    def output_range(self, observed: Range | None) -> Range | None:
        """What calibration saw, within the bounds; finite bounds alone serve without it."""
        if observed is None:
            return Range(self.minimum, self.maximum) if self._bounded else None
        low, high = (
            min(max(value, self.minimum), self.maximum)
            for value in (observed.minimum, observed.maximum)
        )
        return Range(low, high)

    @property
    def _bounded(self) -> bool:
        return math.isfinite(self.minimum) and math.isfinite(self.maximum)

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((3, 4, 5), Layout.CHW)
        limits = ((-1.0, 1.0), (0.5, 2.0), (float("-inf"), 0.5))
        return [Example(cls(*pair), (image,)) for pair in limits]


@imports("Clip")
def import_clip(ctx: ImportContext) -> None:
    """A rectifier where the lower bound is 0; bounds are attributes or constant inputs."""
    value = ctx.value(0)
    lower = _bound(ctx, 1, float("-inf"))
    upper = _bound(ctx, 2, float("inf"))
    if lower > upper:
        raise Unsupported(f"min = {lower:g} is above max = {upper:g}", accepted="min <= max")
    if (lower, upper) == (float("-inf"), float("inf")):
        ctx.produce_value(value)
        return
    ctx.produce(ctx.add(limiter(lower, upper), [value.ref]), value.batch)


def _bound(ctx: ImportContext, index: int, default: float) -> float:
    tensor = ctx.tensor(index)
    if tensor is None:
        return default
    if tensor.size != 1 or np.isnan(tensor).any():
        name = ("min", "max")[index - 1]
        raise Unsupported(f"{name} = {tensor.tolist()}", accepted="one number")
    bound = float(tensor.reshape(-1)[0])
    largest = float(np.finfo(np.float32).max)
    return default if abs(bound) >= largest and (bound > 0) == (default > 0) else bound


def limiter(lower: float, upper: float) -> Operator:
    """What limits to ``lower`` and ``upper``: a rectifier where ``lower`` is 0."""
    if lower != 0.0:
        return Clip(lower, upper)
    if upper == float("inf"):
        return Relu()
    return Relu6() if upper == 6.0 else ReluN(upper)
