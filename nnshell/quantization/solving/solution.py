"""Solving for the records of a graph: search, then the nodes that the outcome needs."""

from __future__ import annotations

from dataclasses import dataclass

from nnshell.ir.graph import Graph
from nnshell.ir.records import Answer
from nnshell.quantization.learned import Learned
from nnshell.quantization.options import QuantizationOptions
from nnshell.quantization.ranges.statistics import Statistics
from nnshell.quantization.solving.decisions import Trial
from nnshell.quantization.solving.network import build_network
from nnshell.quantization.solving.placing import place_nodes
from nnshell.quantization.solving.search import Search
from nnshell.quantization.solving.seen import Surroundings


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Records by ``NODE`` and ``FUSION/NODE``, and the trials that led to them, in order."""

    records: dict[str, Answer]
    trials: tuple[Trial, ...]
    surroundings: Surroundings


def solve(
    graph: Graph,
    statistics: Statistics,
    options: QuantizationOptions,
    learned: Learned | None = None,
) -> Solution:
    """Records for every node of ``graph``, which gets the quantize nodes and copies it needs.

    Raises QuantizationError naming the node when a range is missing or not finite.
    """
    network = build_network(graph)
    surroundings = Surroundings(network.flat, statistics, options, learned)
    search = Search(network, surroundings)
    search.run()
    records = place_nodes(search)
    return Solution(records, tuple(search.trials), surroundings)
