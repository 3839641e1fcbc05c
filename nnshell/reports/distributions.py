"""How values are spread: weights of a graph, activations over inputs (`weights`, `astats`).

sigma    sqrt(mean(x**2) - mean(x)**2), over all values
Q format Qm.n in 8 bits: a sign, m integer and n fraction bits, the finest that holds the range
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.graph import Graph
from nnshell.ir.select import select
from nnshell.reports.table import Cell, Column, Table
from nnshell.support.errors import InputError, QuantizationError

SIGMAS = (1, 2, 3, 5)
_BINS = 24
_SHADES = " .:-=+*#%@"  # from none to most
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
    qsnr_db: float | None = None  # of the Q format

    @property
    def fraction_bits(self) -> int:
        """n of Qm.n."""
        largest = max(abs(self.minimum), abs(self.maximum))
        return _BITS - 1 - math.ceil(math.log2(largest)) if largest > 0 else _BITS - 1

    @property
    def q_format(self) -> str:
        """The Qm.n form of 8 bits that holds the largest value."""
        return f"Q{_BITS - 1 - self.fraction_bits}.{self.fraction_bits}"


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
        results.append(distribution(step, node.name, value))
        if channels and value.ndim > 1:
            results += [distribution(step, f"{node.name}[{n}]", row) for n, row in enumerate(value)]
    return results


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
        qsnr_db=_qsnr_db(values, result.fraction_bits),
    )


def _histogram(values: NDArray[np.float64], low: float, high: float) -> tuple[int, ...]:
    """Counts in equal bins, of values of any size and however close to each other."""
    with np.errstate(over="ignore"):
        width = high / 2 - low / 2
    places = (values / 2 - low / 2) / width if width else np.zeros_like(values)
    return tuple(int(n) for n in np.histogram(np.clip(places, 0, 1), _BINS, (0, 1))[0])


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


class _Moments:
    """Sums of one tensor over batches."""

    def __init__(self) -> None:
        self.count, self.total, self.squares = 0, 0.0, 0.0
        self.minimum, self.maximum = math.inf, -math.inf
        self.shape = ""

    def add(self, array: NDArray[Any]) -> None:
        """Take a batch of the tensor, (samples, *shape)."""
        values = array.astype(np.float64)
        self.shape = _shape(array[0])
        self.count += values.size
        self.total += float(values.sum())
        self.squares += float(np.square(values).sum())
        self.minimum = min(self.minimum, float(values.min()))
        self.maximum = max(self.maximum, float(values.max()))


def activation_distributions(
    graph: Graph,
    batches: Iterable[Samples],
    run: Callable[[Sequence[NDArray[Any]]], Mapping[str, NDArray[Any]]],
    *,
    progress: Callable[[int], None] | None = None,
) -> list[Distribution]:
    """Every tensor that ``run`` computes, in its order, streaming over the batches."""
    moments: dict[str, _Moments] = {}
    for batch in batches:
        for key, array in run(batch.arrays).items():
            if array.size:
                moments.setdefault(key, _Moments()).add(array)
        if progress is not None:
            progress(len(batch.arrays[0]))
    steps = graph.step_numbers()
    return [_of_moments(steps, key, sums) for key, sums in moments.items()]


def _of_moments(steps: Mapping[str, int], key: str, sums: _Moments) -> Distribution:
    mean = sums.total / sums.count
    variance = max(sums.squares / sums.count - mean * mean, 0.0)
    step = steps[key.partition("/")[0].partition("[")[0]]
    return Distribution(
        step, key, sums.shape, sums.count, sums.minimum, sums.maximum, mean, math.sqrt(variance)
    )


def distribution_table(title: str, found: Sequence[Distribution]) -> Table:
    """A row per tensor; columns that no tensor has a value for are left out."""
    detailed = any(entry.histogram for entry in found)
    columns = [
        Column("Step", "right"),
        Column("Name", wraps=True),
        Column("Shape", detail=2),
        Column("Min", "right", digits=4),
        Column("Max", "right", digits=4),
        Column("Mean", "right", digits=4, detail=1),
        Column("Sigma", "right", digits=4, detail=1),
    ]
    for number in SIGMAS:
        columns += [
            Column(f"Mean -{number} sigma", "right", digits=4, key=f"low_{number}_sigma", detail=4),
            Column(
                f"Mean +{number} sigma", "right", digits=4, key=f"high_{number}_sigma", detail=4
            ),
        ]
        if detailed:
            outside = f"outside_{number}_sigma"
            columns.append(
                Column(f"Outside {number}", "right", "%", key=outside, digits=2, detail=2)
            )
    columns.append(Column("Q format", detail=3))
    if detailed:
        columns += [Column("QSNR", "right", "dB", digits=1, detail=3), Column("Histogram")]
    rows = tuple(_cells(entry, detailed) for entry in found)
    notes = (f"histogram: {_BINS} bins from min to max, darker is more",) if detailed else ()
    return Table(title, tuple(columns), rows, notes=notes)


def _cells(entry: Distribution, detailed: bool) -> tuple[Cell, ...]:
    cells: list[Cell] = [entry.step, entry.name, entry.shape, entry.minimum, entry.maximum]
    cells += [entry.mean, entry.sigma]
    for place, number in enumerate(SIGMAS):
        reach = number * entry.sigma
        cells += [entry.mean - reach, entry.mean + reach]
        cells += [100 * entry.outside[place]] if detailed else []
    cells.append(entry.q_format)
    return (*cells, entry.qsnr_db, _shaded(entry.histogram)) if detailed else tuple(cells)


def _shaded(histogram: Sequence[int]) -> str:
    """One character per bin."""
    most = max(histogram)
    levels = len(_SHADES) - 1
    return "|" + "".join(_SHADES[math.ceil(levels * n / most)] for n in histogram) + "|"
