"""Mean and variance of every channel without samples, for the analytic bias correction.

Behind a batch normalization they are its offset and its factor squared. Elsewhere they are carried
from the graph's input on, values of a channel taken as normally distributed and as independent
(M. Nagel et al., "Data-free quantization through weight equalization and bias correction", 2019,
section 4.2): a filter gives W m + b and W^2 v, a rectifier the moments of a clipped normal
distribution. What is behind an operator without a rule is unknown and left alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.basic_operators import Constant, Input
from nnshell.ir.flat import FlatGraph, Item, Tensor
from nnshell.ir.requests import Range
from nnshell.learning.blocks import is_filter
from nnshell.learning.rows import by_group, filter_constants
from nnshell.ops.add import Add
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.batch_norm import BatchNorm
from nnshell.ops.concat import Concat
from nnshell.ops.global_pool import GlobalAveragePool
from nnshell.ops.leaky_relu import LeakyRelu
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.pad import Pad
from nnshell.ops.strided_slice import StridedSlice
from nnshell.quantization import Statistics

Vector = NDArray[np.float64]
_EVERYTHING = Range(-1e30, 1e30)
_POINTS = np.linspace(-8.0, 8.0, 401)  # deviations from the mean
_DENSITY = np.exp(-np.square(_POINTS) / 2) / np.exp(-np.square(_POINTS) / 2).sum()


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Of a tensor, an element for each index of its first axis."""

    mean: Vector
    variance: Vector


def channel_moments(flat: FlatGraph, statistics: Statistics) -> dict[Tensor, Moments]:
    """What is known, by tensor."""
    found: dict[Tensor, Moments] = {}
    for item in flat.items:
        made = _of_item(flat, item, found, statistics)
        if made is not None and item.node.outputs:
            found[item.outputs[0]] = made
    return found


def taps_mean(item: Item, known: Moments, weights: NDArray[np.float32]) -> Vector:
    """(groups, taps): the mean of what each tap of a filter reads."""
    channels = known.mean.size
    grouped = by_group(item, weights)
    places = grouped.shape[0] * grouped.shape[2] // channels
    spread: Vector = np.repeat(known.mean, places).reshape(grouped.shape[0], -1)
    return spread


def _of_item(
    flat: FlatGraph, item: Item, found: dict[Tensor, Moments], statistics: Statistics
) -> Moments | None:
    op = item.node.op
    if isinstance(op, Constant):
        return None
    if isinstance(op, Input):
        return _input(item, statistics)
    if isinstance(op, BatchNorm):
        return _normalized(flat, item)
    read = [found[t] for t in item.inputs if t in found]
    activations = [t for t in item.inputs if not isinstance(flat.maker(t).node.op, Constant)]
    if not read or len(read) != len(activations):
        return None
    if is_filter(item):
        return _filtered(flat, item, read[0])
    return _combined(item, read) if len(read) > 1 else _changed(item, read[0])


def _input(item: Item, statistics: Statistics) -> Moments | None:
    """Known mean and deviation, or those of evenly distributed values over the range."""
    seen = statistics.find(item.path)
    shape = item.node.outputs[0].shape
    if seen is None or not shape:
        return None
    mean = (seen.minimum + seen.maximum) / 2 if seen.mean is None else seen.mean
    deviation = (seen.maximum - seen.minimum) / math.sqrt(12) if seen.std is None else seen.std
    return Moments(np.full(shape[0], mean), np.full(shape[0], deviation**2))


def _normalized(flat: FlatGraph, item: Item) -> Moments | None:
    scale, offset = (flat.maker(tensor).node.op for tensor in item.inputs[1:3])
    if not isinstance(scale, Constant) or not isinstance(offset, Constant):
        return None
    return Moments(offset.value.astype(np.float64), np.square(scale.value.astype(np.float64)))


def _filtered(flat: FlatGraph, item: Item, read: Moments) -> Moments | None:
    weights, bias = filter_constants(flat, item)
    grouped = by_group(item, weights).astype(np.float64)
    if grouped.shape[0] * grouped.shape[2] % read.mean.size:
        return None
    means = taps_mean(item, read, weights)
    variances = taps_mean(item, Moments(read.variance, read.variance), weights)
    mean = np.einsum("grt,gt->gr", grouped, means).reshape(-1) + bias
    return Moments(mean, np.einsum("grt,gt->gr", grouped**2, variances).reshape(-1))


def _combined(item: Item, read: list[Moments]) -> Moments | None:
    op = item.node.op
    if isinstance(op, Concat) and op.axis == 0:
        return Moments(
            np.concatenate([m.mean for m in read]), np.concatenate([m.variance for m in read])
        )
    if isinstance(op, Add) and len({m.mean.size for m in read}) == 1:
        return Moments(
            np.asarray(sum(m.mean for m in read)), np.asarray(sum(m.variance for m in read))
        )
    return None


def _changed(item: Item, read: Moments) -> Moments | None:
    op, outputs = item.node.op, item.node.outputs[0]
    if isinstance(op, MaxPool):
        return _largest(read, math.prod(op.window.kernel))
    if op.pushes_range:
        kept = op.output_range(_EVERYTHING)
        return (
            None if kept is None else _through(read, lambda x: x.clip(kept.minimum, kept.maximum))
        )
    if isinstance(op, LeakyRelu):
        return _through(read, lambda x: np.where(x < 0, op.alpha * x, x))
    if isinstance(op, AveragePool | GlobalAveragePool):
        return read
    if isinstance(op, Pad):
        return Moments(np.pad(read.mean, op.pads[0]), np.pad(read.variance, op.pads[0]))
    if isinstance(op, StridedSlice):
        kept_channels = slice(op.starts[0], op.ends[0], op.strides[0])
        return Moments(read.mean[kept_channels], read.variance[kept_channels])
    if op.keeps_record and outputs.shape and outputs.shape[0] == read.mean.size:
        return read
    return None


def _through(read: Moments, function: object) -> Moments:
    """Moments of a function of normally distributed values."""
    assert callable(function)
    deviation = np.sqrt(read.variance)[:, np.newaxis]
    made = function(read.mean[:, np.newaxis] + deviation * _POINTS)
    mean = made @ _DENSITY
    return Moments(mean, np.square(made - mean[:, np.newaxis]) @ _DENSITY)


def _largest(read: Moments, count: int) -> Moments:
    """The largest of ``count`` independent values."""
    below = np.cumsum(_DENSITY)
    density = np.diff(below**count, prepend=0.0)
    shift = float(density @ _POINTS)
    spread = float(density @ np.square(_POINTS - shift))
    return Moments(read.mean + shift * np.sqrt(read.variance), spread * read.variance)
