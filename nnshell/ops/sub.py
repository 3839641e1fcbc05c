"""Difference: y = x0 - x1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nnshell.ir.operator import register
from nnshell.ops.arithmetic import Arithmetic


@register
@dataclass(frozen=True)
class Sub(Arithmetic):
    """y = x0 - x1"""

    kind: ClassVar[str] = "sub"
    onnx_op: ClassVar[str] = "Sub"
