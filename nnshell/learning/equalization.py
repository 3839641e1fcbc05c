"""Cross-layer equalization: channels between two filters share the room of one scale fairly.

A positive factor passes through a rectifier, f(s x) = s f(x), so channel i between two filters can
be divided by s_i in the first and multiplied in the second without changing the function. With r1_i
the largest weight that makes channel i and r2_i the largest that reads it,

    s_i = sqrt(r1_i r2_i) / r2_i      makes both sqrt(r1_i r2_i)

(M. Nagel et al., "Data-free quantization through weight equalization and bias correction", 2019).
Pairs are gone through until no factor changes much; a chain of depthwise and pointwise filters so
becomes even as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.engines import make_engine
from nnshell.ir.basic_operators import Constant
from nnshell.ir.flat import FlatGraph, Item, flatten
from nnshell.ir.graph import Graph
from nnshell.learning.rows import filter_constants
from nnshell.support.errors import GraphError, UsageError

Vector = NDArray[np.float64]
THRESHOLD = 0.01  # relative change of a factor that still counts
_ROUNDS = 40
_WIDEST = 1e3  # of a factor: beyond it a channel is as good as dead
_TOLERANCE = 1e-3  # of the largest output
_SAMPLES = 4


@dataclass(frozen=True, slots=True)
class Pair:
    """Two filters by path, and how uneven the channels between them were and are.

    Unevenness is the largest ratio of two channels' largest weights where they are read, which is
    what one scale of a tensor has to cover.
    """

    first: str
    second: str
    before: float
    after: float


def equalize_filters(graph: Graph, threshold: float = THRESHOLD) -> list[Pair]:
    """Equalize all pairs of filters of a float graph.

    Ranges and learned values of the graph before are of the old channels. Raises UsageError when
    there is no pair, GraphError when the float function would change.
    """
    if not threshold > 0:
        raise UsageError("the threshold must be above 0", hint="give --threshold 0.1")
    flat = flatten(graph)
    pairs = _pairs(flat)
    if not pairs:
        raise UsageError(
            "no two filters follow one another with nothing but a rectifier or a pool between them",
            where=graph.name,
        )
    weights = {item.path: _Weights.of(flat, item) for pair in pairs for item in pair}
    before = [_unevenness(weights[second.path].reads()) for _, second in pairs]
    for _ in range(_ROUNDS):
        changes = [_balance(weights[a.path], weights[b.path]) for a, b in pairs]
        if max(changes) < threshold:
            break
    sample = _sample(graph)
    expected = _outputs(graph, sample)
    for entry in weights.values():
        entry.store(graph)
    _check(expected, _outputs(graph, sample), graph.name)
    return [
        Pair(a.path, b.path, old, _unevenness(weights[b.path].reads()))
        for (a, b), old in zip(pairs, before, strict=True)
    ]


@dataclass(slots=True, eq=False)
class _Weights:
    """Weights and bias of a filter while factors move through them."""

    names: tuple[str, str]
    weights: Vector  # (groups, filters of a group, input channels of a group, taps)
    bias: Vector
    shape: tuple[int, ...]

    @classmethod
    def of(cls, flat: FlatGraph, item: Item) -> _Weights:
        """Weights and bias of a filter in float64, grouped."""
        weights, bias = filter_constants(flat, item)
        source, groups = item.graph.input_types(item.node)[0], item.node.op.filter_groups
        channels = source.shape[0] // groups
        grouped = weights.astype(np.float64).reshape(groups, len(weights) // groups, channels, -1)
        names = (item.inputs[1].path, item.inputs[2].path)
        return cls(names, grouped, bias.astype(np.float64), weights.shape)

    def makes(self) -> Vector:
        """The largest weight of each output channel."""
        return np.asarray(np.abs(self.weights).max(axis=(2, 3)).reshape(-1))

    def reads(self) -> Vector:
        """The largest weight at each input channel."""
        return np.asarray(np.abs(self.weights).max(axis=(1, 3)).reshape(-1))

    def store(self, graph: Graph) -> None:
        """Write them to the graph as float32 constants."""
        for name, values, shape in zip(
            self.names, (self.weights, self.bias), (self.shape, self.bias.shape), strict=True
        ):
            node = graph[name].copy()
            node.op = Constant(values.reshape(shape).astype(np.float32))
            graph.nodes[name] = node


def _balance(first: _Weights, second: _Weights) -> float:
    """Even out the channels between two filters; the largest relative change of a factor."""
    result, read = first.makes(), second.reads()
    live = (result > 0) & (read > 0)
    factor = np.where(live, np.sqrt(result / np.where(live, read, 1.0)), 1.0)
    factor = factor.clip(1 / _WIDEST, _WIDEST)
    first.weights /= factor.reshape(*first.weights.shape[:2], 1, 1)
    first.bias /= factor
    second.weights *= factor.reshape(second.weights.shape[0], 1, second.weights.shape[2], 1)
    return float(np.abs(factor - 1).max())


def _unevenness(extremes: Vector) -> float:
    live = extremes[extremes > 0]
    return float(live.max() / live.min()) if live.size else 1.0


def _pairs(flat: FlatGraph) -> list[tuple[Item, Item]]:
    results = []
    for item in flat.items:
        second = _reader(flat, item) if _is_plain(flat, item) else None
        if second is not None and _is_plain(flat, second):
            results.append((item, second))
    return results


def _is_plain(flat: FlatGraph, item: Item) -> bool:
    """A filter whose constants are its own and lie at top level."""
    if item.node.op.role != "filter":
        return False
    makers = [flat.maker(tensor) for tensor in item.inputs[1:3]]
    own = all(len(flat.readers[tensor]) == 1 for tensor in item.inputs[1:3])
    return own and all(m.node.op.role == "constant" and m.fusion is None for m in makers)


def _reader(flat: FlatGraph, item: Item) -> Item | None:
    """The filter that alone reads what a filter makes, after operators that scale along."""
    channels, tensor = item.node.outputs[0].shape[0], item.outputs[0]
    while True:
        readers = flat.readers[tensor]
        if len(readers) != 1 or readers[0].index != 0:
            return None
        following = readers[0].item
        if following.node.op.role == "filter":
            shape = following.graph.input_types(following.node)[0].shape
            return following if shape and shape[0] == channels else None
        if not following.node.op.scales_along(0) or following.node.outputs[0].shape[:1] != (
            channels,
        ):
            return None
        tensor = following.outputs[0]


def _sample(graph: Graph) -> list[NDArray[np.float32]]:
    generator = np.random.default_rng(0)
    return [generator.standard_normal((_SAMPLES, *n.type.shape), np.float32) for n in graph.inputs]


def _outputs(graph: Graph, sample: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    keys = [node.name for node in graph.outputs]
    outputs = make_engine(graph, "float", keys=keys).run(sample)
    return [outputs[key] for key in keys]


def _check(
    targets: list[NDArray[np.float32]], results: list[NDArray[np.float32]], name: str
) -> None:
    for old, new in zip(targets, results, strict=True):
        if not np.allclose(old, new, atol=_TOLERANCE * float(np.abs(old).max()) + 1e-6):
            raise GraphError("equalized weights would change the float results", where=name)
