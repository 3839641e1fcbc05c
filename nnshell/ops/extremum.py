"""The larger or smaller of two tensors, element by element: y = max(x0, x1), y = min(x0, x1).

Both operands and the result have one record, so that the integers compare as the numbers do:

    y_q = max(a_q, b_q), y_q = min(a_q, b_q)

The record is the one a concat of the operands would have. Nothing is rounded but an operand that
came with another record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import IntArray, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import RecordRule
from nnshell.ir.requests import Range
from nnshell.numeric.kernels.samples import align_samples
from nnshell.ops.clip import limiter
from nnshell.ops.concat import decide_common
from nnshell.ops.families.arithmetic import Arithmetic, operands
from nnshell.reading.registry import imports

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext


@dataclass(frozen=True)
class Extremum(Arithmetic):
    """One of two elements."""

    keeps_record: ClassVar[bool] = True
    local_to_tile: ClassVar[bool] = True

    @property
    def keeps_zero(self) -> bool:
        return True

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return (RecordRule(decide_common),)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        first, second = build.aligned(inputs)
        if first.wide or second.wide:
            first, second = build.widened(first), build.widened(second)
        low, high = self.limits((first.low, second.low), (first.high, second.high))
        name = build.node(self.onnx_op, [first.name, second.name], hint=self.kind)
        return (IntegerTensor(name, outputs[0].shape, low, high, first.wide),)

    def limits(self, lows: tuple[int, int], highs: tuple[int, int]) -> tuple[int, int]:
        """What results lie between, of operands that lie between ``lows`` and ``highs``."""
        raise NotImplementedError


@register
@dataclass(frozen=True)
class Maximum(Extremum):
    """y = max(x0, x1)"""

    kind: ClassVar[str] = "maximum"
    onnx_op: ClassVar[str] = "Max"

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return Range(max(r.minimum for r in inputs), max(r.maximum for r in inputs))

    def limits(self, lows: tuple[int, int], highs: tuple[int, int]) -> tuple[int, int]:
        return max(lows), max(highs)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        return np.maximum(*align_samples(inputs))


@register
@dataclass(frozen=True)
class Minimum(Extremum):
    """y = min(x0, x1)"""

    kind: ClassVar[str] = "minimum"
    onnx_op: ClassVar[str] = "Min"

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return Range(min(r.minimum for r in inputs), min(r.maximum for r in inputs))

    def limits(self, lows: tuple[int, int], highs: tuple[int, int]) -> tuple[int, int]:
        return min(lows), min(highs)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        return np.minimum(*align_samples(inputs))


@imports("Max", "Min")
def import_extremum(ctx: ImportContext) -> None:
    """Any number of operands, two at a time; beside one number it is a limit."""
    largest = ctx.node.op == "Max"
    if len(ctx.node.inputs) == 2 and any(_is_number(ctx, index) for index in (0, 1)):
        constant = 1 if _is_number(ctx, 1) else 0
        value, bound = ctx.value(1 - constant), float(ctx.weights(constant).reshape(-1)[0])
        limits = (bound, float("inf")) if largest else (float("-inf"), bound)
        ctx.produce(ctx.add(limiter(*limits), [value.ref]), value.batch)
        return
    refs, batch = operands(ctx)
    result = refs[0]
    for number, ref in enumerate(refs[1:], 2):
        suffix = "" if number == len(refs) else f"_{number}"
        result = ctx.add(Maximum() if largest else Minimum(), [result, ref], suffix)
    ctx.produce(result, batch)


def _is_number(ctx: ImportContext, index: int) -> bool:
    if not ctx.is_constant(index):
        return False
    value = ctx.constants[ctx.node.inputs[index]]
    return value.size == 1 and value.ndim <= len(ctx.value(1 - index).shape)
