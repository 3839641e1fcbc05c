"""What a simulation has to draw: memory over time, the roofline."""

from __future__ import annotations

from nnshell.chips import SimulationReport
from nnshell.chips.insight.explain import roofline
from nnshell.reports.plots import Block, Curves, Memory, Roofline, RooflinePoint


def memory_plot(report: SimulationReport) -> Memory:
    """What lies where in L2 from layer to layer."""
    last = len(report.layers) - 1
    blocks = tuple(
        Block(
            placement.buffer.name,
            placement.buffer.kind,
            max(0, placement.buffer.first),
            min(last, placement.buffer.last),
            placement.offset_bytes,
            placement.buffer.size_bytes,
        )
        for placement in report.memory.placements
        if placement.buffer.first <= last
    )
    return Memory(tuple(x.node for x in report.layers), blocks, report.parameters.l2_size)


def memory_curve(report: SimulationReport) -> Curves:
    """KB of L2 that are taken while each layer runs."""
    used = report.memory.used_by_step(len(report.layers))
    names = tuple(layer.node for layer in report.layers)
    taken = {"taken": tuple(n / 1024 for n in used)}
    return Curves("layer", names, "L2 [KB]", taken, from_zero=True)


def roofline_plot(report: SimulationReport) -> Roofline:
    """Layers that multiply, below what cores and DMA allow."""
    total = max(1, report.total_cycles)
    points = []
    for at, layer in enumerate(report.layers):
        limits = roofline(report, at)
        if layer.macs and limits.dma:
            share = layer.cycles / total
            points.append(RooflinePoint(layer.node, limits.dma, limits.reached, share))
    return Roofline(tuple(points), 4.0 * report.setting.cores)
