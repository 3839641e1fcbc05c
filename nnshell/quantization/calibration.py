"""Calibration: running the float graph over samples to see the range of its tensors.

Only tensors are looked at whose range can matter: a convolution in front of a relu requantizes
into the relu's range, relu6 and sigmoid have fixed ones, a reshape has that of its input. The
extremes are taken inside ONNX Runtime, so that a few numbers per tensor and batch come back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nnshell.errors import InputError
from nnshell.execution.reduction_engine import ReductionEngine
from nnshell.ir.flat import FlatGraph, Item, flatten
from nnshell.ir.graph import Graph
from nnshell.ir.operator import Constant, Input, KernelOptions, Range
from nnshell.ops.max_pool import MaxPool
from nnshell.quantization.groups import group_tensors
from nnshell.quantization.limits import check_limits
from nnshell.quantization.observers import (
    Observer,
    ObserverFactory,
    RunningExtremes,
    RunningMaximum,
    RunningMoments,
)
from nnshell.quantization.statistics import Statistics, TensorStatistics

_LOG = logging.getLogger(__name__)

_PROBES = (Range(-2.0, 3.0), Range(-1.0, 3.0))  # to see whether a minimum matters


class Samples(Protocol):
    """One array per graph input, samples first."""

    arrays: tuple[NDArray[Any], ...]


Batches = Iterable[Samples | Sequence[NDArray[Any]]]


def calibrate_graph(
    graph: Graph,
    batches: Batches,
    *,
    clip_type: str = "none",
    observer: ObserverFactory | None = None,
    everything: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Statistics:
    """Ranges of the graph's tensors over all samples, streaming.

    ``clip_type`` other than "none" also collects moments. ``observer`` replaces the running
    extremes; ``everything`` looks at every tensor, not only at those whose range matters.
    ``progress`` is called with the number of samples just done. Layers that seem to saturate are
    reported to the log. Raises InputError when there are no samples or they hold NaN.
    """
    observers = _make_observers(graph, clip_type, observer, everything)
    names = [node.name for node in graph.inputs]
    inputs = {name: observers.pop(name, None) for name in names}
    wanted = {key: entry.reductions for key, entry in observers.items()}
    engine = ReductionEngine(graph, wanted) if wanted else None
    samples = 0
    for batch in batches:
        arrays = _arrays(batch)
        _observe_inputs(arrays, names, inputs)
        if samples == 0:
            check_limits(graph, arrays)
        if engine is not None:
            for key, reduced in engine.reduce(arrays).items():
                observers[key].update(reduced)
        samples += len(arrays[0])
        if progress is not None:
            progress(len(arrays[0]))
    if not samples:
        raise InputError("there are no samples to calibrate with", hint="check the file pattern")
    seen = {name: entry for name, entry in inputs.items() if entry is not None} | observers
    return Statistics(_in_order(graph, seen), samples)


def _arrays(batch: Samples | Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
    return batch if isinstance(batch, Sequence) else batch.arrays


def _make_observers(
    graph: Graph, clip_type: str, observer: ObserverFactory | None, everything: bool
) -> dict[str, Observer]:
    """An observer for each tensor to look at, by key; graph inputs included."""
    flat = flatten(graph)
    items = _computed(flat) if everything else needed_items(flat)
    found: dict[str, Observer] = {}
    for item in items:
        if observer is not None:
            found[item.path] = observer()
        elif clip_type != "none":
            found[item.path] = RunningMoments()
        elif isinstance(item.node.op, Input) or everything or _minimum_matters(item):
            found[item.path] = RunningExtremes()
        else:
            found[item.path] = RunningMaximum()
    return found


def _computed(flat: FlatGraph) -> list[Item]:
    return [item for item in flat.items if not isinstance(item.node.op, Constant)]


def needed_items(flat: FlatGraph) -> list[Item]:
    """The items whose observed range decides a record, now or when a pool is fused later."""
    makers = {
        id(candidate.source)
        for group in group_tensors(flat, KernelOptions()).all()
        for candidate in group.candidates
        if group.fixed is None
    }
    return [
        item
        for item in _computed(flat)
        if isinstance(item.node.op, Input)
        or (id(item) in makers and item.node.op.output_range(None) is None)
        or _may_be_fused(flat, item)
    ]


def _may_be_fused(flat: FlatGraph, item: Item) -> bool:
    """A max pool behind a filter: fused with it, the pool's range is the filter's."""
    if not isinstance(item.node.op, MaxPool):
        return False
    return item.fusion is None and flat.maker(item.inputs[0]).node.op.makes_wide


def _minimum_matters(item: Item) -> bool:
    lows = {
        None if found is None else found.minimum
        for found in map(item.node.op.output_range, _PROBES)
    }
    return lows != {0.0}


def _observe_inputs(
    arrays: Sequence[NDArray[Any]], names: Sequence[str], inputs: Mapping[str, Observer | None]
) -> None:
    for array, name in zip(arrays, names, strict=False):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(
                "the samples hold NaN or infinity",
                where=f"input {name}",
                hint="check the norm function and the divisor",
            )
        observer = inputs[name]
        if observer is not None and array.size:
            observer.update(_reduced(array.astype(np.float32), observer.reductions))


def _reduced(array: NDArray[np.float32], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """What ONNX Runtime gives for a computed tensor, of a graph input."""
    rows = array.reshape(len(array), -1)
    mean = rows.mean(axis=1)
    compute: dict[str, Callable[[], Any]] = {
        "min": array.min,
        "max": array.max,
        "mean": lambda: mean,
        "std": lambda: rows.std(axis=1),
        "b": lambda: np.abs(rows - mean[:, np.newaxis]).mean(axis=1),
        "values": lambda: array,
    }
    return {name: np.asarray(compute[name]()) for name in names}


def _in_order(graph: Graph, observers: Mapping[str, Observer]) -> dict[str, TensorStatistics]:
    """Statistics by key in step order; constants' own ranges, a fusion that of its last node."""
    flat = flatten(graph)
    found: dict[str, TensorStatistics] = {}
    for item in flat.items:
        op = item.node.op
        if isinstance(op, Constant) and op.value.size and op.value.dtype.kind in "fiu":
            found[item.path] = TensorStatistics(float(op.value.min()), float(op.value.max()))
        elif item.path in observers:
            found[item.path] = observers[item.path].result()
            if item.fusion is not None and item.ends_fusion:
                found[item.fusion.name] = found[item.path]
    return found


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
    if num_inference < 1 or uniform < 0 or normal <= 0:
        raise InputError(
            "random inputs need num_inference of 1 or more, uniform of 0 or more, normal above 0"
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
