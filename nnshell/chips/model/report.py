"""The report of a simulation: totals, one row a layer, the L2 map, what does not fit.

A report is data. What plans, searches or draws again (levers, explanations, traces) is a function
of one, in :mod:`nnshell.chips.insight`. ``to_json`` is the outward form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nnshell.chips.model.network import Network
from nnshell.chips.model.parameters import Parameters
from nnshell.chips.model.plan import Plan
from nnshell.chips.model.search import Choice
from nnshell.chips.model.shortfalls import Shortfall
from nnshell.chips.model.tile_costs import Setting
from nnshell.support.html import html_table
from nnshell.support.packing import MemoryMap


@dataclass(frozen=True, slots=True)
class LayerReport:
    """One layer. Cycles are cluster cycles; the busy cycles of the three resources overlap.

    ``dma_l3_l2_cycles`` is what the micro-DMA did while this layer ran, for itself or ahead for
    the next; ``l3_bytes`` is what this layer's own data moved from and to L3. The two waits are
    the cores': ``l3_wait_cycles`` includes ``stall_cycles``, the wait for weights before the
    layer starts. ``name`` is that of the filter in the model file, ``node`` and ``step`` are the
    graph's. ``tile_rows`` and ``tile_channels`` are those of a full output tile.
    """

    name: str
    op: str
    kernel: str
    macs: int
    cycles: int
    compute_cycles: int
    dma_l2_l1_cycles: int
    dma_l3_l2_cycles: int
    stall_cycles: int
    dma_wait_cycles: int
    l3_wait_cycles: int
    bound_by: str
    tile_rows: int
    tile_channels: int
    tiles: int
    l1_bytes: int
    l2_bytes: int
    l3_bytes: int
    energy_mj: float
    fits: bool
    node: str
    step: int

    @property
    def macs_per_cycle(self) -> float:
        """Multiplications per cluster cycle, on all cores."""
        return self.macs / self.cycles if self.cycles else 0.0

    @property
    def overhead_cycles(self) -> int:
        """What is neither computing nor waiting: the node's call, programming the DMA."""
        return self.cycles - self.compute_cycles - self.dma_wait_cycles - self.l3_wait_cycles

    def to_json(self) -> dict[str, Any]:
        """All numbers of the layer by name; units are part of the names."""
        return {
            "name": self.name,
            "op": self.op,
            "macs": self.macs,
            "cycles": self.cycles,
            "compute_cycles": self.compute_cycles,
            "dma_l2_l1_cycles": self.dma_l2_l1_cycles,
            "dma_l3_l2_cycles": self.dma_l3_l2_cycles,
            "bound_by": self.bound_by,
            "tile": {"rows": self.tile_rows, "channels": self.tile_channels},
            "tiles": self.tiles,
            "l1_bytes": self.l1_bytes,
            "l2_bytes": self.l2_bytes,
            "l3_bytes": self.l3_bytes,
            "energy_mj": round(self.energy_mj, 6),
        }


@dataclass(frozen=True, slots=True)
class Range:
    """Nine of ten measurements are expected between the two."""

    low_cycles: int
    high_cycles: int

    def to_json(self) -> list[int]:
        """Lowest and highest cycles."""
        return [self.low_cycles, self.high_cycles]


@dataclass(frozen=True, slots=True)
class LayerRange:
    """The range of a layer; ``measured``: whether some measurement covers its kernel."""

    range: Range
    measured: bool


@dataclass(frozen=True, slots=True)
class Ranges:
    """Ranges of the total and of all layers, in their order."""

    total: Range
    layers: tuple[LayerRange, ...]


@dataclass(frozen=True, slots=True, repr=False)
class SimulationReport:
    """One inference on the chip; ``ranges`` are None until they are worked out."""

    network: Network
    parameters: Parameters
    setting: Setting
    plan: Plan
    choices: tuple[Choice, ...]
    memory: MemoryMap
    layers: tuple[LayerReport, ...]
    shortfalls: tuple[Shortfall, ...]
    ranges: Ranges | None = None

    def __repr__(self) -> str:
        return (
            f"<SimulationReport {self.network.name}: {self.total_cycles:,} cycles, "
            f"{self.latency_ms:.3g} ms, {self.energy_mj:.3g} mJ, {len(self.layers)} layers>"
        )

    def _repr_html_(self) -> str:
        headings = ("Layer", "Operator", "MACs", "Cycles", "MAC/cycle", "Bound by", "L1 [bytes]")
        rows = [
            (x.name, x.op, x.macs, x.cycles, x.macs_per_cycle, x.bound_by, x.l1_bytes)
            for x in self.layers
        ]
        caption = f"{self!r}"[1:-1].removeprefix("SimulationReport ")
        return html_table(caption, headings, rows)

    @property
    def fits(self) -> bool:
        """Whether nothing lacks room, in L1, L2 or L3."""
        return not self.shortfalls

    @property
    def kernels(self) -> str:
        """Name of the kernel library."""
        return self.setting.table.name

    @property
    def macs(self) -> int:
        """Multiplications of all layers for one inference."""
        return self.network.macs

    @property
    def total_cycles(self) -> int:
        """Cluster cycles of one inference."""
        return sum(layer.cycles for layer in self.layers)

    @property
    def latency_ms(self) -> float:
        """Milliseconds of one inference at the cluster's clock."""
        return self.total_cycles / self.setting.clocks.cluster_hz * 1e3

    @property
    def energy_mj(self) -> float:
        """Millijoules of one inference."""
        return sum(layer.energy_mj for layer in self.layers)

    @property
    def macs_per_cycle(self) -> float:
        """Multiplications per cluster cycle of the whole network."""
        return self.macs / self.total_cycles if self.total_cycles else 0.0

    @property
    def l1_bytes(self) -> int:
        """The most L1 a layer's tiles take, stacks not counted."""
        return max((layer.l1_bytes for layer in self.layers), default=0)

    @property
    def l2_peak_bytes(self) -> int:
        """Highest byte of the planned L2; network inputs and outputs lie outside of it."""
        return self.memory.peak_bytes

    @property
    def l3_bytes(self) -> int:
        """L3 taken: all constants, whose home is the flash, and activations that spill."""
        return self.network.constant_bytes + self.plan.spilled_bytes()

    def to_json(self) -> dict[str, Any]:
        """The outward form; ``does_not_fit`` appears only when something does not."""
        clocks = self.setting.clocks
        result: dict[str, Any] = {
            "network": self.network.name,
            "kernels": self.kernels,
            "frequency_mhz": {
                "fc": _plain(clocks.fc_hz / 1e6),
                "cluster": _plain(clocks.cluster_hz / 1e6),
            },
            "total_cycles": self.total_cycles,
            "latency_ms": round(self.latency_ms, 6),
            "energy_mj": round(self.energy_mj, 6),
            "macs": self.macs,
            "l1_bytes": self.l1_bytes,
            "l2_peak_bytes": self.l2_peak_bytes,
            "l3_bytes": self.l3_bytes,
        }
        if self.ranges is not None:
            result["range_cycles"] = self.ranges.total.to_json()
        result["layers"] = self.layer_records()
        if self.shortfalls:
            result["does_not_fit"] = [_shortfall_json(entry) for entry in self.shortfalls]
        return result

    def layer_records(self) -> list[dict[str, Any]]:
        """The layers for programs."""
        records = [layer.to_json() for layer in self.layers]
        for record, known in zip(records, self.ranges.layers if self.ranges else (), strict=False):
            record["range_cycles"] = known.range.to_json()
            record["measured"] = known.measured
        return records

    def memory_rows(self) -> Iterator[tuple[str, str, int, int, str, str]]:
        """The L2 map by offset: name, kind, offset, bytes, first and last layer."""
        names = [layer.node for layer in self.layers]
        for entry in sorted(
            self.memory.placements, key=lambda entry: (entry.offset_bytes, entry.buffer.first)
        ):
            buffer = entry.buffer
            yield (
                buffer.name,
                buffer.kind,
                entry.offset_bytes,
                buffer.size_bytes,
                names[buffer.first],
                names[buffer.last],
            )


def _plain(value: float) -> int | float:
    return int(value) if value == int(value) else value


def _shortfall_json(entry: Shortfall) -> dict[str, Any]:
    return {
        "memory": entry.memory,
        "where": entry.where,
        "demand_bytes": entry.demand_bytes,
        "limit_bytes": entry.limit_bytes,
        "gap_bytes": entry.gap_bytes,
        "levers": list(entry.levers),
    }
