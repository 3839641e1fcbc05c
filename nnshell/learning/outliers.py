"""Which channels force the scale of a tensor: one wide channel makes the steps of all coarse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.engines import make_engine
from nnshell.inputs.input_set import Batch
from nnshell.ir.flat import FlatGraph, Item, flatten
from nnshell.ir.graph import Graph
from nnshell.learning.rows import filter_constants
from nnshell.support.errors import InputError

Done = Callable[[int], None]
_NOTABLE = 2.0  # times the median channel: from here a channel counts as an outlier


@dataclass(frozen=True, slots=True)
class Outlier:
    """A tensor with several channels: the widest one, the others, what that costs."""

    name: str
    what: str  # "weights" or "activations"
    channels: int
    widest: int  # index of the channel that reaches furthest from 0
    reach: float  # how far
    second: float  # reach of the next channel
    median: float
    beyond: int  # channels that reach further than twice the median

    @property
    def ratio(self) -> float:
        """How many times further than the median channel the widest reaches."""
        return self.reach / self.median if self.median > 0 else float("inf")

    @property
    def lost_bits(self) -> float:
        """By how many bits the median channel's steps are coarser than with a scale of its own."""
        return float(np.log2(self.ratio)) if np.isfinite(self.ratio) else float("inf")


def weight_outliers(graph: Graph) -> list[Outlier]:
    """Of the weights of filters, output channel by output channel, worst first."""
    flat = flatten(graph)
    results = []
    for item in flat.items:
        if item.node.op.makes_wide and _has_constants(flat, item):
            weights = filter_constants(flat, item)[0]
            extremes = np.abs(weights.reshape(len(weights), -1)).max(axis=1)
            results.append(_outlier(item.path, "weights", extremes))
    return _ranked(results)


def activation_outliers(
    graph: Graph, batches: Sequence[Batch], progress: Done | None = None
) -> list[Outlier]:
    """Of the tensors that nodes make in float on these samples, worst first."""
    if not batches:
        raise InputError("there are no samples to look at", hint="check the file pattern")
    names = [item.path for item in flatten(graph).items if _has_channels(item)]
    if not names:
        return []  # a network of vectors and sequences
    engine, extremes = make_engine(graph, "float", keys=names), dict[str, NDArray[np.float32]]()
    for batch in batches:
        for name, values in engine.run(batch.arrays).items():
            seen = np.abs(values.reshape(*values.shape[:2], -1)).max(axis=(0, 2))
            extremes[name] = np.maximum(seen, extremes.get(name, seen))
        if progress is not None:
            progress(len(batch))
    return _ranked([_outlier(name, "activations", extremes[name]) for name in names])


def _has_constants(flat: FlatGraph, item: Item) -> bool:
    parameters = [flat.maker(tensor).node.op for tensor in item.inputs[1:3]]
    return len(parameters) == 2 and all(op.role == "constant" for op in parameters)


def _has_channels(item: Item) -> bool:
    """A computed feature map; what only moves values has the channels of its input."""
    op = item.node.op
    if op.role == "constant" or op.boundary or op.keeps_record or op.made_by_quantizer:
        return False
    shape = item.node.outputs[0].shape
    return len(shape) == 3 and shape[0] > 1


def _outlier(name: str, what: str, extremes: NDArray[np.float32]) -> Outlier:
    order = np.argsort(-extremes, kind="stable")
    median = float(np.median(extremes))
    second = float(extremes[order[1]]) if len(order) > 1 else 0.0
    widest = int(order[0])
    beyond = int((extremes > _NOTABLE * median).sum())
    reach = float(extremes[widest])
    return Outlier(name, what, len(extremes), widest, reach, second, median, beyond)


def _ranked(results: list[Outlier]) -> list[Outlier]:
    return sorted(results, key=lambda entry: (-entry.ratio, entry.name))
