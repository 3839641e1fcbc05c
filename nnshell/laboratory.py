"""Experiments on a calibrated graph: which nodes quantization hurts, and how many bits each needs.

All of them run the simulated engine on copies of the graph; none needs training. The noise of a
candidate is the mean squared difference of the graph's first output from that of the float graph,
relative to the mean square of the float output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.engines import make_engine
from nnshell.errors import QuantizationError, UsageError
from nnshell.inputs.input_set import Batch
from nnshell.ir.flat import Item, flatten
from nnshell.ir.graph import Graph
from nnshell.ir.operator import Constant, Input
from nnshell.ir.qparams import FLOAT_BITS, INT8_BITS
from nnshell.quantization import QuantizationOptions, quantize_graph

WIDTHS = (8, 6, 5, 4, 3, 2)  # that a mixture is made of
_BIAS_BYTES = 4
_BUCKETS = 4000  # of a size, in the search for the best mixture
_SIZES = 48  # between all at 8 bits and all at 2, that a loss is looked for among

Done = Callable[[int], None]
_WORTH = 0.97  # of the noise that is left when a change to one node is worth naming
_FLOAT: Mapping[str, Any] = {"weight_bits": FLOAT_BITS, "act_bits": FLOAT_BITS}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a quantized graph did: noise as a ratio, accuracy and agreement as fractions."""

    noise: float
    agreement: float
    accuracy: float | None

    @property
    def noise_db(self) -> float:
        return 10 * math.log10(self.noise) if self.noise > 0 else -math.inf


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """One node: alone quantized while all others are float, and the other way round."""

    node: str
    kind: str
    weights: int
    alone: Outcome
    without: Outcome


@dataclass(frozen=True, slots=True)
class Mixture:
    """Weight bits by node, and what comes of them."""

    bits: Mapping[str, int]
    size_bytes: int
    outcome: Outcome
    before: Outcome  # all weights at 8 bits
    before_bytes: int


@dataclass(frozen=True, slots=True)
class Advice:
    """A change to a node's options, and what the whole graph makes of it."""

    node: str
    change: Mapping[str, Any]
    before: Outcome
    after: Outcome


Trials = Callable[[Sequence[QuantizationOptions], Done | None], list[Outcome]]


class Bench:
    """Inputs that all candidates are judged on, and what the float graph makes of them."""

    def __init__(self, graph: Graph, batches: Sequence[Batch]) -> None:
        if graph.statistics is None:
            raise QuantizationError(
                "there are no statistics to quantize from",
                where=graph.name,
                hint="run aquant first",
            )
        self.graph = graph
        self.options = graph.quantization_options or QuantizationOptions()
        self._batches = batches
        self._key = graph.outputs[0].name
        floats = make_engine(graph, "float", keys=[self._key])
        self._reference = [floats.run(batch.arrays)[self._key] for batch in batches]
        self.float_outcome = outcome(batches, self._reference, self._reference)

    def try_options(self, options: QuantizationOptions, graph: Graph | None = None) -> Outcome:
        """What a copy of the graph, or of a changed one, does when it is quantized so."""
        twin = (graph or self.graph).copy()
        assert self.graph.statistics is not None
        quantize_graph(twin, self.graph.statistics, options)
        engine = make_engine(twin, "simulated", keys=[self._key])
        found = [engine.run(batch.arrays)[self._key] for batch in self._batches]
        return outcome(self._batches, found, self._reference)

    def try_all(
        self, candidates: Sequence[QuantizationOptions], progress: Done | None = None
    ) -> list[Outcome]:
        """``try_options`` of each."""
        outcomes = []
        for options in candidates:
            outcomes.append(self.try_options(options))
            if progress is not None:
                progress(1)
        return outcomes


def outcome(
    batches: Sequence[Batch], outputs: Sequence[NDArray[Any]], floats: Sequence[NDArray[Any]]
) -> Outcome:
    """What ``outputs`` are beside those of the float graph, and beside the labels."""
    noise = signal = 0.0
    agreed = right = labelled = count = 0
    for batch, found, wanted in zip(batches, outputs, floats, strict=True):
        noise += float(np.square(found.astype(np.float64) - wanted).sum())
        signal += float(np.square(wanted.astype(np.float64)).sum())
        answers = found.reshape(len(found), -1).argmax(axis=1)
        agreed += int((answers == wanted.reshape(len(found), -1).argmax(axis=1)).sum())
        count += len(found)
        labelled += sum(label is not None for label in batch.labels)
        right += sum(int(a) == b for a, b in zip(answers, batch.labels, strict=True))
    accuracy = right / labelled if labelled else None
    return Outcome(noise / signal if signal else 0.0, agreed / max(count, 1), accuracy)


def sensitivity(
    graph: Graph,
    batches: Sequence[Batch],
    progress: Done | None = None,
    trials: Trials | None = None,
) -> list[Sensitivity]:
    """Every node that computes, the one that does most harm alone first.

    Bits and clip types are those of the graph's quantization options. ``trials`` measures the
    candidates elsewhere, as on a cluster.
    """
    options, steps = graph.quantization_options or QuantizationOptions(), _steps(graph)
    tried: list[QuantizationOptions] = []
    for name, items in steps.items():
        local = options.for_node(items[0].path)
        own = {"weight_bits": local.weight_bits, "act_bits": local.act_bits}
        tried += [_only(options, {"*": _FLOAT, name: own}), options.with_node(name, _FLOAT)]
    run = trials or Bench(graph, batches).try_all
    outcomes = run(tried, progress)
    found = []
    for index, (name, items) in enumerate(steps.items()):
        alone, without = outcomes[2 * index : 2 * index + 2]
        kind = graph[name].kind if graph[name].body is None else items[0].node.kind
        found.append(Sensitivity(name, kind, _weights(items), alone, without))
    return sorted(found, key=lambda entry: -entry.alone.noise)


def advise(
    graph: Graph, batches: Sequence[Batch], found: Sequence[Sensitivity], most: int = 3
) -> list[Advice]:
    """For the worst nodes, what of some changes to them alone takes most noise from the output.

    Changes that keep the bits come first; wider weights or activations only where none of those
    takes some hundredths of the noise.
    """
    bench = Bench(graph, batches)
    before, advice = bench.try_options(bench.options), []
    for entry in found[:most]:
        path = _steps(graph)[entry.node][0].path
        local = bench.options.for_node(path)
        for changes in (_same_bits(graph, local), _more_bits(local, bool(entry.weights))):
            tried = [
                (c, bench.try_options(bench.options.with_node(entry.node, c))) for c in changes
            ]
            best = min(tried, key=lambda pair: pair[1].noise, default=None)
            if best is not None and best[1].noise < _WORTH * before.noise:
                advice.append(Advice(entry.node, best[0], before, best[1]))
                break
    return advice


def _same_bits(graph: Graph, local: QuantizationOptions) -> list[Mapping[str, Any]]:
    assert graph.statistics is not None
    kept = any(entry.histogram is not None for entry in graph.statistics.tensors.values())
    clips = ("none", "mse", "kth") if kept else ("none",)
    weights = ("none", "mse") if local.weight_bits <= INT8_BITS else ()
    return [
        *({"clip_type": clip} for clip in clips if clip != local.clip_type),
        *({"weight_clip": clip} for clip in weights if clip != local.kernel.weight_clip),
    ]


def _more_bits(local: QuantizationOptions, has_weights: bool) -> list[Mapping[str, Any]]:
    wider: list[Mapping[str, Any]] = []
    if has_weights and local.weight_bits < INT8_BITS:
        wider.append({"weight_bits": min(local.weight_bits + 2, INT8_BITS)})
    if local.act_bits < INT8_BITS:
        wider.append({"act_bits": min(local.act_bits + 2, INT8_BITS)})
    return wider


def _only(options: QuantizationOptions, nodes: Mapping[str, Mapping[str, Any]]) -> Any:
    return replace(options, nodes={**options.nodes, **nodes})


def steps_to_try(graph: Graph) -> int:
    """How many candidates ``sensitivity`` measures: two for each node."""
    return 2 * len(_steps(graph))


def _steps(graph: Graph) -> dict[str, list[Item]]:
    """Items of each top-level node that computes something new."""
    found: dict[str, list[Item]] = {}
    for item in flatten(graph).items:
        op = item.node.op
        idle = isinstance(op, Constant | Input) or op.boundary or op.made_by_quantizer
        if not idle and not (op.keeps_record and op.order_preserving):
            found.setdefault(item.path.partition("/")[0], []).append(item)
    return found


def _weights(items: Sequence[Item]) -> int:
    """Elements of the weights among the parameters, biases left out."""
    return sum(
        item.graph.input_types(item.node)[item.node.op.parameters[0]].size
        for item in items
        if item.node.op.parameters
    )


def _biases(items: Sequence[Item]) -> int:
    return sum(
        item.graph.input_types(item.node)[index].size
        for item in items
        for index in item.node.op.parameters[1:]
    )


def weight_bytes(graph: Graph, options: QuantizationOptions) -> int:
    """Weights packed at their bits, biases as int32."""
    total = 0
    for items in _steps(graph).values():
        bits = options.for_node(items[0].path).weight_bits
        total += -(-_weights(items) * bits // 8) + _BIAS_BYTES * _biases(items)
    return total


def mixed(
    graph: Graph,
    batches: Sequence[Batch],
    *,
    drop: float | None = None,
    size_bytes: int | None = None,
    progress: Done | None = None,
) -> Mixture:
    """Weight bits for each node: the fewest bytes within a loss, or the least noise in a size.

    ``drop`` is in points (0.5: half a per cent) of accuracy, without labels of agreement with
    float. Each node is tried alone at each width; then the mixture whose noises add up to the
    least within a size is found exactly, and measured. The graph is left as it is.
    """
    if (drop is None) == (size_bytes is None):
        raise UsageError("say how far to go", hint="--drop POINTS or --size BYTES")
    mixer = Mixer(graph, batches, progress)
    if size_bytes is not None:
        return mixer.within_size(size_bytes)
    assert drop is not None
    return mixer.within_loss(drop / 100)


def mixture_steps(graph: Graph) -> int:
    """How many candidates ``mixed`` measures before it chooses."""
    return sum(bool(_weights(items)) for items in _steps(graph).values()) * (len(WIDTHS) - 1)


def _noise_by_width(bench: Bench, name: str, progress: Done | None) -> list[float]:
    """Of one node's weights alone, at each of WIDTHS; 8 bits count as none."""
    found = [0.0]
    for bits in WIDTHS[1:]:
        own = {"weight_bits": bits, "act_bits": FLOAT_BITS}
        found.append(bench.try_options(_only(bench.options, {"*": _FLOAT, name: own})).noise)
        if progress is not None:
            progress(1)
    return found


class Mixer:
    """Mixtures by size, from the noise of every node at every width, measured once."""

    def __init__(
        self, graph: Graph, batches: Sequence[Batch], progress: Done | None = None
    ) -> None:
        self._bench = Bench(graph, batches)
        self._steps = {name: items for name, items in _steps(graph).items() if _weights(items)}
        self._weights = {name: _weights(items) for name, items in self._steps.items()}
        self._noise = {name: _noise_by_width(self._bench, name, progress) for name in self._steps}

    def uniform(self, bits: int) -> Mixture:
        """The same width for all weights."""
        return self._measured(self._same(bits))

    def within_size(self, size_bytes: int) -> Mixture:
        """The least measured noise among the best mixture and the widest uniform one that fits."""
        graph = self._bench.graph
        best = self._best(size_bytes)
        if best is None:
            least = weight_bytes(graph, self._same(WIDTHS[-1]))
            raise UsageError(f"no mixture is that small: the least is {least} bytes")
        uniform = [self._same(bits) for bits in WIDTHS]
        tried = [best, *[u for u in uniform if weight_bytes(graph, u) <= size_bytes][:1]]
        return min((self._measured(o) for o in tried), key=lambda found: found.outcome.noise)

    def within_loss(self, drop: float) -> Mixture:
        """The smallest mixture that keeps the score; 8 bits if none does."""
        graph, wanted = self._bench.graph, _score(self._bench.float_outcome) - drop
        sizes = [weight_bytes(graph, self._same(bits)) for bits in (WIDTHS[0], WIDTHS[-1])]
        budgets = np.linspace(sizes[0], sizes[1], _SIZES)
        found, low, high = self._same(WIDTHS[0]), 0, _SIZES
        while high - low > 1:
            middle = (low + high) // 2
            candidate = self._best(int(budgets[middle]))
            assert candidate is not None
            if _score(self._bench.try_options(candidate)) >= wanted:
                found, low = candidate, middle
            else:
                high = middle
        return self._measured(found)

    def _measured(self, chosen: QuantizationOptions) -> Mixture:
        graph, full = self._bench.graph, self._same(INT8_BITS)
        items = self._steps.items()
        return Mixture(
            {name: chosen.for_node(parts[0].path).weight_bits for name, parts in items},
            weight_bytes(graph, chosen),
            self._bench.try_options(chosen),
            self._bench.try_options(full),
            weight_bytes(graph, full),
        )

    def _same(self, bits: int) -> QuantizationOptions:
        return self._mixture(dict.fromkeys(self._weights, bits))

    def _best(self, size_bytes: int) -> QuantizationOptions | None:
        """Dynamic programming over sizes: the least sum of noises within the size."""
        least = weight_bytes(self._bench.graph, self._same(WIDTHS[-1]))
        room = size_bytes - least
        if room < 0:
            return None
        bucket = max(1, -(-room // _BUCKETS))
        total = np.zeros(room // bucket + 1)
        choices: list[NDArray[np.int64]] = []
        for name, count in self._weights.items():
            extra = [_buckets(count, bits, bucket) for bits in WIDTHS]
            options = np.stack(
                [
                    _shifted(total, n) + noise
                    for n, noise in zip(extra, self._noise[name], strict=True)
                ]
            )
            choices.append(options.argmin(axis=0))
            total = options.min(axis=0)
        return self._mixture(self._followed_back(choices, bucket, total.size - 1))

    def _followed_back(
        self, choices: Sequence[NDArray[np.int64]], bucket: int, place: int
    ) -> dict[str, int]:
        bits = {}
        for name, chosen in reversed(list(zip(self._weights, choices, strict=True))):
            bits[name] = WIDTHS[int(chosen[place])]
            place -= _buckets(self._weights[name], bits[name], bucket)
        return bits

    def _mixture(self, bits: Mapping[str, int]) -> QuantizationOptions:
        options = self._bench.options
        for name, width in bits.items():
            options = options.with_node(name, {"weight_bits": width})
        return options


def _buckets(weights: int, bits: int, bucket: int) -> int:
    """Buckets of bytes that more than the fewest bits take, rounded up."""
    return -(-weights * (bits - WIDTHS[-1]) // (8 * bucket))


def _shifted(total: NDArray[np.float64], places: int) -> NDArray[np.float64]:
    """Sums that leave ``places`` buckets to this node; infinite where there are none left."""
    moved = np.full(total.size, np.inf)
    if places < total.size:
        moved[places:] = total[: total.size - places]
    return moved


def _score(outcome: Outcome) -> float:
    return outcome.agreement if outcome.accuracy is None else outcome.accuracy
