"""Calibration: running the float graph over samples to see the range of its tensors.

Only tensors are looked at whose range can matter: a convolution before a relu requantizes
into the relu's range, relu6 and sigmoid have fixed ones, a reshape has that of its input. The
extremes are taken inside ONNX Runtime, so that a few numbers per tensor and batch come back. Up
to a hundred samples or so, all tensors are looked at: it costs little, and tables show them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.reduction_engine import ReductionEngine
from nnshell.exporters.onnx import inner_key
from nnshell.ir.flat import FlatGraph, Item, flatten
from nnshell.ir.graph import Graph
from nnshell.ir.requests import Range
from nnshell.quantization.options import HISTOGRAM_CLIPS
from nnshell.quantization.ranges.limits import check_dead, check_limits
from nnshell.quantization.ranges.observers import (
    HistogramObserver,
    Observer,
    ObserverFactory,
    RunningExtremes,
    RunningMaximum,
    RunningMoments,
)
from nnshell.quantization.ranges.statistics import Statistics, TensorStatistics
from nnshell.support.errors import InputError

_LOG = logging.getLogger(__name__)

EVERYTHING_SAMPLES = 128  # up to so many, every tensor is looked at, for tables and files

_LARGEST_RANDOM = 1e30  # beyond, float32 overflows in the first layers

_PROBES = (Range(-2.0, 3.0), Range(-1.0, 3.0))  # to see whether a minimum matters


class Samples(Protocol):
    """One array per graph input, samples first."""

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """One float32 array for each graph input, (samples, *shape)."""


Batches = Iterable[Samples | Sequence[NDArray[Any]]]


def calibrate_graph(
    graph: Graph,
    batches: Batches,
    *,
    clip_type: str | Collection[str] = "none",
    observer: ObserverFactory | None = None,
    everything: bool | None = None,
    samples: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Statistics:
    """Ranges of the graph's tensors over all samples, streaming.

    ``clip_type``, one or several, says what else to collect: moments, histograms; ``observer``
    replaces the running extremes. ``everything`` says whether to look at every tensor or only at
    those whose range matters; by default at every one while there are few samples. ``samples`` is
    how many there will be, when that is known. ``progress`` is called with the number of samples
    just done.
    Layers that seem to saturate are reported to the log.
    Raises InputError when there are no samples or they hold NaN.
    """
    if everything is None and samples is not None:
        everything = samples <= EVERYTHING_SAMPLES
    calibrator = _Calibrator(graph, clip_type, observer, everything)
    for batch in batches:
        arrays = batch if isinstance(batch, Sequence) else batch.arrays
        calibrator.add(arrays)
        if progress is not None:
            progress(len(arrays[0]))
    return calibrator.statistics()


class _Calibrator:
    """Observers by tensor, and the engine that feeds them."""

    def __init__(
        self,
        graph: Graph,
        clip_type: str | Collection[str],
        observer: ObserverFactory | None,
        everything: bool | None,
    ) -> None:
        self._graph = graph
        self._flat = flatten(graph)
        self._choice = everything
        self._samples = 0
        self._names = [node.name for node in graph.inputs]
        self._observers = {
            key: (observer or _observer_for(clip_type))()
            for item in self._flat.items
            if item.node.op.role != "constant"
            for key in _keys(item)
        }
        self._inside = {
            inner_key(item.path, name): RunningExtremes()
            for item in self._flat.items
            for name in item.node.op.inner_ranges
        }
        if everything is False:
            self._keep_needed()
        self._engine = self._make_engine()

    def _keep_needed(self) -> None:
        self._observers = {
            key: _cheaper(item, self._observers[key])
            for item in needed_items(self._flat)
            for key in _keys(item)
        }

    def _make_engine(self) -> ReductionEngine | None:
        observers = {**self._observers, **self._inside}
        targets = {
            key: entry.reductions for key, entry in observers.items() if key not in self._names
        }
        return ReductionEngine(self._graph, targets) if targets else None

    def add(self, arrays: Sequence[NDArray[Any]]) -> None:
        """Observe one batch."""
        if len(arrays) != len(self._names):
            raise InputError(f"the graph has {len(self._names)} inputs, not {len(arrays)}")
        for array, name in zip(arrays, self._names, strict=True):
            _observe_input(array, name, self._observers[name])
        if self._samples == 0:
            check_limits(self._graph, arrays)
        elif self._choice is None and self._samples + len(arrays[0]) > EVERYTHING_SAMPLES:
            self._choice = False
            self._keep_needed()
            self._engine = self._make_engine()
        if self._engine is not None:
            for key, reduced in self._engine.reduce(arrays).items():
                (self._inside.get(key) or self._observers[key]).update(reduced)
        self._samples += len(arrays[0])

    def statistics(self) -> Statistics:
        """What was seen; InputError without samples, warnings about dead layers to the log."""
        if not self._samples:
            hint = "check the file pattern"
            raise InputError("there are no samples to calibrate with", hint=hint)
        tensors = _in_order(self._flat, self._observers)
        for item in self._flat.items:
            if item.node.op.inner_ranges and item.path in tensors:
                tensors[item.path] = replace(tensors[item.path], inside=self._inside_of(item))
        result = Statistics(tensors, self._samples)
        check_dead(self._flat, result)
        return result

    def _inside_of(self, item: Item) -> dict[str, Range]:
        names = item.node.op.inner_ranges
        return {name: self._inside[inner_key(item.path, name)].result().range for name in names}


def _keys(item: Item) -> tuple[str, ...]:
    """What engines call the outputs of an item."""
    more = range(1, len(item.outputs))
    return (item.path, *(f"{item.path}[{index}]" for index in more))


def _result(item: Item, observers: Mapping[str, Observer]) -> TensorStatistics:
    """Statistics of output 0, with those of each where there are several."""
    parts = tuple(observers[key].result() for key in _keys(item))
    return parts[0] if len(parts) == 1 else replace(parts[0], outputs=parts)


def _observer_for(clip_type: str | Collection[str]) -> ObserverFactory:
    names = {clip_type} if isinstance(clip_type, str) else set(clip_type)
    if names & set(HISTOGRAM_CLIPS):
        return HistogramObserver
    return RunningExtremes if names <= {"none"} else RunningMoments


def _cheaper(item: Item, observer: Observer) -> Observer:
    """The observer, or one that leaves out a minimum that decides nothing, as a relu's."""
    if not isinstance(observer, RunningExtremes) or item.node.op.role == "input":
        return observer
    return observer if _minimum_matters(item) else RunningMaximum(observer)


def needed_items(flat: FlatGraph) -> list[Item]:
    """The items whose observed range may decide a record, now or after fusing."""
    return [
        item for item in flat.items if item.node.op.role != "constant" and _is_needed(flat, item)
    ]


def _is_needed(flat: FlatGraph, item: Item) -> bool:
    op = item.node.op
    if op.role == "input":
        return True
    if not op.boundary and not op.keeps_record and op.output_range(None) is None:
        return True
    return any(
        reader.item.node.op.reads_range(reader.index)
        for tensor in item.outputs
        for reader in flat.readers[tensor]
    )


def _minimum_matters(item: Item) -> bool:
    lows = {
        None if result is None else result.minimum
        for result in map(item.node.op.output_range, _PROBES)
    }
    return lows != {0.0}


def _observe_input(array: NDArray[Any], name: str, observer: Observer) -> None:
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    if not np.isfinite(single).all():
        raise InputError(
            "the samples hold NaN, infinity or numbers beyond float32",
            where=f"input {name}",
            hint="check the norm function and the divisor",
        )
    if array.size:
        observer.update(_reduced(single, observer.reductions))


def _reduced(array: NDArray[np.float32], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """What ONNX Runtime gives for a computed tensor, of a graph input."""
    rows = array.reshape(len(array), -1)
    mean = rows.mean(axis=1, dtype=np.float64)  # sums of finite numbers do not overflow
    compute: dict[str, Callable[[], Any]] = {
        "min": array.min,
        "max": array.max,
        "mean": lambda: mean,
        "std": lambda: rows.std(axis=1, dtype=np.float64),
        "b": lambda: np.abs(rows - mean[:, np.newaxis]).mean(axis=1),
        "values": lambda: array,
    }
    return {name: np.asarray(compute[name]()) for name in names}


def _in_order(flat: FlatGraph, observers: Mapping[str, Observer]) -> dict[str, TensorStatistics]:
    """Statistics by key in step order; constants' own ranges, a fusion that of its last node."""
    results: dict[str, TensorStatistics] = {}
    for item in flat.items:
        value = item.node.op.known_value
        if value is not None and value.size and value.dtype.kind in "fiu":
            results[item.path] = TensorStatistics(float(value.min()), float(value.max()))
        elif item.path in observers:
            results[item.path] = _result(item, observers)
            if item.fusion is not None and item.ends_fusion:
                results[item.fusion.name] = results[item.path]
    return results


def random_batches(
    graph: Graph,
    *,
    uniform: float = 0.0,
    normal: float = 0.2,
    num_inference: int = 1,
    seed: int = 0,
) -> Iterator[tuple[NDArray[np.float32], ...]]:
    """Random samples for `fquant`, one per batch: uniform in +-``uniform``, or normal if that is 0.

    Inputs that take raw pixels get uniform integers of their whole range.
    """
    usable = 0 <= uniform <= _LARGEST_RANDOM and 0 < normal <= _LARGEST_RANDOM
    if num_inference < 1 or seed < 0 or not usable:
        raise InputError(
            "random inputs need num_inference of 1 or more, seed and uniform of 0 or more, normal "
            f"above 0, uniform and normal of at most {_LARGEST_RANDOM:g}"
        )
    generator = np.random.default_rng(seed)
    for _ in range(num_inference):
        yield tuple(
            _random(generator, (1, *node.type.shape), node.type.dtype, uniform, normal)
            for node in graph.inputs
        )


def _random(
    generator: np.random.Generator,
    shape: tuple[int, ...],
    dtype: str,
    uniform: float,
    normal: float,
) -> NDArray[np.float32]:
    if dtype in ("uint8", "uint16"):
        largest = int(np.iinfo(dtype).max)
        return generator.integers(0, largest, shape, endpoint=True).astype(np.float32)
    if uniform:
        return generator.uniform(-uniform, uniform, shape).astype(np.float32)
    return (normal * generator.standard_normal(shape)).astype(np.float32)
