"""The arithmetic that a quantized model file means by itself, beside that of the chip.

ONNX Runtime runs ONNX files, LiteRT TFLite files. Integers of both sides are compared as the real
numbers that they stand for, in steps of the file's scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnshell.execution.engines import make_engine
from nnshell.execution.file_runners import OUTPUT, Array, FileRunner
from nnshell.execution.metrics import Accumulator
from nnshell.ir.graph import Graph, Node, all_nodes
from nnshell.ir.qparams import QParams
from nnshell.numeric.fixed_point import Multiplier
from nnshell.reading.registry import StoredTensor

_SAME = 1e-3  # of a step: what float32 scales may differ by
_MOVED = ((0, 1, 2, 3), (0, 3, 1, 2))  # orders of axes after the file's, samples first


@dataclass(frozen=True, slots=True)
class LayerDifference:
    """One layer: ``largest_step`` is in steps of the file's scale, ``reason`` says why."""

    name: str
    op: str
    equal: bool
    largest_step: float
    qsnr_db: float
    reason: str


@dataclass(frozen=True, slots=True)
class FileComparison:
    """Layers in step order; ``predictions_equal`` is the share of samples with the same class.

    ``accuracy`` and ``accuracy_of_file`` are shares of right answers where samples have labels.
    """

    rows: tuple[LayerDifference, ...]
    samples: int
    predictions_equal: float
    accuracy: float | None = None
    accuracy_of_file: float | None = None

    @property
    def first(self) -> LayerDifference | None:
        """The first layer where the two part."""
        return next((row for row in self.rows if not row.equal), None)

    def to_json(self) -> dict[str, Any]:
        """Rows, totals, and the first layer that differs; infinite ratios are null."""
        rows = [
            {
                "name": row.name,
                "equal": row.equal,
                "largest_step": row.largest_step,
                "qsnr_db": row.qsnr_db if math.isfinite(row.qsnr_db) else None,
                "reason": row.reason or None,
            }
            for row in self.rows
        ]
        totals = {
            "predictions_equal": self.predictions_equal,
            "samples": self.samples,
            "accuracy": self.accuracy,
            "accuracy_of_file": self.accuracy_of_file,
        }
        first = self.first.name if self.first else None
        return {
            "rows": rows,
            "predictions_equal": self.predictions_equal,
            "totals": totals,
            "first": first,
        }


def compare_with_file(
    graph: Graph,
    batches: Iterable[Any],
    stored: Mapping[str, StoredTensor],
    runner: FileRunner,
) -> FileComparison:
    """Run samples through the int8 engine and through the file, and compare what is in both.

    ``batches`` have ``arrays`` of real numbers in the order of axes of ``graph`` and ``labels``;
    ``stored`` are the file's tensors by the names of the nodes that stand for them.
    """
    layers = [
        _Layer(key, node, stored[node.name], inside)
        for key, node, inside in all_nodes(graph)
        if node.name in stored and node.quantization is not None
    ]
    engine = make_engine(graph, "int8", everything=True)
    score = _Score()
    for batch in batches:
        ours = engine.run(batch.arrays)
        for number in range(len(batch.names)):
            sample = [
                _in_file_order(array[number], node)
                for array, node in zip(batch.arrays, graph.inputs, strict=True)
            ]
            theirs = runner(sample)
            for layer in layers:
                layer.add(ours, theirs, number)
            score.add(_output(graph, ours, number), theirs[OUTPUT], batch.labels[number])
    return score.comparison(_rows(graph, [layer for layer in layers if layer.seen]))


def _in_file_order(sample: Array, node: Node) -> Array:
    order: tuple[int, ...] = getattr(node.op, "order", ())
    return sample.transpose(np.argsort(order)) if len(order) == sample.ndim else sample


def _output(graph: Graph, ours: Mapping[str, Array], number: int) -> Array:
    node = graph.outputs[0]
    assert node.quantization is not None
    return node.quantization.inputs[0].dequantize(ours[node.name][number])


class _Score:
    """Classes that both sides find."""

    def __init__(self) -> None:
        self.samples = self.same = self.labelled = self.right = self.right_of_file = 0

    def add(self, ours: Array, theirs: Array, label: Any) -> None:
        mine, other = int(np.argmax(ours)), int(np.argmax(theirs))
        self.samples += 1
        self.same += mine == other
        if isinstance(label, int | np.integer):
            self.labelled += 1
            self.right += mine == label
            self.right_of_file += other == label

    def comparison(self, rows: Sequence[LayerDifference]) -> FileComparison:
        known = self.labelled or None
        return FileComparison(
            tuple(rows),
            self.samples,
            self.same / max(self.samples, 1),
            self.right / known if known else None,
            self.right_of_file / known if known else None,
        )


class _Layer:
    """One node and the file's tensor, summed up over samples."""

    def __init__(self, key: str, node: Node, tensor: StoredTensor, inside: Graph) -> None:
        assert node.quantization is not None
        self.key, self.node, self.tensor, self.inside = key, node, tensor, inside
        self.record: QParams = node.quantization.outputs[0]
        self.sums = {order: Accumulator() for order in _MOVED}

    @property
    def seen(self) -> bool:
        return any(sums.elements for sums in self.sums.values())

    @property
    def best(self) -> Accumulator:
        """Of the orders of axes that fit, the one that the graph has: the nearest to the file."""
        fitting = [sums for sums in self.sums.values() if sums.elements]
        return min(fitting, key=lambda sums: sums.noise)

    def add(
        self, ours: Mapping[str, Array], theirs: Mapping[str | int, Array], number: int
    ) -> None:
        if self.key not in ours or self.tensor.key not in theirs:
            return
        mine = self.record.dequantize(ours[self.key][number])
        whole = theirs[self.tensor.key].astype(np.float64) - self.tensor.zero_point
        real = whole * self.tensor.scale
        if real.size != mine.size:
            return
        for order, sums in self.sums.items():
            moved = real.transpose(order) if real.ndim == len(order) else real
            if order == _MOVED[0] or _fits(moved, mine):
                sums.add(moved, mine)


def _fits(moved: Array, mine: Array) -> bool:
    return moved.shape[1:] == mine.shape


def _rows(graph: Graph, layers: Sequence[_Layer]) -> list[LayerDifference]:
    rows, parted = [], False
    for layer in layers:
        sums = layer.best
        steps = sums.max_error / layer.tensor.scale
        equal = steps <= _SAME
        reason = "" if equal else _reason(layer, parted)
        parted = parted or not equal
        result = 0.0 if equal else steps
        rows.append(
            LayerDifference(layer.key, layer.node.kind, equal, result, sums.qsnr_db, reason)
        )
    return rows


def _reason(layer: _Layer, parted: bool) -> str:
    record, tensor = layer.record, layer.tensor
    scale = float(np.asarray(record.scale).reshape(-1)[0])
    zero = tensor.zero_point - (128 if tensor.dtype == "uint8" else 0)
    mine = f"{scale:.6g}, zero point {record.zero_point}"
    if not math.isclose(scale, tensor.scale, rel_tol=1e-5) or record.zero_point != zero:
        return f"scale {mine} here, {tensor.scale:.6g}, zero point {zero} in the file"
    if parted:
        return "its inputs differ"
    inside = layer.inside if "/" in layer.key else [layer.node]
    kernels = [n.quantization.kernel for n in inside if n.quantization is not None]
    if any(isinstance(getattr(kernel, "scaling", None), Multiplier) for kernel in kernels):
        return "requantization rounds differently: multipliers have up to 8 bits here"
    return "the kernel rounds differently"
