"""Calibration statistics in NNTool's form: ``stats["conv1"]["range_out"][0]["min"]``.

Programs read them, change them and add entries; so these are plain dictionaries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnshell import flow
from nnshell.ir.graph import Graph
from nnshell.quantization import Statistics, load_statistics
from nnshell.quantization.ranges.nntool_state import statistics_of_entries
from nnshell.quantization.ranges.statistics import TensorStatistics
from nnshell.session.project import Project
from nnshell.support.errors import InputError, UsageError

if TYPE_CHECKING:
    from nnshell.compat.graph import NNGraph

_CLIP_TYPES = ("std3", "laplace")  # so that mean, deviation and mean deviation are kept

Entry = dict[str, Any]


def collect(project: Project, samples: Any) -> dict[str, Entry]:
    """Ranges and moments of every tensor over samples, by node name or ``FUSION/NODE``."""
    statistics = flow.calibrate(project, samples, clip_type=_CLIP_TYPES)
    return as_dictionary(project.graph, statistics)


def as_dictionary(graph: Graph, statistics: Statistics) -> dict[str, Entry]:
    """NNTool's form of statistics; the ranges of a node's inputs are those of who makes them."""
    entries: dict[str, Entry] = {}
    for key, values in statistics.tensors.items():
        makers = [ref.node for ref in graph[key].inputs] if key in graph else []
        known = [statistics.tensors[name] for name in makers if name in statistics.tensors]
        entries[key] = {
            "range_in": [_range(value) for value in known] or [_range(values)],
            "range_out": [_range(values)],
        }
    return entries


def _range(values: TensorStatistics) -> dict[str, float]:
    results = {"min": values.minimum, "max": values.maximum}
    moments = {name: getattr(values, name) for name in ("mean", "std", "b")}
    return results | {name: value for name, value in moments.items() if value is not None}


def as_statistics(given: Any, project: Project) -> Statistics:
    """Statistics of any form: a dictionary, nnshell's own, a file, or None for those at hand."""
    if isinstance(given, Statistics):
        return given
    if isinstance(given, str | Path):
        return load_statistics(given)
    if isinstance(given, Mapping):
        return statistics_of_entries(given.items(), "statistics")
    if given is not None:
        raise InputError(
            f"statistics cannot be a {type(given).__name__}",
            hint="give what collect_statistics returned",
        )
    if project.statistics is None:
        raise UsageError("there are no statistics", hint="G.collect_statistics(samples) makes them")
    return project.statistics


class ActivationRangesCollector:
    """Statistics sample by sample: ``collect_stats(G, tensors)``, then ``stats``."""

    def __init__(self) -> None:
        self._samples: list[Any] = []
        self._graph: NNGraph | None = None

    def collect_stats(self, graph: NNGraph, tensors: Iterable[Any]) -> None:
        """Add one sample."""
        self._graph = graph
        self._samples.append(list(tensors))

    @property
    def stats(self) -> dict[str, Entry]:
        """The statistics of all samples so far."""
        if self._graph is None:
            raise UsageError("there are no samples", hint="collect_stats(G, tensors) adds one")
        return collect(self._graph.project, self._samples)
