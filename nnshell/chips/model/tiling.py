"""Tile search: every cut of a layer that fits L1, and what each would cost, in one numpy sweep.

A candidate is a tile size on three axes (output channels, output rows, input channels) and a
loop order. Its L1 demand counts every operand tile, twice where double buffering needs it, and
the kernel's own buffers. Its cost is a quick estimate; the best few are then scheduled exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from nnshell.chips.model.chip import Chip
from nnshell.chips.model.counts import COUNTS, TileSizes
from nnshell.chips.model.geometry import Geometry, IntArray, Operand
from nnshell.chips.model.kernels import Axis, Kernel, KernelTable, When

FloatArray = npt.NDArray[np.float64]

AXES: tuple[Axis, ...] = ("out", "rows", "in")
# Sizes tried on one axis; geometric thinning keeps both ends and every small number of cuts.
MAX_SIZES = 48
# Layers cut finer than this are only considered when nothing coarser fits.
MAX_TILES = 4096
_TOO_MUCH = np.int64(1) << 40  # L1 bytes of a cut that no kernel makes


@dataclass(frozen=True, slots=True)
class Tile:
    """A chosen cut. ``trips`` are how many tiles each axis is cut into."""

    out: int
    rows: int
    depth: int
    order: tuple[Axis, ...]
    trips: tuple[int, int, int]

    @property
    def count(self) -> int:
        """Tiles of one group."""
        return self.trips[0] * self.trips[1] * self.trips[2]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Cuts of one layer for one loop order, as arrays; ``l1_bytes`` is their demand."""

    order: tuple[Axis, ...]
    sizes: TileSizes
    trips: dict[str, IntArray]
    l1_bytes: IntArray

    def tile(self, index: int) -> Tile:
        """One of the candidates."""
        return Tile(
            out=int(self.sizes.out[index]),
            rows=int(self.sizes.rows[index]),
            depth=int(self.sizes.depth[index]),
            order=self.order,
            trips=(
                int(self.trips["out"][index]),
                int(self.trips["rows"][index]),
                int(self.trips["in"][index]),
            ),
        )


def axis_sizes(extent: int, multiple: int, cut: bool) -> IntArray:
    """Tile sizes worth trying: the smallest size for every number of tiles, in whole units."""
    if not cut or extent <= multiple:
        return np.array([extent], dtype=np.int64)
    units = -(-extent // multiple)
    tiles = np.unique(np.rint(np.geomspace(1, units, 4 * MAX_SIZES)).astype(np.int64))
    sizes = np.unique(np.minimum(extent, -(-units // tiles) * multiple))
    if len(sizes) > MAX_SIZES:
        keep = np.unique(np.rint(np.geomspace(1, len(sizes), MAX_SIZES)).astype(np.int64)) - 1
        sizes = sizes[keep]
    return sizes


def candidates(
    geometry: Geometry, kernel: Kernel, order: tuple[Axis, ...], cores: int, alignment: int
) -> Candidates:
    """All cuts of the layer that this loop order allows."""
    extents = {"out": geometry.out, "rows": geometry.height, "in": geometry.depth}
    grids = np.meshgrid(
        *(axis_sizes(extents[axis], kernel.multiples[axis], axis in order) for axis in AXES),
        indexing="ij",
    )
    out, rows, depth = (grid.ravel() for grid in grids)
    sizes = TileSizes(geometry, cores, out, rows, depth)
    trips = {
        "group": np.full_like(out, geometry.groups),
        "out": -(-geometry.out // out),
        "rows": -(-geometry.height // rows),
        "in": -(-geometry.depth // depth),
    }
    demand = l1_demand(kernel, sizes, trips, order, alignment)
    if geometry.in_steps:  # states that are cut are complete only after a pass over all of them
        demand = np.where((trips["out"] > 1) & (rows > 1), _TOO_MUCH, demand)
    return Candidates(order, sizes, trips, demand)


def transfers(operand: Operand, trips: dict[str, IntArray], order: tuple[Axis, ...]) -> IntArray:
    """How often a tile of the operand is moved: the trips of all loops down to the innermost
    one that changes it."""
    passes = np.ones_like(trips["group"])
    result = passes
    for axis in ("group", *order):
        passes = passes * trips[axis]
        if operand.depends_on(axis):
            result = np.where(trips[axis] > 1, passes, result)
    return result


def tile_bytes(operand: Operand, sizes: TileSizes) -> IntArray:
    """Bytes of one full tile of the operand."""
    count: FloatArray = np.full(sizes.out.shape, operand.unit_bytes)
    if operand.by_out:
        count = count * sizes.out
    if operand.by_in:
        count = count * sizes.depth
    if operand.extent == "input":
        count = count * sizes.geometry.input_rows(sizes.rows)
    elif operand.extent == "output":
        count = count * sizes.rows
    return _whole_bytes(count)


def _whole_bytes(size: FloatArray) -> IntArray:
    """Rounded up, but not for what floats lost."""
    return np.ceil(size - 1e-6).astype(np.int64)


def tile_lines(operand: Operand, sizes: TileSizes, layout: str) -> IntArray:
    """Contiguous pieces of one tile of the operand in L2."""
    geometry = sizes.geometry
    one = np.ones_like(sizes.out)
    if operand.by_out and operand.by_in:
        return np.where(sizes.depth < geometry.depth, sizes.out, one)
    if operand.extent == "none" or not (operand.by_out or operand.by_in):
        return one
    channels, total = (sizes.out, geometry.out) if operand.by_out else (sizes.depth, geometry.depth)
    inputs = operand.extent == "input"
    rows = geometry.input_rows(sizes.rows) if inputs else sizes.rows
    height = geometry.input_height if inputs else geometry.height
    if layout == "chw":
        return np.where(rows >= height, one, channels)
    width = geometry.input_width if inputs else geometry.width
    return np.where(channels >= total, one, rows * width)


def l1_demand(
    kernel: Kernel,
    sizes: TileSizes,
    trips: dict[str, IntArray],
    order: tuple[Axis, ...],
    alignment: int,
) -> IntArray:
    """L1 bytes: operand tiles, doubled where more than one is moved, and kernel buffers."""
    total = np.zeros_like(sizes.out)
    for operand in sizes.geometry.operands:
        copies: IntArray = 1 + (transfers(operand, trips, order) > 1).astype(np.int64)
        total = total + copies * _aligned(tile_bytes(operand, sizes), alignment)
    element_bytes = sizes.geometry.input_element_bytes
    columns = np.asarray(sizes.depth * kernel.column_buffers * element_bytes, np.float64)
    turned = sizes.depth * sizes.positions * int(kernel.transposed)
    buffers: tuple[IntArray, ...] = (
        sizes.out * sizes.positions * kernel.accumulator_bytes,
        _whole_bytes(columns),
        _whole_bytes(np.asarray(turned * element_bytes, np.float64)),
    )
    for buffer in buffers:
        total = total + _aligned(buffer, alignment)
    return total


def _aligned(size: IntArray, alignment: int) -> IntArray:
    return -(-size // alignment) * alignment


def term_cycles(
    kernel: Kernel, table: KernelTable, activation: str | None, sizes: TileSizes
) -> dict[str, tuple[When, FloatArray]]:
    """Cycles of the busiest core by term, and when they are spent."""
    results: dict[str, tuple[When, FloatArray]] = {}
    for term in kernel.terms:
        cycles: FloatArray = np.full(sizes.out.shape, term.cycles)
        for count in term.per:
            cycles = cycles * COUNTS[count](sizes)
        results[term.name] = (term.when, cycles)
    each = table.activation_cycles(activation)
    if each:
        scaled = np.asarray(each * COUNTS["output_share"](sizes), np.float64)
        results[f"activation {activation}"] = ("output", scaled)
    if sizes.geometry.pool is not None:
        cost = table.pool_tap_cycles * COUNTS["pool_taps"](sizes) + table.pool_output_cycles
        outputs = COUNTS["out_share"](sizes) * COUNTS["pool_positions"](sizes)
        pooled = np.asarray(cost * outputs, np.float64)
        results["fused pool"] = ("output", pooled)
    return results


def kernel_cycles(
    kernel: Kernel, table: KernelTable, activation: str | None, sizes: TileSizes
) -> dict[When, IntArray]:
    """Cycles of the busiest core by when they are spent, for many tiles at once."""
    totals: dict[When, FloatArray] = {
        when: np.zeros(sizes.out.shape) for when in ("tile", "output", "layer")
    }
    for when, cycles in term_cycles(kernel, table, activation, sizes).values():
        totals[when] += cycles
    return {when: np.ceil(cycles).astype(np.int64) for when, cycles in totals.items()}


def compute_total(
    kernel: Kernel, table: KernelTable, activation: str | None, found: Candidates
) -> IntArray:
    """Cycles all tiles of each candidate compute, edge tiles at their own size."""
    geometry, cores = found.sizes.geometry, found.sizes.cores
    extents = {"out": geometry.out, "rows": geometry.height, "in": geometry.depth}
    full = {"out": found.sizes.out, "rows": found.sizes.rows, "in": found.sizes.depth}
    total = np.zeros_like(found.sizes.out)
    for edge in product((False, True), repeat=len(AXES)):
        tile, count = {}, np.ones_like(total)
        for axis, last in zip(AXES, edge, strict=True):
            trips = found.trips[axis]
            rest = extents[axis] - (trips - 1) * full[axis]
            tile[axis] = rest if last else full[axis]
            count = count * (1 if last else trips - 1)
        if not count.any():
            continue
        sizes = TileSizes(geometry, cores, tile["out"], tile["rows"], tile["in"])
        cycles = kernel_cycles(kernel, table, activation, sizes)
        total = total + count * cycles["tile"]
        total = total + count * cycles["output"] * edge[-1]
        if all(edge):
            total = total + cycles["layer"] // np.maximum(1, found.trips["group"])
    return total * found.trips["group"]


def estimate(
    kernel: Kernel,
    table: KernelTable,
    activation: str | None,
    chip: Chip,
    found: Candidates,
    l3_cycles_per_byte: dict[int, float],
    l3_line_cycles: float,
) -> IntArray:
    """Cycles of each candidate if DMA and compute overlap perfectly, plus filling the pipe.

    ``l3_cycles_per_byte`` has an entry for each operand (by position) that lives in L3.
    """
    tiles = found.trips["group"] * found.trips["out"] * found.trips["rows"] * found.trips["in"]
    compute = compute_total(kernel, table, activation, found)
    dma = np.zeros(tiles.shape)
    l3 = np.zeros(tiles.shape)
    fill = np.zeros(tiles.shape)
    program = np.zeros_like(tiles)
    port = chip.cluster_dma
    for index, operand in enumerate(found.sizes.geometry.operands):
        moved = transfers(operand, found.trips, found.order)
        size = tile_bytes(operand, found.sizes)
        lines = tile_lines(operand, found.sizes, table.layout)
        line = np.maximum(
            size / port.bytes_per_cycle, lines * port.latency_cycles / port.outstanding
        )
        dma = dma + moved * (port.latency_cycles + line)
        fill = fill + port.latency_cycles + line
        program = program + moved * port.program_cycles
        if index in l3_cycles_per_byte:
            cost = lines * l3_line_cycles + size * l3_cycles_per_byte[index]
            l3 = l3 + moved * cost
            fill = fill + cost
    cores = compute + program + tiles * (chip.fork_cycles * kernel.calls + table.tile_cycles)
    total: IntArray = np.ceil(np.maximum(np.maximum(cores, dma), l3) + fill).astype(np.int64)
    return total
