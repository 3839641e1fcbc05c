"""Hyperbolic tangent: y = tanh(x)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nnshell.ir.operator import IntArray, register
from nnshell.ir.requests import Range
from nnshell.numeric.lookup import tanh_q15
from nnshell.ops.families.lookup import LookUp
from nnshell.reading.registry import imports

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext


@register
@dataclass(frozen=True)
class Tanh(LookUp):
    """y = tanh(x)"""

    kind: ClassVar[str] = "tanh"
    onnx_op: ClassVar[str] = "Tanh"

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return Range(-1.0, 1.0)

    @property
    def keeps_zero(self) -> bool:
        return True

    def table(self, argument: IntArray) -> IntArray:
        return tanh_q15(argument)

    def output_range(self, observed: Range | None) -> Range | None:
        return Range(-1.0, 1.0)


@imports("Tanh")
def import_tanh(ctx: ImportContext) -> None:
    value = ctx.value(0)
    ctx.produce(ctx.add(Tanh(), [value.ref]), value.batch)
