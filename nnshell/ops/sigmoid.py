"""Logistic function: y = 1 / (1 + exp(-x))."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nnshell.ir.operator import IntArray, register
from nnshell.ir.requests import Range
from nnshell.numeric.lookup import sigmoid_q15
from nnshell.ops.families.lookup import LookUp
from nnshell.reading.registry import imports

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext


@register
@dataclass(frozen=True)
class Sigmoid(LookUp):
    """y = 1 / (1 + exp(-x))"""

    kind: ClassVar[str] = "sigmoid"
    onnx_op: ClassVar[str] = "Sigmoid"

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return Range(0.0, 1.0)

    def table(self, argument: IntArray) -> IntArray:
        return sigmoid_q15(argument)

    def output_range(self, observed: Range | None) -> Range | None:
        return Range(0.0, 1.0)


@imports("Sigmoid")
def import_sigmoid(ctx: ImportContext) -> None:
    value = ctx.value(0)
    ctx.produce(ctx.add(Sigmoid(), [value.ref]), value.batch)
