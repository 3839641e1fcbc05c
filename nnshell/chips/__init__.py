"""GAP8: what a network costs on the chip - cycles, memory and energy, with the reasons.

``simulate_graph(graph, settings)`` gives a :class:`SimulationReport`, which is data; ``levers``,
``explain`` and ``chrome_trace`` are functions of one. Numbers live in ``chip.toml`` and the kernel
tables; docs/simulator.md explains every line of the output.
"""

from nnshell.chips.insight.advice import levers
from nnshell.chips.insight.explain import explain
from nnshell.chips.insight.trace import chrome_trace
from nnshell.chips.model.chip import Chip, load_chip
from nnshell.chips.model.from_graph import library_for, network_from_graph, schemes_of
from nnshell.chips.model.kernels import KernelTable, load_kernels
from nnshell.chips.model.network import Layer, Network
from nnshell.chips.model.parameters import Parameters
from nnshell.chips.model.report import LayerReport, SimulationReport
from nnshell.chips.simulation import simulate_graph, simulate_network

__all__ = [
    "Chip",
    "KernelTable",
    "Layer",
    "LayerReport",
    "Network",
    "Parameters",
    "SimulationReport",
    "chrome_trace",
    "explain",
    "levers",
    "library_for",
    "load_chip",
    "load_kernels",
    "network_from_graph",
    "schemes_of",
    "simulate_graph",
    "simulate_network",
]
