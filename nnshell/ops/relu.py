"""Rectifiers: max(x, 0), also cut off at 6 or at another upper bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.operator import Example, Types, register
from nnshell.ir.requests import Range
from nnshell.ir.types import Layout, TensorType
from nnshell.ops.families.rectifier import Rectifier
from nnshell.reading.registry import imports

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext

_IMAGE = TensorType((3, 4, 5), Layout.CHW)
_VECTOR = TensorType((7,))


@register
@dataclass(frozen=True)
class Relu(Rectifier):
    """y = max(x, 0)"""

    kind: ClassVar[str] = "relu"

    @property
    def commutes_with_max(self) -> bool:
        return True

    def scales_along(self, axis: int) -> bool:
        return True

    @property
    def limits(self) -> tuple[float, float]:
        return 0.0, math.inf

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("Relu", inputs, hint=self.kind),)

    def output_range(self, observed: Range | None) -> Range | None:
        return None if observed is None else Range(0.0, max(float(observed.maximum), 0.0))

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(cls(), (_IMAGE,)), Example(cls(), (_VECTOR,))]


@dataclass(frozen=True)
class _BoundedRelu(Rectifier):
    @property
    def commutes_with_max(self) -> bool:
        return True

    def output_range(self, observed: Range | None) -> Range | None:
        """The bounds, even when calibration saw less."""
        return Range(*self.limits)


@register
@dataclass(frozen=True)
class Relu6(_BoundedRelu):
    """y = min(max(x, 0), 6)"""

    kind: ClassVar[str] = "relu6"

    @property
    def limits(self) -> tuple[float, float]:
        return 0.0, 6.0

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(cls(), (_IMAGE,)), Example(cls(), (_VECTOR,))]


@register
@dataclass(frozen=True)
class ReluN(_BoundedRelu):
    """y = min(max(x, 0), upper)"""

    kind: ClassVar[str] = "relun"
    upper: float = 6.0

    @property
    def limits(self) -> tuple[float, float]:
        return 0.0, self.upper

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(cls(upper), (_IMAGE,)) for upper in (1.0, 4.5)]


@imports("Relu")
def import_relu(ctx: ImportContext) -> None:
    value = ctx.value(0)
    ctx.produce(ctx.add(Relu(), [value.ref]), value.batch)
