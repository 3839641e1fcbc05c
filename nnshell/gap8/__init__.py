"""GAP8: what a network costs on the chip - cycles, memory and energy, with the reasons.

``simulate_graph(graph, settings)`` gives a :class:`SimulationReport`. Numbers
live in ``chip.toml`` and the kernel tables; docs/simulator.md explains every line of the output.
"""

from nnshell.gap8.chip import Chip, load_chip
from nnshell.gap8.from_graph import network_from_graph
from nnshell.gap8.kernels import KernelTable, load_kernels
from nnshell.gap8.network import Layer, Network
from nnshell.gap8.parameters import Parameters
from nnshell.gap8.report import LayerReport, SimulationReport
from nnshell.gap8.simulate import simulate, simulate_graph

__all__ = [
    "Chip",
    "KernelTable",
    "Layer",
    "LayerReport",
    "Network",
    "Parameters",
    "SimulationReport",
    "load_chip",
    "load_kernels",
    "network_from_graph",
    "simulate",
    "simulate_graph",
]
