"""A network or graph simulated: the model's estimate with the ranges of its errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nnshell.chips.insight.uncertainty import ranges
from nnshell.chips.model.chip import Chip, load_chip
from nnshell.chips.model.estimate import estimate
from nnshell.chips.model.from_graph import library_for, network_from_graph
from nnshell.chips.model.kernels import KernelTable
from nnshell.chips.model.network import Network
from nnshell.chips.model.parameters import Parameters
from nnshell.chips.model.report import SimulationReport
from nnshell.ir.graph import Graph
from nnshell.support.settings import Settings


def simulate_network(
    network: Network,
    parameters: Parameters | None = None,
    *,
    kernels: str | Path | KernelTable | None = None,
    chip: Chip | None = None,
) -> SimulationReport:
    """Cycles, memory and energy of one inference, and how far off they may be.

    ``kernels`` overrides the parameters' kernel table. What does not fit is reported, not raised.

    Raises:
        GraphError: a layer that the kernel table does not know, or tensors that do not connect.
        UsageError: a setting or table that cannot be.
    """
    report = estimate(network, parameters, kernels=kernels, chip=chip)
    return replace(report, ranges=ranges(report))


def simulate_graph(graph: Graph, settings: Settings | None = None) -> SimulationReport:
    """Simulate a graph under a session's settings."""
    settings = settings if settings is not None else Settings()
    parameters = Parameters.from_settings(settings)
    parameters = replace(parameters, kernels=library_for(graph, parameters.kernels))
    chip = load_chip(settings.chip or None)
    return simulate_network(network_from_graph(graph), parameters, chip=chip)
