"""Sum of two feature maps, or of one and a constant: y = x0 + x1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nnshell.ir.operator import register
from nnshell.ops.arithmetic import Arithmetic


@register
@dataclass(frozen=True)
class Add(Arithmetic):
    """y = x0 + x1"""

    kind: ClassVar[str] = "add"
    onnx_op: ClassVar[str] = "Add"
