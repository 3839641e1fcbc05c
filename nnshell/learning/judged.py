"""Judging what was learned: before and after, measured on samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nnshell.experiments.bench import Bench, Outcome
from nnshell.inputs.input_set import Batch
from nnshell.ir.graph import Graph
from nnshell.quantization import Basis, Learned


@dataclass(frozen=True, slots=True)
class Change:
    """What an improvement did; it is left out when the output would be noisier."""

    before: Outcome
    after: Outcome
    applied: bool


def best_of(
    graph: Graph, basis: Basis, candidates: Sequence[Learned], batches: Sequence[Batch]
) -> tuple[Change, Learned]:
    """The candidate with the least noise, and whether that is less than there is without it."""
    bench = Bench(graph, basis, batches)
    before = bench.try_basis(basis)
    outcomes = [(bench.try_basis(basis.with_learned(c)), c) for c in candidates]
    after, best = min(outcomes, key=lambda pair: pair[0].noise)
    return Change(before, after, after.noise < before.noise), best
