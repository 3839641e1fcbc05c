"""Ranges of activations searched against the error of the layers that read them.

A tensor's rounding error matters by what its readers make of it: for a filter, the error of its
outputs relative to their power; for other readers, the tensor's own. The ends that add up to the
least are kept, first both drawn in alike, then one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnshell.experiments.bench import Bench
from nnshell.inputs.input_set import Batch
from nnshell.ir.flat import FlatGraph, Item, Reader
from nnshell.ir.flat import Tensor as FlatTensor
from nnshell.ir.graph import Graph
from nnshell.ir.qparams import FLOAT_BITS, QParams
from nnshell.ir.requests import Range
from nnshell.learning.blocks import is_filter
from nnshell.learning.rows import by_group, filter_constants, rows_of
from nnshell.learning.trial import Trial
from nnshell.numeric.records import asymmetric_record, symmetric_record
from nnshell.quantization import Basis, Learned
from nnshell.quantization.solving.groups import Group, group_tensors

Done = Callable[[int], None]
_ROWS = 2048  # places that are looked at
_VALUES = 65_536  # of a tensor that no filter reads
_PARTS = np.linspace(1.0, 0.2, 25)  # of the observed range
_TRIED = (0.9, 1.1, 0.8)  # of a range, against the output's noise
_AROUND = np.linspace(0.7, 1.3, 13)  # of one end, once both are chosen alike


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What one reader sees: values, and the weights they meet (None: the values count)."""

    values: NDArray[np.float32]
    weights: NDArray[np.float32] | None
    power: float

    def error(self, record: QParams) -> float:
        error = record.dequantize(record.quantize(self.values)) - self.values
        if self.weights is not None:
            error = error @ self.weights.transpose(0, 2, 1)
        return float(np.square(error).mean(dtype=np.float64)) / self.power


def searched_ranges(
    graph: Graph, basis: Basis, batches: Sequence[Batch], progress: Done | None = None
) -> Learned:
    """A range for every group of tensors whose range is free."""
    trial = Trial(graph, basis, batches)
    flat, result = trial.flat, dict[str, Range]()
    for group in group_tensors(flat).all():
        record = _free_record(flat, group)
        if record is not None:
            best = _search(record, _views(trial, flat, group))
            result |= {c.source.path: best for c in group.candidates if best is not None}
        if progress is not None:
            progress(1)
    return Learned({}, result)


def _free_record(flat: FlatGraph, group: Group) -> QParams | None:
    """The record of a group, when calibration chose it and no kernel, graph input or output."""
    maker = group.candidates[0].maker
    quantization = maker.node.quantization
    if (
        quantization is None
        or not quantization.outputs
        or not maker.inputs
        or maker.node.op.made_by_quantizer
    ):
        return None
    record = quantization.outputs[0]
    if (
        not group.free
        or len(group.candidates) > 1
        or record.dtype != "int8"
        or record.bits == FLOAT_BITS
    ):
        return None
    readers = [reader for tensor in group.tensors for reader in flat.readers[tensor]]
    ends = any(r.item.node.op.role == "output" and r.item.fusion is None for r in readers)
    return record if _readers(flat, group) and not ends else None


def _readers(flat: FlatGraph, group: Group) -> list[Reader]:
    """Readers that do not pass the record on."""
    results = [reader for tensor in group.tensors for reader in flat.readers[tensor]]
    return [r for r in results if not any(result in group.tensors for result in r.item.outputs)]


def _views(trial: Trial, flat: FlatGraph, group: Group) -> list[_View]:
    readers = _readers(flat, group)
    tensors = list(dict.fromkeys(reader.item.inputs[reader.index] for reader in readers))
    values = trial.tensors("float", tensors)
    return [_view(flat, reader, values) for reader in readers]


def _view(
    flat: FlatGraph, reader: Reader, results: dict[FlatTensor, list[NDArray[np.float32]]]
) -> _View:
    item: Item = reader.item
    batches = results[item.inputs[reader.index]]
    if is_filter(item) and reader.index == 0:
        values = rows_of(item, batches, _ROWS)
        weights = by_group(item, filter_constants(flat, item)[0])
        result = values @ weights.transpose(0, 2, 1)
        return _View(values, weights, _power(result))
    flattened = np.concatenate([batch.reshape(-1) for batch in batches]).astype(np.float32)
    values = flattened[:: max(1, flattened.size // _VALUES)]
    return _View(values, None, _power(values))


def _power(values: NDArray[np.float32]) -> float:
    return float(np.square(values).mean(dtype=np.float64)) + 1e-30


def _search(record: QParams, views: Sequence[_View]) -> Range | None:
    """The best ends; None when all is zero."""
    low = min(0.0, *(float(view.values.min()) for view in views), 0.0)
    high = max(0.0, *(float(view.values.max()) for view in views), 0.0)
    if low == high:
        return None
    make = asymmetric_record if record.asymmetric else symmetric_record

    def error(kept: Range) -> float:
        tried = make(kept, bits=record.bits)
        return sum(view.error(tried) for view in views)

    best = min((Range(low * part, high * part) for part in _PARTS), key=error)
    best = min((Range(best.minimum, best.maximum * part) for part in _AROUND), key=error)
    if best.minimum < 0:
        best = min((Range(best.minimum * part, best.maximum) for part in _AROUND), key=error)
    return best


def tuned_ranges(
    graph: Graph,
    basis: Basis,
    batches: Sequence[Batch],
    found: Learned,
    progress: Done | None = None,
) -> Learned:
    """``found`` with ranges drawn in or out, one after the other, where the output gets less noisy.

    Each change is judged by the noise of the whole graph after everything in ``found``.
    """
    trial, bench = Trial(graph, basis, batches), Bench(graph, basis, batches)
    trial.learn(found)
    least = bench.try_basis(trial.basis).noise
    for group in group_tensors(trial.flat).all():
        record = _free_record(trial.flat, group)
        for part in _TRIED if record is not None else ():
            assert record is not None
            low, high = (limit - record.zero_point for limit in record.limits)
            step = part * record.first_scale
            reach = {c.source.path: Range(low * step, high * step) for c in group.candidates}
            noise = bench.try_basis(trial.basis.with_learned(Learned({}, reach))).noise
            if noise < least:
                least = noise
                trial.learn(Learned({}, reach))
                break
        if progress is not None:
            progress(1)
    return trial.found
