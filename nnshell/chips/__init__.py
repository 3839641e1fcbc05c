"""GAP8: what a network costs on the chip - cycles, memory and energy, with the reasons.

``simulate_graph(graph, settings)`` gives a :class:`SimulationReport`. Numbers
live in ``chip.toml`` and the kernel tables; docs/simulator.md explains every line of the output.
"""

from nnshell.chips.model.chip import Chip, load_chip
from nnshell.chips.model.from_graph import network_from_graph
from nnshell.chips.model.kernels import KernelTable, load_kernels
from nnshell.chips.model.network import Layer, Network
from nnshell.chips.model.parameters import Parameters
from nnshell.chips.model.report import LayerReport, SimulationReport
from nnshell.chips.model.simulate import simulate, simulate_graph

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
