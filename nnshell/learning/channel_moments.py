"""Mean and variance of every channel without samples, for the analytic bias correction.

They are carried from the graph's inputs on, operator by operator (``Operator.channel_moments``):
a filter gives W m + b and W^2 v, a rectifier the moments of a clipped normal distribution. A batch
normalization says them itself: its offset and its factor squared. What comes after an operator that
states nothing is unknown and left alone.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.flat import FlatGraph, Item, Tensor
from nnshell.ir.moments import Moments, Vector
from nnshell.learning.rows import by_group
from nnshell.quantization import Statistics


def channel_moments(flat: FlatGraph, statistics: Statistics) -> dict[Tensor, Moments]:
    """What is known, by tensor."""
    known: dict[Tensor, Moments] = {}
    for item in flat.items:
        moments = _of_item(flat, item, known, statistics)
        if moments is not None and item.node.outputs:
            known[item.outputs[0]] = moments
    return known


def taps_mean(item: Item, known: Moments, weights: NDArray[np.float32]) -> Vector:
    """(groups, taps): the mean of what each tap of a filter reads, zeros of its padding too."""
    grouped = by_group(item, weights)
    taps = grouped.shape[0] * grouped.shape[2]
    spread: Vector = np.repeat(known.mean, taps // known.channels)
    window = item.node.op.sliding_window()
    if window is not None:
        inside = window.shares_inside(*item.graph.input_types(item.node)[0].shape[1:]).reshape(-1)
        spread = spread * np.tile(inside, taps // inside.size)
    return spread.reshape(grouped.shape[0], -1)


def _of_item(
    flat: FlatGraph, item: Item, known: dict[Tensor, Moments], statistics: Statistics
) -> Moments | None:
    op = item.node.op
    if op.role == "input":
        return _input(item, statistics)
    constants = [flat.maker(tensor).node.op.known_value for tensor in item.inputs]
    read = [known.get(tensor) for tensor in item.inputs]
    return op.channel_moments(read, item.graph.input_types(item.node), constants)


def _input(item: Item, statistics: Statistics) -> Moments | None:
    """Known mean and deviation, or those of evenly distributed values over the range."""
    seen = statistics.find(item.path)
    shape = item.node.outputs[0].shape
    if seen is None or not shape:
        return None
    mean = (seen.minimum + seen.maximum) / 2 if seen.mean is None else seen.mean
    deviation = (seen.maximum - seen.minimum) / math.sqrt(12) if seen.std is None else seen.std
    return Moments(np.full(shape[0], mean), np.full(shape[0], deviation**2))
