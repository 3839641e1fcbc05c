"""What does not fit, by how much, and what would make it fit.

Not fitting is a result with a demand, a bound and a gap in bytes, never an exception.
"""

from __future__ import annotations

from dataclasses import dataclass

from nnshell.chips.model.chip import Chip
from nnshell.chips.model.parameters import Parameters

LEAST_STACK = 256  # bytes; kernels of the libraries call functions of a dozen arguments


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A memory that is too small for what a layer or the network needs at least."""

    memory: str
    where: str
    demand_bytes: int
    limit_bytes: int
    levers: tuple[str, ...]

    @property
    def gap_bytes(self) -> int:
        """Bytes that are lacking."""
        return self.demand_bytes - self.limit_bytes

    def __str__(self) -> str:
        return (
            f"{self.where} does not fit {self.memory}: needs {self.demand_bytes:,} bytes, "
            f"{self.limit_bytes:,} are there, {self.gap_bytes:,} too many; "
            f"{', or '.join(self.levers)}"
        )


def l1_shortfall(where: str, demand: int, parameters: Parameters, chip: Chip) -> Shortfall:
    """Even the smallest tile of a layer needs more L1 than the stacks leave."""
    levers = []
    expected = demand + parameters.stack_bytes
    if expected <= chip.l1_bytes:
        levers.append(f"set l1_size {expected}")
    levers += _smaller_stacks(parameters, chip, chip.l1_bytes - demand)
    levers.append("a layer with fewer input channels, a smaller kernel or a narrower map")
    return Shortfall("L1", where, demand, parameters.l1_budget(), tuple(levers))


def _smaller_stacks(parameters: Parameters, chip: Chip, room: int) -> list[str]:
    """Stacks of the other cores that leave the rest of the chip's L1 to a tile."""
    slaves = max(1, parameters.cluster_num_cores - 1)
    each = (room - parameters.cluster_stack_size) // slaves // 4 * 4
    if not LEAST_STACK <= each < parameters.cluster_slave_stack_size:
        return []
    return [f"set l1_size {chip.l1_bytes} and cluster_slave_stack_size {each}, if that is enough"]


def l2_shortfall(demand: int, parameters: Parameters, chip: Chip) -> Shortfall:
    """The buffers that must be in L2 at one time exceed it even with all else in L3."""
    levers = []
    if demand <= chip.l2_bytes:
        levers.append(f"set l2_size {demand}")
    levers.append("set l1_size smaller, which makes the tiles that pass through L2 smaller")
    return Shortfall("L2", "the network", demand, parameters.l2_size, tuple(levers))


def l3_shortfalls(
    constants: int, activations: int, parameters: Parameters, chip: Chip
) -> list[Shortfall]:
    """Constants beyond the flash, activations beyond the external RAM."""
    results = []
    flash = parameters.l3_flash_mb * 2**20
    if constants > flash:
        levers = []
        if constants <= chip.l3_flash_bytes:
            levers.append(f"set l3_flash_mb {-(-constants // 2**20)}")
        levers.append("a network with fewer parameters")
        results.append(Shortfall("L3 flash", "the network", constants, flash, tuple(levers)))
    if activations > parameters.l3_size:
        levers = []
        if activations <= chip.l3_ram_bytes:
            levers.append(f"set l3_size {activations}")
        levers.append("smaller feature maps")
        if activations - parameters.l3_size <= chip.l2_bytes - parameters.l2_size:
            levers.append("set l2_size larger, so that more stays in L2")
        results.append(
            Shortfall("L3 RAM", "the network", activations, parameters.l3_size, tuple(levers))
        )
    return results
