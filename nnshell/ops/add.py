"""Sum of two feature maps, or of one and a constant: y = x0 + x1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.graph import Ref
from nnshell.ir.operator import register
from nnshell.ops.families.arithmetic import import_arithmetic, operands
from nnshell.ops.families.sums import Sum
from nnshell.ops.mul import Mul
from nnshell.reading.registry import imports

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext


@register
@dataclass(frozen=True)
class Add(Sum):
    """y = x0 + x1"""

    kind: ClassVar[str] = "add"
    onnx_op: ClassVar[str] = "Add"


@imports("Add")
def import_add(ctx: ImportContext) -> None:
    import_arithmetic(ctx, Add())


@imports("Sum")
def import_sum(ctx: ImportContext) -> None:
    """Any number of terms, added one after the other."""
    refs, batch = operands(ctx)
    ctx.produce(_total(ctx, refs, ""), batch)


@imports("Mean")
def import_mean(ctx: ImportContext) -> None:
    """The sum of all terms, divided by how many there are."""
    refs, batch = operands(ctx)
    total = _total(ctx, refs, "_sum")
    share = ctx.add_constant(f"{ctx.name}_share", np.full(1, 1 / len(refs), np.float32))
    ctx.produce(ctx.add(Mul(), [total, share]), batch)


def _total(ctx: ImportContext, refs: Sequence[Ref], name: str) -> Ref:
    """The sum; ``name`` is the suffix of the last node."""
    total = refs[0]
    for number, ref in enumerate(refs[1:], 2):
        total = ctx.add(Add(), [total, ref], name if number == len(refs) else f"_{number}")
    return total
