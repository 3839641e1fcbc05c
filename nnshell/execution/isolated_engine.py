"""Every step by itself: integers computed from exact inputs, so that errors do not build up.

The inputs of a step are the float graph's, rounded to the step's integers; a fusion is one step,
and its inner nodes read each other's integers. What differs from the float graph then is the error
that this step alone makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.float_engine import FloatEngine
from nnshell.execution.integer_engine import IntegerEngine, quantize_input, result_tensors
from nnshell.ir.arithmetic import integers_of
from nnshell.ir.flat import Item, Tensor, flatten
from nnshell.ir.graph import Graph
from nnshell.ir.operator import IntArray
from nnshell.ir.qparams import NodeQuantization


class IsolatedEngine:
    """Runs a quantized graph over batches, each step on the float graph's tensors.

    ``keys`` are the tensors to compute, ``target`` is as in ``IntegerEngine``. Raises
    QuantizationError when the graph is not quantized, InputError for a key that does not exist.
    """

    def __init__(self, graph: Graph, keys: Sequence[str], target: str = "simulation") -> None:
        self._reference = IntegerEngine(graph, target)
        self._dtypes = {key: self._reference.record(key).dtype for key in keys}
        self._chip = target == "chip"
        self._flat = flatten(graph)
        results = result_tensors(graph, self._flat)
        self._wanted = {key: results[key] for key in keys}
        names = {tensor: key for key, tensor in reversed(results.items())}
        self._items = [item for item in self._flat.items if item.node.op.role != "constant"]
        self._read = {
            tensor: names[tensor]
            for item in self._items
            for tensor, site in zip(item.inputs, item.sites, strict=True)
            if site is not None and tensor in names
        }
        self._floats = FloatEngine(graph, list(self._read.values()))

    def run(self, batch: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Integers by key, samples first. ``batch`` is as in ``IntegerEngine.run``."""
        value = self._reference.checked(batch)
        floats = self._floats.run(batch)
        real = {tensor: floats[key] for tensor, key in self._read.items()}
        results: dict[Tensor, IntArray] = {}
        for item in self._items:
            if item.node.op.role == "input":
                record = _quantization(item).outputs[0]
                results[item.outputs[0]] = quantize_input(value[item.path], record)
            else:
                results.update(zip(item.outputs, self._compute(item, real, results), strict=True))
        return {
            key: results[self._wanted[key]].astype(dtype) for key, dtype in self._dtypes.items()
        }

    def _compute(
        self, item: Item, real: dict[Tensor, NDArray[Any]], results: dict[Tensor, IntArray]
    ) -> tuple[IntArray, ...]:
        quantization = _quantization(item)
        inputs: list[IntArray] = []
        for index, (tensor, site) in enumerate(zip(item.inputs, item.sites, strict=True)):
            known = quantization.constants[index] if quantization.constants else None
            if site is None and tensor in results:
                inputs.append(results[tensor])
            elif tensor in real:
                inputs.append(quantize_input(real[tensor], quantization.inputs[index]))
            else:  # weights and the like are in the kernel
                empty = np.zeros((1, 0), np.int64)
                inputs.append(empty if known is None else known[np.newaxis].astype(np.int64))
        return integers_of(item.node.op, quantization, inputs, chip=self._chip)


def _quantization(item: Item) -> NodeQuantization:
    assert item.node.quantization is not None, f"{item.path} is not quantized"
    return item.node.quantization
