"""Applying what was learned when it helps: before and after, measured on samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nnshell.experiments.bench import Bench, Outcome
from nnshell.inputs.input_set import Batch
from nnshell.ir.graph import Graph
from nnshell.learning.trial import apply_learned
from nnshell.quantization import Learned


@dataclass(frozen=True, slots=True)
class Change:
    """What an improvement did; it is left out when the output would be noisier."""

    before: Outcome
    after: Outcome
    applied: bool


def apply_if_better(
    graph: Graph, command: str, candidates: Sequence[Learned], batches: Sequence[Batch]
) -> Change:
    """Apply the candidate with the least noise, if it has less than there is; recorded."""
    bench = Bench(graph, batches)
    before = bench.try_options(bench.options)
    tried = [(bench.try_options(bench.options, _with(graph, c)), c) for c in candidates]
    after, best = min(tried, key=lambda pair: pair[0].noise)
    applied = after.noise < before.noise
    if applied:
        apply_learned(graph, command, best)
    return Change(before, after, applied)


def _with(graph: Graph, found: Learned) -> Graph:
    twin = graph.copy()
    twin.learned = (graph.learned or Learned()).updated(found)
    return twin
