"""Sum of two feature maps, or of one and a constant: y = x0 + x1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nnshell.ir.operator import register
from nnshell.ops.families.arithmetic import import_arithmetic, operands
from nnshell.ops.families.sums import Sum
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
    total = refs[0]
    for number, ref in enumerate(refs[1:], 2):
        total = ctx.add(Add(), [total, ref], "" if number == len(refs) else f"_{number}")
    ctx.produce(total, batch)
