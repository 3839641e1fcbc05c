"""How values are spread: weights of a graph, activations over inputs (`weights`, `activations`).

sigma    sqrt(mean(x**2) - mean(x)**2), over all values
shares   of weights they are exact; of activations, which stream by, they come from a histogram of
         4,096 bins, and a bin that a border cuts counts in part
Q format Qm.n in 8 bits: a sign, m integer and n fraction bits, the finest that holds the range
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.graph import Graph, all_nodes
from nnshell.ir.qparams import FLOAT_BITS, QParams
from nnshell.ir.select import select
from nnshell.quantization.ranges.histogram import Histogram as FineHistogram
from nnshell.quantization.ranges.histogram import StreamingHistogram
from nnshell.quantization.ranges.statistics import Statistics, TensorStatistics
from nnshell.reports.plots import Histogram
from nnshell.support.errors import InputError, QuantizationError

SIGMAS = (1, 2, 3, 5)
BINS = 96  # of a stored histogram; those that are shown join 1, 2, 3, 4, 6, 8 or 12 of them
_BITS = 8


class Samples(Protocol):
    """One array per graph input, samples first."""

    @property
    def arrays(self) -> Sequence[NDArray[Any]]:
        """One array for each graph input, (samples, *shape)."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """The values of one tensor, over all samples where there are several."""

    step: int
    name: str
    shape: str
    count: int
    minimum: float
    maximum: float
    mean: float
    sigma: float
    outside: tuple[float, ...] = ()  # shares outside mean +- n sigma, for each of SIGMAS
    histogram: tuple[int, ...] = ()  # counts in equal bins from minimum to maximum
    zeros: float | None = None  # share of values that are exactly 0, where they were counted
    qsnr_db: float | None = None  # of the Q format
    representable: tuple[float, float] | None = None  # by the tensor's integers
    bits: int = _BITS  # of these integers

    @property
    def fraction_bits(self) -> int:
        """n of Qm.n."""
        largest = max(abs(self.minimum), abs(self.maximum))
        return _BITS - 1 - math.ceil(math.log2(largest)) if largest > 0 else _BITS - 1

    @property
    def q_format(self) -> str:
        """The Qm.n form of 8 bits that holds the largest value."""
        return f"Q{_BITS - 1 - self.fraction_bits}.{self.fraction_bits}"

    def as_histogram(self) -> Histogram:
        """To be drawn, in as many bins as the values can fill."""
        counts = shown_bins(self.histogram, self.count)
        return Histogram(
            self.name,
            self.minimum,
            self.maximum,
            counts,
            self.mean,
            self.sigma,
            self.representable,
            self.bits,
        )


def shown_bins(counts: Sequence[int], values: int, most: int = BINS) -> tuple[int, ...]:
    """Bins joined to at most ``most``, and to about twice the cube root of the number of values.

    The rule is Rice's (Lane, "Histograms", Online Statistics Education).
    """
    wanted = min(most, max(8.0, 2 * values ** (1 / 3)))
    size = next(n for n in (96, 48, 32, 24, 16, 12, 8) if n <= wanted)
    joined = np.asarray(counts, np.int64).reshape(size, -1).sum(axis=1)
    return tuple(int(n) for n in joined)


def constant_distributions(
    graph: Graph, names: Collection[str] | None = None, *, channels: bool = False
) -> list[Distribution]:
    """Weights and biases in step order, or those called ``names``.

    With ``channels`` each output channel (first axis) of weights has an entry, ``NAME[3]``.
    """
    results = []
    for step, node in enumerate(graph.steps()):
        value = node.op.known_value
        if value is None or not value.size:
            continue
        if names is not None and node.name not in names:
            continue
        record = None if node.quantization is None else node.quantization.output
        results.append(_with_integers(distribution(step, node.name, value), record))
        if channels and value.ndim > 1:
            results += [distribution(step, f"{node.name}[{n}]", row) for n, row in enumerate(value)]
    return results


def _with_integers(entry: Distribution, record: QParams | None) -> Distribution:
    """With the range that the tensor's integers stand for; of channels, the widest."""
    if record is None or record.bits == FLOAT_BITS:
        return entry
    low, high = record.limits
    scales = record.scale.astype(np.float64)
    ends = (
        float((low - record.zero_point) * scales.max()),
        float((high - record.zero_point) * scales.max()),
    )
    width = record.bits if record.dtype == "int8" else int(record.dtype.strip("uint"))
    return replace(entry, representable=ends, bits=width)


def constant_values(
    graph: Graph, names: Collection[str], *, integers: bool = False
) -> list[tuple[str, NDArray[Any]]]:
    """Values of the constants called ``names``, in step order: floats, or quantized ``integers``.

    QuantizationError when integers are asked of a graph that has none.
    """
    values: list[tuple[str, NDArray[Any]]] = []
    for node in graph.steps():
        floats = node.op.known_value
        if node.name not in names or floats is None:
            continue
        if integers and node.quantization is None:
            raise QuantizationError(
                "the graph is not quantized", where=graph.name, hint="run aquant IMAGES first"
            )
        quantized = None if node.quantization is None else node.quantization.kernel
        values.append((node.name, quantized.values if integers and quantized else floats))
    return values


def constants_of(graph: Graph, selector: str) -> set[str]:
    """Names of the constants that a selector names, or that the nodes it names read."""
    results: set[str] = set()
    for key, node in select(graph, selector):
        results.add(key)
        results.update(ref.node for ref in node.inputs)
        outer = graph[key.partition("/")[0]]
        results.update(ref.node for ref in outer.inputs)
    return results


def distribution(step: int, name: str, array: NDArray[Any]) -> Distribution:
    """One array; InputError when it holds NaN or infinity."""
    values = array.astype(np.float64).reshape(-1)
    if not np.isfinite(values).all():
        raise InputError("values that are not finite have no distribution", where=name)
    mean, sigma = float(values.mean()), float(values.std())
    low, high = float(values.min()), float(values.max())
    distance = np.abs(values - mean)
    result = Distribution(step, name, _shape(array), values.size, low, high, mean, sigma)
    return replace(
        result,
        outside=tuple(float((distance > n * sigma).mean()) for n in SIGMAS),
        histogram=_histogram(values, low, high),
        zeros=float((values == 0).mean()),
        qsnr_db=_qsnr_db(values, result.fraction_bits),
    )


def _histogram(values: NDArray[np.float64], low: float, high: float) -> tuple[int, ...]:
    """Counts in equal bins, of values of any size and however close to each other."""
    with np.errstate(over="ignore"):
        width = high / 2 - low / 2
    places = (values / 2 - low / 2) / width if width else np.zeros_like(values)
    return tuple(int(n) for n in np.histogram(np.clip(places, 0, 1), BINS, (0, 1))[0])


def _shape(array: NDArray[Any]) -> str:
    return "x".join(map(str, array.shape)) or "scalar"


def _qsnr_db(values: NDArray[np.float64], fraction_bits: int) -> float:
    scale, limit = 2.0**-fraction_bits, 1 << (_BITS - 1)
    with np.errstate(all="ignore"):  # a scale below the smallest number is zero
        rounded = np.clip(np.floor(values / scale + 0.5), -limit, limit - 1) * scale
    noise, signal = float(np.square(values - rounded).sum()), float(np.square(values).sum())
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


class _Spread:
    """Sums and a histogram of one tensor over batches."""

    def __init__(self) -> None:
        self.count, self.zeros, self.total, self.squares = 0, 0, 0.0, 0.0
        self.minimum, self.maximum = math.inf, -math.inf
        self.shape = ""
        self.histogram = StreamingHistogram()

    def add(self, array: NDArray[Any]) -> None:
        """Take a batch of the tensor, (samples, *shape)."""
        values = array.astype(np.float64)
        self.shape = _shape(array[0])
        self.count += values.size
        self.zeros += values.size - int(np.count_nonzero(values))
        self.total += float(values.sum())
        self.squares += float(np.square(values).sum())
        self.minimum = min(self.minimum, float(values.min()))
        self.maximum = max(self.maximum, float(values.max()))
        self.histogram.add(values)

    def result(self, step: int, key: str) -> Distribution:
        """How everything was spread."""
        mean = self.total / self.count
        sigma = math.sqrt(max(self.squares / self.count - mean * mean, 0.0))
        low, high, counted = self.minimum, self.maximum, self.histogram.result()
        results = Distribution(step, key, self.shape, self.count, low, high, mean, sigma)
        if not counted.total:  # not finite: there is nothing to draw
            return results
        outside = tuple(_outside(counted, mean - n * sigma, mean + n * sigma) for n in SIGMAS)
        return replace(
            results,
            outside=outside if sigma else (0.0,) * len(SIGMAS),
            histogram=_coarser(counted, low, high),
            zeros=self.zeros / self.count,
        )


def _below(counted: FineHistogram, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many values lie below each place, as if the values of a bin were evenly spread."""
    sums = np.concatenate([[0], np.cumsum(counted.counts)])
    below: NDArray[np.float64] = np.interp(places, counted.edges, sums)
    return below


def _outside(counted: FineHistogram, low: float, high: float) -> float:
    """The share of values below ``low`` or above ``high``."""
    if low <= counted.minimum and high >= counted.maximum:
        return 0.0
    below, up_to = _below(counted, np.array([low, high]))
    return max(0.0, 1 - float(up_to - below) / counted.total)


def _coarser(counted: FineHistogram, low: float, high: float) -> tuple[int, ...]:
    """The same counts in ``BINS`` bins from ``low`` to ``high``."""
    if not high > low:
        return (counted.total, *([0] * (BINS - 1)))
    sums = np.rint(_below(counted, np.linspace(low, high, BINS + 1))).astype(np.int64)
    sums[0], sums[-1] = 0, counted.total
    return tuple(int(n) for n in np.diff(sums))


def activation_distributions(
    graph: Graph,
    batches: Iterable[Samples],
    run: Callable[[Sequence[NDArray[Any]]], Mapping[str, NDArray[Any]]],
    *,
    progress: Callable[[int], None] | None = None,
) -> list[Distribution]:
    """Every tensor that ``run`` computes, in its order, streaming over the batches."""
    spreads: dict[str, _Spread] = {}
    for batch in batches:
        for key, array in run(batch.arrays).items():
            if array.size:
                spreads.setdefault(key, _Spread()).add(array)
        if progress is not None:
            progress(len(batch.arrays[0]))
    steps, records = graph.step_numbers(), _records(graph)
    return [
        _with_integers(
            spread.result(steps[key.partition("/")[0].partition("[")[0]], key), records.get(key)
        )
        for key, spread in spreads.items()
    ]


def kept_distributions(graph: Graph, statistics: Statistics) -> list[Distribution]:
    """What the last calibration kept of each tensor, in step order.

    Ranges are always there; mean, sigma and the histogram only after clip types that need one
    (``mse``, ``entropy`` ...), else mean and sigma are NaN.
    """
    records, numbers = _records(graph), graph.step_numbers()
    results = []
    for key, node, _ in all_nodes(graph):
        seen = statistics.find(key)
        if seen is None or node.op.role == "constant":
            continue
        step, shape = numbers[key.partition("/")[0]], str(node.type)
        entry = _of_statistics(step, key, shape, node.type.size * statistics.samples, seen)
        results.append(_with_integers(entry, records.get(key)))
    return results


def _of_statistics(
    step: int, key: str, shape: str, count: int, seen: TensorStatistics
) -> Distribution:
    low, high, counted = seen.minimum, seen.maximum, seen.histogram
    if counted is None or not counted.total:
        return Distribution(step, key, shape, count, low, high, math.nan, math.nan)
    mean = float(np.average(counted.centers, weights=counted.counts))
    sigma = math.sqrt(float(np.average((counted.centers - mean) ** 2, weights=counted.counts)))
    entry = Distribution(step, key, shape, counted.total, low, high, mean, sigma)
    outside = tuple(_outside(counted, mean - n * sigma, mean + n * sigma) for n in SIGMAS)
    return replace(entry, outside=outside, histogram=_coarser(counted, low, high))


def _records(graph: Graph) -> dict[str, QParams]:
    """The record of every tensor of a quantized graph, by the names that engines use."""
    return {
        f"{key}[{index}]" if index else key: record
        for key, node, _ in all_nodes(graph)
        if node.quantization is not None
        for index, record in enumerate(node.quantization.outputs)
    }
