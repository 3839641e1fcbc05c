"""How many bits each node needs: mixtures of weight widths within a size or a loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nnshell.experiments.bench import Bench, Done, Outcome
from nnshell.experiments.steps import (
    FLOAT_NODE,
    computing_steps,
    weight_bytes,
    weights_of,
    with_nodes,
)
from nnshell.inputs.input_set import Batch
from nnshell.ir.graph import Graph
from nnshell.ir.qparams import FLOAT_BITS, INT8_BITS
from nnshell.quantization import Basis, QuantizationOptions
from nnshell.support.errors import UsageError

WIDTHS = (8, 6, 5, 4, 3, 2)  # that a mixture is made of
_BUCKETS = 4000  # of a size, in the search for the best mixture
_SIZES = 48  # between all at 8 bits and all at 2, that a loss is looked for among


@dataclass(frozen=True, slots=True)
class Mixture:
    """Weight bits by node, and what comes of them."""

    bits: Mapping[str, int]
    size_bytes: int
    outcome: Outcome
    before: Outcome  # all weights at 8 bits
    before_bytes: int


def mixed(
    graph: Graph,
    basis: Basis,
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
    mixer = Mixer(graph, basis, batches, progress)
    if size_bytes is not None:
        return mixer.within_size(size_bytes)
    assert drop is not None
    return mixer.within_loss(drop / 100)


def mixture_steps(graph: Graph) -> int:
    """How many candidates ``mixed`` measures before it chooses."""
    return sum(bool(weights_of(items)) for items in computing_steps(graph).values()) * (
        len(WIDTHS) - 1
    )


def _noise_by_width(bench: Bench, name: str, progress: Done | None) -> list[float]:
    """Of one node's weights alone, at each of WIDTHS; 8 bits count as none."""
    results = [0.0]
    for bits in WIDTHS[1:]:
        own = {"weight_bits": bits, "act_bits": FLOAT_BITS}
        results.append(
            bench.try_options(with_nodes(bench.options, {"*": FLOAT_NODE, name: own})).noise
        )
        if progress is not None:
            progress(1)
    return results


class Mixer:
    """Mixtures by size, from the noise of every node at every width, measured once."""

    def __init__(
        self,
        graph: Graph,
        basis: Basis,
        batches: Sequence[Batch],
        progress: Done | None = None,
    ) -> None:
        self._bench = Bench(graph, basis, batches)
        self._steps = {
            name: items for name, items in computing_steps(graph).items() if weights_of(items)
        }
        self._weights = {name: weights_of(items) for name, items in self._steps.items()}
        self._noise = {name: _noise_by_width(self._bench, name, progress) for name in self._steps}

    def within_size(self, size_bytes: int) -> Mixture:
        """The least measured noise among the best mixture and the widest uniform one that fits."""
        graph = self._bench.graph
        best = self._best(size_bytes)
        if best is None:
            least = weight_bytes(graph, self._same(WIDTHS[-1]))
            raise UsageError(f"no mixture is that small: the least is {least} bytes")
        uniform = [self._same(bits) for bits in WIDTHS]
        tried = [best, *[u for u in uniform if weight_bytes(graph, u) <= size_bytes][:1]]
        return min((self._measured(o) for o in tried), key=lambda result: result.outcome.noise)

    def within_loss(self, drop: float) -> Mixture:
        """The smallest mixture that keeps the score; 8 bits if none does."""
        graph, expected = self._bench.graph, _score(self._bench.float_outcome) - drop
        sizes = [weight_bytes(graph, self._same(bits)) for bits in (WIDTHS[0], WIDTHS[-1])]
        budgets = np.linspace(sizes[0], sizes[1], _SIZES)
        result, low, high = self._same(WIDTHS[0]), 0, _SIZES
        while high - low > 1:
            middle = (low + high) // 2
            candidate = self._best(int(budgets[middle]))
            assert candidate is not None
            if _score(self._bench.try_options(candidate)) >= expected:
                result, low = candidate, middle
            else:
                high = middle
        return self._measured(result)

    @cached_property
    def _full(self) -> Outcome:
        """All weights in 8 bits."""
        return self._bench.try_options(self._same(INT8_BITS))

    def _measured(self, chosen: QuantizationOptions) -> Mixture:
        graph = self._bench.graph
        items = self._steps.items()
        return Mixture(
            {name: chosen.for_node(parts[0].path).weight_bits for name, parts in items},
            weight_bytes(graph, chosen),
            self._bench.try_options(chosen),
            self._full,
            weight_bytes(graph, self._same(INT8_BITS)),
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
    """Accuracy, or agreement; of what has no classes, the share of the output that is no noise."""
    if outcome.accuracy is not None:
        return outcome.accuracy
    return 1 - outcome.noise if outcome.agreement is None else outcome.agreement
