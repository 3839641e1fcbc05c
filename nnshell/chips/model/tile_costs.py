"""A layer ready to be timed, its tiles in order, and what computing and moving one costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from nnshell.chips.model.chip import Chip
from nnshell.chips.model.counts import TileSizes
from nnshell.chips.model.geometry import Geometry, Operand
from nnshell.chips.model.kernels import Kernel, KernelTable, When
from nnshell.chips.model.tiling import Tile, kernel_cycles, tile_lines


@dataclass(frozen=True, slots=True)
class Clocks:
    """Frequencies in hertz; L3 transfers are timed by the fabric controller's clock. ``volt`` 0
    is the lowest voltage that runs both."""

    fc_hz: float
    cluster_hz: float
    volt: float = 0.0

    def cluster_cycles(self, fc_cycles: float) -> int:
        """Cluster cycles that so many cycles of the fabric controller take, rounded up."""
        return math.ceil(fc_cycles * self.cluster_hz / self.fc_hz)


@dataclass(frozen=True, slots=True)
class Setting:
    """What stays the same for all layers of a simulation."""

    chip: Chip
    table: KernelTable
    clocks: Clocks
    cores: int
    l1_bytes: int

    @property
    def flash(self) -> bool:
        """Whether constants are read from flash while the network runs."""
        return self.table.constants_from == "flash"


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """A layer ready to be timed: its loop nest, its cut and the operands that live in L3."""

    geometry: Geometry
    kernel: Kernel
    tile: Tile
    activation: str | None
    in_l3: frozenset[int]


@dataclass(frozen=True, slots=True)
class Step:
    """Position of one tile in the loop nest: indices on group, out, rows and in."""

    group: int
    out: int
    rows: int
    depth: int


def steps(geometry: Geometry, tile: Tile) -> Iterator[Step]:
    """Tiles in execution order."""
    trips = {"group": geometry.groups, **dict(zip(("out", "rows", "in"), tile.trips, strict=True))}
    loops = [axis for axis in ("out", "rows", "in") if axis not in tile.order]
    names = ("group", *loops, *tile.order)
    group, out, rows, depth = (names.index(axis) for axis in trips)
    for at in product(*(range(trips[name]) for name in names)):
        yield Step(at[group], at[out], at[rows], at[depth])


class TileCosts:
    """Sizes and cycles of tiles, computed once per distinct tile size."""

    def __init__(self, plan: LayerPlan, setting: Setting) -> None:
        self.plan = plan
        self.setting = setting
        nest, tile = plan.geometry, plan.tile
        outs, rows, depths = tile.trips
        self._outs = [min(tile.out, nest.out - at * tile.out) for at in range(outs)]
        self._rows = [min(tile.rows, nest.height - at * tile.rows) for at in range(rows)]
        self._depths = [min(tile.depth, nest.depth - at * tile.depth) for at in range(depths)]
        self._spans = [self._operand_spans(operand) for operand in nest.operands]
        self._cycles: dict[tuple[int, int, int], dict[When, int]] = {}
        self._moves: dict[tuple[int, int, int, int, int], tuple[int, int, int]] = {}

    def _operand_spans(self, operand: Operand) -> list[tuple[int, int]]:
        """First row and number of rows of each tile of the operand."""
        firsts = [at * self.plan.tile.rows for at in range(len(self._rows))]
        results = list(zip(firsts, self._rows, strict=True))
        if operand.extent != "input":
            return results
        spans = [self.plan.geometry.input_span(first, first + rows) for first, rows in results]
        return [(first, last - first) for first, last in spans]

    def compute(self, step: Step) -> int:
        """Cycles of the cores for a tile; what is due once a layer counts at the first."""
        sizes = self._outs[step.out], self._rows[step.rows], self._depths[step.depth]
        cycles = self._cycles.get(sizes)
        if cycles is None:
            result = kernel_cycles(
                self.plan.kernel, self.setting.table, self.plan.activation, self._arrays(*sizes)
            )
            cycles = {when: int(value[0]) for when, value in result.items()}
            self._cycles[sizes] = cycles
        total = cycles["tile"]
        if step.depth == self.plan.tile.trips[2] - 1:
            total += cycles["output"]
        first = step.group == 0 and step.out == step.rows == step.depth == 0
        return total + (cycles["layer"] if first else 0)

    def move(self, index: int, step: Step) -> tuple[int, int, int]:
        """Cluster DMA cycles, L3 cycles (0 when in L2) and bytes of one operand's tile."""
        out, depth = self._outs[step.out], self._depths[step.depth]
        first, span = self._spans[index][step.rows]
        key = (index, out, depth, first if index in self.plan.in_l3 else 0, span)
        match = self._moves.get(key)
        if match is None:
            match = self._move(index, out, self._rows[step.rows], depth, span)
            self._moves[key] = match
        return match

    def _move(self, index: int, out: int, rows: int, depth: int, span: int) -> tuple[int, int, int]:
        operand = self.plan.geometry.operands[index]
        count = operand.unit_bytes
        count *= out if operand.by_out else 1
        count *= depth if operand.by_in else 1
        count *= span if operand.extent != "none" else 1
        size = math.ceil(count - 1e-6)
        arrays = self._arrays(out, rows, depth)
        lines = max(1, int(tile_lines(operand, arrays, self.setting.table.layout)[0]))
        port, external = self.setting.chip.cluster_dma, self.setting.chip.micro_dma
        l3 = 0
        if index in self.plan.in_l3:
            flash = operand.constant and self.setting.flash
            fc_cycles = external.fc_cycles(lines, size / lines, flash=flash)
            fc_cycles += (operand.pieces - 1) * external.setup_fc_cycles
            l3 = self.setting.clocks.cluster_cycles(fc_cycles)
        dma = port.cycles(lines, size / lines) + (operand.pieces - 1) * port.latency_cycles
        return dma, l3, size

    def _arrays(self, out: int, rows: int, depth: int) -> TileSizes:
        def one(value: int) -> np.ndarray:
            return np.array([value], dtype=np.int64)

        geometry, cores = self.plan.geometry, self.setting.cores
        return TileSizes(geometry, cores, one(out), one(rows), one(depth))
