"""Parts of small ONNX models."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

IMAGE = ["N", 4, 9, 11]
VECTOR = ["N", 12]
Parts = dict[str, Any]


def node(op: str, *inputs: str, outputs: tuple[str, ...] = ("y",), **attributes: Any) -> Any:
    return onnx.helper.make_node(op, list(inputs), list(outputs), **attributes)


def numbers(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def zeros(*shape: int) -> NDArray[np.float32]:
    return np.zeros(shape, np.float32)


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


class Cases(dict[str, Parts]):
    """Models with input x and output y, by name."""

    def add(
        self, name: str, *nodes: Any, x: list[Any] | None = None, opset: int = 21, **constants: Any
    ) -> None:
        inputs = {"x": IMAGE if x is None else x}
        self[name] = {"nodes": nodes, "inputs": inputs, "opset": opset, "constants": constants}
