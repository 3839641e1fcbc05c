"""How far integers are from floats: per tensor, over any number of samples, streaming.

QSNR    10 log10(sum f**2 / sum (f - q)**2) in dB, q the integers' real values
cosine  sum f q / sqrt(sum f**2 * sum q**2)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.engines import Engine
from nnshell.execution.float_engine import FloatEngine
from nnshell.execution.integer_engine import IntegerEngine, ReferenceEngine
from nnshell.ir.flat import FlatGraph, Item, flatten
from nnshell.ir.graph import Graph
from nnshell.ir.qparams import QParams
from nnshell.support.errors import InputError
from nnshell.support.html import html_table


class Samples(Protocol):
    """One array per graph input, samples first."""

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """One float32 array for each graph input, (samples, *shape)."""


class NamedSamples(Samples, Protocol):
    """Samples that say what they are called."""

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each sample."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One tensor. Errors are in real units; ``qsnr_db`` is infinite when nothing differs.

    ``clipped`` marks a node whose integers stop at the limits of the activation after it: its
    error says little.
    """

    key: str
    step: int
    inner_step: int | None  # position in the fusion's body: 3_0, 3_1 ...
    op: str
    qsnr_db: float
    cosine: float
    max_error: float
    mean_error: float
    largest: float  # of the float values
    elements: int  # compared, over all samples
    clipped: bool = False

    @property
    def tolerance(self) -> float:
        """The smallest share of the largest float value that all differences stay within."""
        return self.max_error / self.largest if self.largest else self.max_error

    @property
    def label(self) -> str:
        """The step as tables print it."""
        return f"{self.step}" if self.inner_step is None else f"{self.step}_{self.inner_step}"


class Accumulator:
    """Sums of one tensor over batches, in float64."""

    def __init__(self) -> None:
        self.signal = self.noise = self.product = self.power = self.error = 0.0
        self.max_error = self.largest = 0.0
        self.elements = 0

    def add(self, real: NDArray[Any], approximate: NDArray[Any]) -> None:
        """Take a batch of real and approximate values; InputError when their sizes differ."""
        first = np.asarray(real, np.float64).reshape(-1)
        second = np.asarray(approximate, np.float64).reshape(-1)
        if first.size != second.size:
            raise InputError(f"{first.size} values are compared with {second.size}")
        if not first.size:
            return
        difference = np.abs(first - second)
        self.signal += float(first @ first)
        self.power += float(second @ second)
        self.product += float(first @ second)
        self.noise += float(difference @ difference)
        self.error += float(difference.sum())
        self.max_error = max(self.max_error, float(difference.max()))
        self.largest = max(self.largest, float(np.abs(first).max()))
        self.elements += first.size

    @property
    def qsnr_db(self) -> float:
        """10 log10(sum x^2 / sum (x - y)^2); infinite without noise, -infinite without signal."""
        if self.noise == 0.0:
            return math.inf
        if self.signal == 0.0:
            return -math.inf
        return 10.0 * (math.log10(self.signal) - math.log10(self.noise))  # their ratio may overflow

    @property
    def cosine(self) -> float:
        """x.y / (|x| |y|), from -1 to 1; of two zeros 1, of one zero 0."""
        norm = math.sqrt(self.signal * self.power)
        if norm == 0.0:
            return 1.0 if self.signal == self.power else 0.0
        return max(-1.0, min(1.0, self.product / norm))

    @property
    def mean_error(self) -> float:
        """Mean of |x - y|, in the units of x."""
        return self.error / max(self.elements, 1)


def compare_arrays(
    real: NDArray[Any], approximate: NDArray[Any], key: str = "", op: str = ""
) -> Comparison:
    """Two arrays of the same size."""
    sums = Accumulator()
    sums.add(real, approximate)
    return _comparison(sums, key, 0, None, op, False)


def compare_engines(
    graph: Graph,
    batches: Iterable[Samples],
    *,
    inner: bool = True,
    progress: Callable[[int], None] | None = None,
    engine: Callable[[Graph, Sequence[str]], Engine] | None = None,
    real: bool = False,
) -> Comparisons:
    """Every int8 tensor of a quantized graph against its float tensor, worst QSNR first.

    ``inner`` includes the nodes inside fusions. ``engine`` makes what computes the integers of
    the tensors it is given, by default the reference; with ``real`` it makes real numbers, as the
    simulated engine does. Raises QuantizationError when the graph is not quantized, InputError
    when there are no samples.
    """
    graph.require_quantized()
    flat = flatten(graph)
    items = dict(_compared(flat, inner))
    keys = list(items)
    integers = (engine or ReferenceEngine)(graph, keys)
    records = {} if real else {key: _record(item) for key, item in items.items()}
    floats = FloatEngine(graph, keys)
    sums = {key: Accumulator() for key in keys}
    samples = 0
    for batch in batches:
        floating, quantized = floats.run(batch.arrays), integers.run(batch.arrays)
        for key in keys:
            result = quantized[key] if real else records[key].dequantize(quantized[key])
            sums[key].add(floating[key], result)
        samples += len(batch.arrays[0])
        if progress is not None:
            progress(len(batch.arrays[0]))
    if not samples:
        raise InputError("there are no samples to compare", hint="check the file pattern")
    steps = graph.step_numbers()
    results = [_of_item(sums[key], key, item, steps, flat) for key, item in items.items()]
    return Comparisons(sorted(results, key=lambda entry: (entry.qsnr_db, entry.step)))


def compare_samples(
    graph: Graph,
    batches: Iterable[NamedSamples],
    integers: Engine,
    *,
    progress: Callable[[int], None] | None = None,
) -> list[tuple[str, float]]:
    """The QSNR in dB of each sample's outputs, all of them together, by name, lowest first."""
    keys = [node.name for node in graph.outputs]
    records = {key: IntegerEngine(graph).record(key) for key in keys}
    floats = FloatEngine(graph, keys)
    results: list[tuple[str, float]] = []
    for batch in batches:
        real, quantized = floats.run(batch.arrays), integers.run(batch.arrays)
        for row, name in enumerate(batch.names):
            sums = Accumulator()
            for key in keys:
                sums.add(real[key][row], records[key].dequantize(quantized[key][row]))
            results.append((name, sums.qsnr_db))
        if progress is not None:
            progress(len(batch.names))
    return sorted(results, key=lambda entry: entry[1])


class Comparisons(list[Comparison]):
    """Tensors compared, worst first: a list that prints well."""

    def __repr__(self) -> str:
        worst = f", worst {self[0].key} with {self[0].qsnr_db:.1f} dB" if self else ""
        return f"<{len(self)} tensors compared{worst}>"

    def _repr_html_(self) -> str:
        headings = ("Step", "Name", "Operator", "QSNR [dB]", "Cosine", "Largest error")
        rows = [(c.step, c.key, c.op, c.qsnr_db, c.cosine, c.max_error) for c in self]
        return html_table("integers against floats", headings, rows)


def _record(item: Item) -> QParams:
    assert item.node.quantization is not None, f"{item.path} is not quantized"
    return item.node.quantization.output


def _compared(flat: FlatGraph, inner: bool) -> Iterable[tuple[str, Item]]:
    """(key, item) of the tensors to compare; a fusion's result stands for its last node."""
    for item in flat.items:
        if item.node.op.role in ("constant", "output") or _lowest_border(item):
            continue
        if item.fusion is None:
            yield item.path, item
            continue
        if inner:
            yield item.path, item
        if item.ends_fusion:
            yield item.fusion.name, item


def _lowest_border(item: Item) -> bool:
    """Whether it puts the smallest float32 around a tensor, which no record holds."""
    border = item.node.op.border()
    return border is not None and border.value <= float(np.finfo(np.float32).min)


def _of_item(
    sums: Accumulator, key: str, item: Item, steps: Mapping[str, int], flat: FlatGraph
) -> Comparison:
    if item.fusion is None:
        readers = [reader.item.node.op for reader in flat.readers[item.outputs[0]]]
        clipped = bool(readers) and all(op.pushes_range for op in readers)
        return _comparison(sums, key, steps[item.node.name], None, item.node.kind, clipped)
    step = steps[item.fusion.name]
    if key == item.fusion.name:
        return _comparison(sums, key, step, None, item.fusion.op.label, False)
    siblings = [other for other in flat.items if other.fusion is item.fusion]
    position = next(i for i, other in enumerate(siblings) if other is item)
    clipped = any(other.node.op.pushes_range for other in siblings[position + 1 :])
    return _comparison(sums, key, step, position, item.node.kind, clipped)


def _comparison(
    sums: Accumulator, key: str, step: int, inner_step: int | None, op: str, clipped: bool
) -> Comparison:
    return Comparison(
        key,
        step,
        inner_step,
        op,
        sums.qsnr_db,
        sums.cosine,
        sums.max_error,
        sums.mean_error,
        sums.largest,
        sums.elements,
        clipped,
    )
