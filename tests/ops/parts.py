"""An operator alone: its kernel from records that a test chooses, on integers that it draws."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.operator import Operator
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.requests import QuantizeRequest
from nnshell.ir.types import Layout, TensorType

Integers = NDArray[np.int64]


def record(scale: float, zero_point: int = 0, **others: Any) -> QParams:
    """An int8 record of one scale."""
    return QParams(np.array([scale]), zero_point, **others)


def image(*shape: int) -> TensorType:
    return TensorType(shape, Layout.CHW if len(shape) == 3 else Layout.NONE)


def quantized(
    op: Operator,
    inputs: list[QParams | None],
    output: QParams,
    types: list[TensorType],
    constants: list[NDArray[Any] | None] | None = None,
) -> NodeQuantization:
    """What the operator makes of these records; None for records that it makes itself."""
    made = op.infer(types)
    request = QuantizeRequest(
        "node",
        tuple(inputs),
        (output,) * len(made),
        tuple(types),
        made,
        tuple(constants or [None] * len(types)),
    )
    return op.quantize(request)


def integers(*shape: int, seed: int = 0) -> Integers:
    """Any int8 values, the ends among them."""
    drawn = np.random.default_rng(seed).integers(-128, 128, shape)
    drawn.reshape(-1)[:2] = (-128, 127)[: drawn.size]
    return drawn


def rounded(value: float) -> int:
    """floor(x + 0.5)."""
    return int(np.floor(value + 0.5))


def saturated(value: int) -> int:
    return max(-128, min(127, value))
