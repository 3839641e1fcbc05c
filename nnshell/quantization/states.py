"""What calibration saw of the states of recurrent layers, for states that become graph inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nnshell.ir.graph import Graph, Node
from nnshell.ops.families.recurrent import STATE_RANGE
from nnshell.quantization.ranges.statistics import Statistics, TensorStatistics

_RANGES = {"c_state": "range_cell"}


def with_states(statistics: Statistics, graph: Graph, inputs: Sequence[Node]) -> Statistics:
    """The statistics with entries of ``inputs`` that are states: the ranges of all steps."""
    tensors = dict(statistics.tensors)
    for node in inputs:
        for reader, _ in graph.consumers(node.name):
            entry = statistics.find(reader.name)
            slot = node.name.removesuffix(f"_{reader.name}")
            name = _RANGES.get(slot, STATE_RANGE)
            if entry is not None and name in entry.inside:
                seen = entry.inside[name].including_zero()
                tensors[node.name] = TensorStatistics(seen.minimum, seen.maximum)
    return replace(statistics, tensors=tensors)
