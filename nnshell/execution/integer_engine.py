"""The reference for the quantized graph: every operator's integers, node by node, in numpy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.arithmetic import integers_of
from nnshell.ir.flat import FlatGraph, Item, Tensor, flatten
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.operator import IntArray
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.widths import check_chip_widths
from nnshell.support.errors import InputError, UsageError

TARGETS = ("simulation", "chip")


class IntegerEngine:
    """Runs a quantized graph over batches.

    ``target`` chooses whose integers to compute where NNTool's simulation and the generated
    kernels differ: "simulation" or "chip". Raises QuantizationError when the graph is not
    quantized.
    """

    def __init__(self, graph: Graph, target: str = "simulation") -> None:
        if target not in TARGETS:
            raise UsageError(f"no int8 target '{target}'", hint=f"one of {', '.join(TARGETS)}")
        graph.require_quantized()
        check_chip_widths(graph)
        self._graph = graph
        self._chip = target == "chip"
        self._flat: FlatGraph = flatten(graph)
        self._results = result_tensors(graph, self._flat)
        self.inputs = [(node.name, node.type) for node in graph.inputs]
        self.outputs = [node.name for node in graph.outputs]

    @property
    def keys(self) -> list[str]:
        """Keys of all tensors: ``NODE``, ``FUSION``, ``FUSION/NODE``, ``NODE[1]``; no constants."""
        return list(self._results)

    def record(self, key: str) -> QParams:
        """What the integers of a tensor stand for."""
        tensor = self._tensor(key)
        return _quantization(self._flat.maker(tensor).node).outputs[tensor.index]

    def run(
        self, batch: Sequence[NDArray[Any]], keys: Iterable[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Integers of the tensors in ``keys`` (all by default), samples first.

        ``batch`` has one array per graph input, each (samples, *shape), in the real range that
        the network was calibrated with, or raw pixels where the graph begins with a formatter.
        The arrays have the element type of their record. Raises InputError when they do not fit.
        """
        targets = {key: self._tensor(key) for key in (self._results if keys is None else keys)}
        values = self._quantized(batch)
        left = {tensor: len(readers) for tensor, readers in self._flat.readers.items()}
        kept = set(targets.values())
        for item in self._flat.items:
            if item.node.op.role in ("constant", "input"):
                continue
            result = self._compute(item, values)
            values.update(zip(item.outputs, result, strict=True))
            for tensor in item.inputs:
                left[tensor] -= 1
                if left[tensor] == 0 and tensor not in kept:
                    values.pop(tensor, None)
        return {key: self._typed(tensor, values[tensor]) for key, tensor in targets.items()}

    def _compute(self, item: Item, values: dict[Tensor, IntArray]) -> tuple[IntArray, ...]:
        quantization = _quantization(item.node)
        inputs = [
            values[tensor] if tensor in values else self._constant(quantization, index)
            for index, tensor in enumerate(item.inputs)
        ]
        return integers_of(item.node.op, quantization, inputs, chip=self._chip)

    @staticmethod
    def _constant(quantization: NodeQuantization, index: int) -> IntArray:
        """A constant operand, with one sample; weights and the like are in the kernel."""
        known = quantization.constants[index] if quantization.constants else None
        return np.zeros((1, 0), np.int64) if known is None else known[np.newaxis].astype(np.int64)

    def checked(self, batch: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The arrays of a batch by input; raises InputError when they do not fit."""
        if len(batch) != len(self.inputs):
            raise InputError(f"the graph has {len(self.inputs)} inputs, {len(batch)} were given")
        if len({len(array) for array in batch if array.ndim}) > 1:
            raise InputError("the inputs have different numbers of samples")
        for array, (name, source) in zip(batch, self.inputs, strict=True):
            if not array.ndim or array.shape[1:] != source.shape:
                shape = "x".join(str(n) for n in array.shape)
                raise InputError(f"wants samples of shape {source}, not {shape}", where=name)
            if not len(array):
                raise InputError("there are no samples", where=name)
            check_values(array, self.record(name), name)
        return {name: array for array, (name, _) in zip(batch, self.inputs, strict=True)}

    def _quantized(self, batch: Sequence[NDArray[Any]]) -> dict[Tensor, IntArray]:
        return {
            Tensor(name): quantize_input(array, self.record(name))
            for name, array in self.checked(batch).items()
        }

    def _tensor(self, key: str) -> Tensor:
        if key not in self._results:
            raise InputError(f"no tensor is called '{key}'", where=self._graph.name)
        return self._results[key]

    def _typed(self, tensor: Tensor, value: IntArray) -> NDArray[Any]:
        node = self._flat.maker(tensor).node
        return value.astype(_quantization(node).outputs[tensor.index].dtype)


class ReferenceEngine:
    """``IntegerEngine`` for some tensors, in the form of all engines."""

    def __init__(self, graph: Graph, keys: Sequence[str], target: str = "simulation") -> None:
        self._engine = IntegerEngine(graph, target)
        self._keys = list(keys)
        for key in self._keys:
            self._engine.record(key)

    def run(self, batch: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Integers by key, samples first."""
        return self._engine.run(batch, self._keys)


def check_values(array: NDArray[Any], record: QParams, name: str) -> None:
    """Raises InputError for values that the record cannot stand for."""
    if record.dtype not in ("uint8", "uint16"):
        if not np.isfinite(array).all():
            raise InputError("holds NaN or infinity", where=name)
        return
    low, high = record.limits
    if array.dtype.kind == "f" and (np.floor(array) != array).any():
        raise InputError(
            "takes raw pixels because of its formatter, not normalized values",
            where=name,
            hint="leave out -D, -O, -T and norm functions",
        )
    if array.size and not low <= array.min() <= array.max() <= high:
        raise InputError(f"takes pixels of {low} to {high}", where=name)


def quantize_input(array: NDArray[Any], record: QParams) -> IntArray:
    """Real numbers by their record; raw pixels (uint8, uint16) as they are."""
    if record.dtype not in ("uint8", "uint16"):
        return record.quantize(array)
    return array.astype(np.int64)


def result_tensors(graph: Graph, flat: FlatGraph) -> dict[str, Tensor]:
    """Tensors by key, fusions' results after their inner nodes."""
    results: dict[str, Tensor] = {}
    for item in flat.items:
        if item.node.op.role != "constant":
            results.update({tensor.key: tensor for tensor in item.outputs})
        fusion = item.fusion
        if fusion is not None and fusion.body is not None and fusion.name not in results:
            results.update(_fusion_results(flat, fusion, item))
    return results


def _fusion_results(flat: FlatGraph, fusion: Node, item: Item) -> dict[str, Tensor]:
    """The keys of a fusion once its last inner node has been listed."""
    tensors = [flat.resolve(Ref(fusion.name, index)) for index in range(len(fusion.outputs))]
    if tensors[-1].path != item.path:
        return {}
    return {Tensor(fusion.name, index).key: tensor for index, tensor in enumerate(tensors)}


def _quantization(node: Node) -> NodeQuantization:
    assert node.quantization is not None, f"{node.name} is not quantized"
    return node.quantization
