"""The best cut of a layer: estimate all, schedule the most promising exactly, take the fastest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nnshell.chips.model.geometry import BoolArray, Geometry, IntArray, geometry
from nnshell.chips.model.kernels import Kernel
from nnshell.chips.model.schedule import Timing, schedule, schedule_within
from nnshell.chips.model.tile_costs import LayerPlan, Setting
from nnshell.chips.model.tiling import MAX_TILES, Candidates, candidates, estimate, tile_bytes
from nnshell.ir.work import Work
from nnshell.support.errors import GraphError

# Operands that live in L3: a role and, for inputs, which one.
Operands = frozenset[tuple[str, int]]

# How many of the best estimates are scheduled exactly before one is chosen.
FINALISTS = 4


@dataclass(frozen=True, slots=True)
class Choice:
    """A layer's cut with its exact timing; ``fits`` is False when even the smallest tile needs
    more L1 than there is, which the timing then ignores."""

    plan: LayerPlan
    timing: Timing
    l1_bytes: int
    staging_bytes: int
    tile_rows: int
    fits: bool

    @property
    def tiles(self) -> int:
        """Tiles of the layer, all groups together."""
        return self.plan.tile.count * self.plan.geometry.groups

    @property
    def tile_channels(self) -> int:
        """Output channels of a whole tile."""
        return self.plan.tile.out


def choose(work: Work, setting: Setting, l3_operands: Operands, l2_room: int, name: str) -> Choice:
    """The fastest cut that fits L1, of the first kernel in the table for which there is one.

    ``l2_room``: bytes of L2 for the buffers through which L3 operands stream; a cut that needs
    more is taken only when there is no other.

    Raises:
        GraphError: the kernel table has no kernel for this work.
    """
    smallest: Choice | None = None
    for kernel in setting.table.matching(work):
        result = _fastest(work, kernel, setting, l3_operands, l2_room)
        if result.fits:
            return result
        if smallest is None or result.l1_bytes < smallest.l1_bytes:
            smallest = result
    if smallest is None:
        raise GraphError(
            f"kernel table {setting.table.name} has no kernel for {work.kind}",
            where=name,
            hint="set kernels autotiler-sq8",
        )
    return smallest


def ranked_choices(
    work: Work,
    kernel: Kernel,
    setting: Setting,
    l3_operands: Operands,
    l2_room: int,
    count: int,
) -> list[Choice]:
    """The ``count`` most promising cuts of one kernel, each scheduled exactly."""
    nest, in_l3 = _nest(work, kernel, l3_operands)
    finalists, fits = _finalists(work, nest, kernel, setting, in_l3, l2_room, count)
    choices = []
    for result, index in finalists:
        plan = LayerPlan(nest, kernel, result.tile(index), work.activation, in_l3)
        choices.append(_choice(work, plan, result, index, schedule(plan, setting), fits))
    return choices


def _fastest(
    work: Work, kernel: Kernel, setting: Setting, l3_operands: Operands, l2_room: int
) -> Choice:
    """The fastest of the most promising cuts; none is scheduled further than the best so far."""
    nest, in_l3 = _nest(work, kernel, l3_operands)
    finalists, fits = _finalists(work, nest, kernel, setting, in_l3, l2_room, FINALISTS)
    best: Choice | None = None
    for result, index in finalists:
        plan = LayerPlan(nest, kernel, result.tile(index), work.activation, in_l3)
        timing = schedule_within(plan, setting, best.timing.cycles if best is not None else None)
        if timing is not None:
            best = _choice(work, plan, result, index, timing, fits)
    assert best is not None  # the first one has no limit
    return best


def _nest(work: Work, kernel: Kernel, l3_operands: Operands) -> tuple[Geometry, frozenset[int]]:
    """The loop nest of the work, and which of its operands live in L3."""
    nest = geometry(work, matrix=kernel.matrix)
    in_l3 = frozenset(
        index
        for index, operand in enumerate(nest.operands)
        if (operand.role, operand.tensor) in l3_operands
    )
    return nest, in_l3


def _choice(
    work: Work, plan: LayerPlan, result: Candidates, index: int, timing: Timing, fits: bool
) -> Choice:
    staging = int(_staging(result, plan.in_l3)[index])
    rows = _image_rows(work, plan)
    return Choice(plan, timing, int(result.l1_bytes[index]), staging, rows, fits)


def _finalists(
    work: Work,
    nest: Geometry,
    kernel: Kernel,
    setting: Setting,
    in_l3: frozenset[int],
    l2_room: int,
    count: int,
) -> tuple[list[tuple[Candidates, int]], bool]:
    """The cuts with the lowest estimates; the smallest one when none fits."""
    chip, clocks = setting.chip, setting.clocks
    ratio, external = clocks.cluster_hz / clocks.fc_hz, chip.micro_dma
    per_byte = {
        index: ratio / external.bytes_per_fc_cycle(nest.operands[index].constant and setting.flash)
        for index in in_l3
    }
    per_line = ratio * external.line_fc_cycles
    ranked: list[tuple[int, int, Candidates, int]] = []
    smallest: tuple[int, int, Candidates, int] | None = None
    for number, order in enumerate(kernel.orders):
        result = candidates(nest, kernel, order, setting.cores, chip.l1_alignment_bytes)
        least = int(np.argmin(result.l1_bytes))
        if smallest is None or result.l1_bytes[least] < smallest[0]:
            smallest = (int(result.l1_bytes[least]), number, result, least)
        usable = _usable(result, setting.l1_bytes, _staging(result, in_l3), l2_room)
        if not usable.any():
            continue
        costs = estimate(
            kernel, setting.table, work.activation, chip, result,
            per_byte, per_line,
        )  # fmt: skip
        costs = np.where(usable, costs, np.iinfo(np.int64).max)
        for index in np.argsort(costs, kind="stable")[:count]:
            if usable[index]:
                ranked.append((int(costs[index]), number, result, int(index)))
    if not ranked:
        assert smallest is not None
        return [(smallest[2], smallest[3])], False
    ranked.sort(key=lambda entry: (entry[0], entry[1], entry[3]))
    return _distinct(ranked, count), True


def _distinct(
    ranked: list[tuple[int, int, Candidates, int]], count: int
) -> list[tuple[Candidates, int]]:
    """The first ``count`` cuts that differ: with one axis cut, all loop orders are the same."""
    kept: list[tuple[Candidates, int]] = []
    seen: set[tuple[object, ...]] = set()
    for _, _, result, index in ranked:
        tile = result.tile(index)
        order = tile.order if sum(trips > 1 for trips in tile.trips) > 1 else ()
        cut = (tile.out, tile.rows, tile.depth, order)
        if cut not in seen:
            seen.add(cut)
            kept.append((result, index))
        if len(kept) == count:
            break
    return kept


def _usable(result: Candidates, l1_bytes: int, staging: IntArray, l2_room: int) -> BoolArray:
    """Cuts that fit L1 and preferably the L2 room, without needlessly fine ones."""
    usable: BoolArray = result.l1_bytes <= l1_bytes
    if not usable.any():
        return usable
    room = max(l2_room, int(staging[usable].min()))
    usable = usable & (staging <= room)
    tiles = result.trips["group"] * result.trips["out"] * result.trips["rows"] * result.trips["in"]
    coarse = usable & (tiles <= MAX_TILES)
    return coarse if coarse.any() else usable


def _staging(result: Candidates, in_l3: frozenset[int]) -> IntArray:
    """L2 for the pairs of buffers through which operands stream from and to L3."""
    total = np.zeros_like(result.sizes.out)
    for index in in_l3:
        total = total + 2 * tile_bytes(result.sizes.geometry.operands[index], result.sizes)
    return total


def _image_rows(work: Work, plan: LayerPlan) -> int:
    """Rows of the output map a tile spans, also where it is cut by pixels."""
    height, width = work.output[1:]
    if (plan.geometry.height, plan.geometry.width) == (height, width):
        return plan.tile.rows
    return max(1, min(height, -(-plan.tile.rows // max(1, width))))
