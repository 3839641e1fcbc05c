"""Learned rounding of one filter after the other, without torch (``adaround --method gptq``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nnshell.inputs.input_set import Batch
from nnshell.ir.flat import FlatGraph, Item, Tensor
from nnshell.ir.graph import Graph
from nnshell.ir.qparams import QParams
from nnshell.ir.requests import ChosenFilter
from nnshell.learning.blocks import is_filter
from nnshell.learning.rounding import Moments, best_scale, compensated, moments, nearest, settled
from nnshell.learning.rows import (
    Matrix,
    by_group,
    filter_constants,
    outputs_at,
    rows_of,
    samples_for,
)
from nnshell.learning.trial import Trial
from nnshell.numeric.records import NO_WEIGHT
from nnshell.quantization import Basis, Learned

Done = Callable[[int], None]


def round_layers(
    graph: Graph, basis: Basis, batches: Sequence[Batch], progress: Done | None = None
) -> Learned:
    """Weights, scales and biases of all filters, each judged after the ones before it."""
    trial = Trial(graph, basis, batches)
    for path in [item.path for item in trial.filters()]:
        item = trial.flat.by_path[path]
        trial.learn(Learned({path: _rounded(trial, item)}))
        if progress is not None:
            progress(1)
    return trial.found


def search_scales(
    graph: Graph, basis: Basis, batches: Sequence[Batch], progress: Done | None = None
) -> Learned:
    """Scales of weights that leave the least error of each filter's output, nearest rounding."""
    trial = Trial(graph, basis, batches)
    for path in [item.path for item in trial.filters()]:
        item = trial.flat.by_path[path]
        weights, source = filter_constants(trial.flat, item)[0], item.inputs[0]
        grouped = by_group(item, weights).astype(np.float64)
        result = trial.tensors("float", [source], samples_for(item))[source]
        read = rows_of(item, result).astype(np.float64)
        fits = [moments(r, r @ w.T, w) for r, w in zip(read, grouped, strict=True)]
        record = _record(item)
        scales = _scales(record, fits)
        integers = [nearest(w, s, record.limits) for w, s in zip(grouped, scales, strict=True)]
        trial.learn(Learned({path: _chosen(record, weights, scales, integers, None)}))
        if progress is not None:
            progress(1)
    return trial.found


def _record(item: Item) -> QParams:
    """Of the weights."""
    quantization = item.node.quantization
    assert quantization is not None
    return quantization.inputs[1]


def _rounded(trial: Trial, item: Item) -> ChosenFilter:
    weights, bias = filter_constants(trial.flat, item)
    grouped = by_group(item, weights).astype(np.float64)
    source = item.inputs[0]
    partner = _partner(trial.flat, item)
    tensors = [source] if partner is None else [source, partner]
    enough = samples_for(item)
    simulated = trial.tensors("simulated", tensors, enough)
    real = trial.tensors("float", tensors, enough)
    read = rows_of(item, simulated[source]).astype(np.float64)
    expected = rows_of(item, real[source]).astype(np.float64) @ grouped.transpose(0, 2, 1)
    if partner is not None:
        expected += outputs_at(item, real[partner]) - outputs_at(item, simulated[partner])
    fits = [moments(r, y, w) for r, y, w in zip(read, expected, grouped, strict=True)]
    record = _record(item)
    scales = _scales(record, fits)
    scales, integers = _rounded_groups(record, fits, scales)
    shifts = [
        fit.mean_wanted - (scale[:, np.newaxis] * whole) @ fit.mean_read
        for fit, scale, whole in zip(fits, scales, integers, strict=True)
    ]
    corrected = (bias + np.concatenate(shifts)).astype(np.float32)
    return _chosen(record, weights, scales, integers, corrected)


def _rounded_groups(
    record: QParams, fits: Sequence[Moments], scales: Sequence[Matrix]
) -> tuple[list[Matrix], list[Matrix]]:
    """Scales and integers by group; scales as float32 has them."""
    shared, alone = record.scale.size == 1, len(fits) == 1
    results = []
    for fit, scale in zip(fits, scales, strict=True):
        integers = compensated(fit, scale, record.limits)
        if alone or not shared:
            fitted, integers = settled(fit, scale, integers, record.limits, shared)
            scale = fitted.astype(np.float32).astype(np.float64)
        results.append((scale, integers))
    return [scale for scale, _ in results], [integers for _, integers in results]


def _chosen(
    record: QParams,
    weights: NDArray[np.float32],
    scales: Sequence[Matrix],
    integers: Sequence[Matrix],
    bias: NDArray[np.float32] | None,
) -> ChosenFilter:
    scale = np.concatenate(scales).astype(np.float32)
    return ChosenFilter(
        record.bits,
        scale if record.scale.size > 1 or len(scale) == 1 else scale[:1],
        np.concatenate(integers).reshape(weights.shape).astype(np.int8),
        bias,
    )


def _partner(flat: FlatGraph, item: Item) -> Tensor | None:
    """The tensor that a filter's output is added to: the filter makes up for its error as well.

    Only one that was computed before counts, so that all filters before it are learned.
    """
    readers = flat.readers[item.outputs[0]]
    if len(readers) != 1 or readers[0].item.node.op.role != "sum":
        return None
    other = readers[0].item.inputs[1 - readers[0].index]
    maker = flat.maker(other)
    alike = maker.node.outputs[other.index].shape == item.node.outputs[0].shape
    if maker.node.op.role == "constant" or not alike:
        return None
    return other if _is_earlier(flat, maker, item) else None


def _is_earlier(flat: FlatGraph, maker: Item, item: Item) -> bool:
    """Whether all filters that a tensor depends on come before ``item``."""
    order = {entry.path: place for place, entry in enumerate(flat.items)}
    seen, waiting = {maker.path}, [maker]
    while waiting:
        current = waiting.pop()
        if is_filter(current) and order[current.path] >= order[item.path]:
            return False
        fresh = {tensor.path for tensor in current.inputs} - seen
        seen |= fresh
        waiting += [flat.by_path[path] for path in fresh]
    return True


def _scales(record: QParams, fits: Sequence[Moments]) -> list[Matrix]:
    """By group, as float32 has them. One scale of a whole tensor is searched in one group only:
    depthwise filters with one scale keep the one that reaches the largest weight.
    """
    shared = record.scale.size == 1
    largest = [np.maximum(np.abs(fit.weights).max(axis=1), NO_WEIGHT) for fit in fits]
    if shared:
        most = max(float(entry.max()) for entry in largest)
        largest = [np.full_like(entry, most) for entry in largest]
    ends = [entry / record.limits[1] for entry in largest]
    if not shared or len(fits) == 1:
        pairs = zip(fits, ends, strict=True)
        ends = [best_scale(fit, end, record.limits, shared) for fit, end in pairs]
    return [scale.astype(np.float32).astype(np.float64) for scale in ends]
