"""Which activations the kernels run after another operator, and what commutes with them."""

from __future__ import annotations

from typing import Literal

from nnshell.ir.operator import Operator
from nnshell.ops.clip import Clip
from nnshell.ops.hard_sigmoid import HardSigmoid
from nnshell.ops.hard_swish import HardSwish
from nnshell.ops.leaky_relu import LeakyRelu
from nnshell.ops.prelu import PRelu
from nnshell.ops.relu import Relu, Relu6, ReluN
from nnshell.ops.sigmoid import Sigmoid
from nnshell.ops.tanh import Tanh

KernelSet = Literal["scale8", "pow2"]

_COMMON: tuple[type[Operator], ...] = (
    Relu,
    Relu6,
    ReluN,
    LeakyRelu,
    HardSigmoid,
    HardSwish,
    Sigmoid,
)
FUSIBLE: dict[KernelSet, tuple[type[Operator], ...]] = {
    "scale8": (*_COMMON, Tanh),
    "pow2": _COMMON,  # the POW2 kernels have no tanh
}


def fusible(op: Operator, kernels: KernelSet = "scale8") -> bool:
    """Whether a kernel can run ``op`` on its result before it writes it."""
    return isinstance(op, FUSIBLE[kernels])


def why_not_fusible(op: Operator) -> str:
    """Why an activation is not one that kernels run; empty for what is no activation."""
    if isinstance(op, PRelu):
        return "prelu has a slope per channel, the kernels know leaky relu with one slope"
    if isinstance(op, Clip):
        return f"clip to [{op.minimum:g}, {op.maximum:g}] is not a relu, whose lower bound is 0"
    if op.role == "activation":
        return f"the kernels do not run {op.kind} after another operator"
    return ""
