"""Energy of a layer from the published power of the chip while it computes and while it waits."""

from __future__ import annotations

from nnshell.chips.model.chip import Chip
from nnshell.chips.model.tile_costs import Clocks


def power_mw(chip: Chip, clocks: Clocks, busy: float) -> float:
    """Mean power when all cores compute for the fraction ``busy`` of the time; half the cores at
    work for all of the time are a fraction of a half.

    Both powers were measured at the operating point's reference frequency and scale with it:
    nearly all of it is switching.
    """
    point = chip.operating_point(clocks.fc_hz, clocks.cluster_hz, clocks.volt)
    scale = clocks.cluster_hz / point.reference_cluster_hz
    return scale * (point.wait_mw + (point.compute_mw - point.wait_mw) * busy)


def layer_energy_mj(chip: Chip, clocks: Clocks, cycles: int, active_cycles: float) -> float:
    """Energy in millijoule of ``cycles`` cluster cycles, of which the cores compute some.

    ``active_cycles`` are weighted with the kernel's power and the share of the cores at work.
    """
    if cycles <= 0:
        return 0.0
    busy = min(1.0, active_cycles / cycles)
    return power_mw(chip, clocks, busy) * cycles / clocks.cluster_hz
