"""Moved integers in the lowered graph: the same values elsewhere, narrow where they were narrow."""

from __future__ import annotations

from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import Operator
from nnshell.ir.types import TensorType


def lower_move(
    op: Operator, build: IntegerGraph, x: IntegerTensor, shape: tuple[int, ...]
) -> IntegerTensor:
    """The operator's own float nodes, which work on any element type."""
    (name,) = op.to_onnx(build, [narrowest(x)], (TensorType(x.shape),), (TensorType(shape),))
    return moved(build, x, name, shape)


def narrowest(x: IntegerTensor) -> str:
    """The ONNX tensor with the fewest bytes that holds these integers."""
    return x.narrow or x.name


def moved(
    build: IntegerGraph,
    x: IntegerTensor,
    name: str,
    shape: tuple[int, ...],
    low: int | None = None,
    high: int | None = None,
) -> IntegerTensor:
    """The result of an operator that only moves elements, with the bounds of ``x`` or new ones."""
    low, high = x.low if low is None else low, x.high if high is None else high
    if x.narrow:
        return build.from_narrow(name, shape, low, high, x.narrow_type)
    return IntegerTensor(name, shape, low, high, x.wide, constant=x.constant)
