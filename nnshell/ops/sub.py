"""Difference: y = x0 - x1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nnshell.ir.facts import Role
from nnshell.ir.operator import register
from nnshell.ops.families.arithmetic import import_arithmetic
from nnshell.ops.families.sums import Sum
from nnshell.reading.registry import imports

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext


@register
@dataclass(frozen=True)
class Sub(Sum):
    """y = x0 - x1"""

    kind: ClassVar[str] = "sub"
    role: ClassVar[Role] = "difference"
    onnx_op: ClassVar[str] = "Sub"
    sign: ClassVar[int] = -1


@imports("Sub")
def import_sub(ctx: ImportContext) -> None:
    import_arithmetic(ctx, Sub())
