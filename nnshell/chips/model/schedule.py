"""One layer's timeline: cores, cluster DMA and micro-DMA, tile by tile.

The generated code the timeline stands for: load the first tiles and wait; then for every tile
start the loads of the next one, compute, wait for the store before the last and start this
tile's store; at the end wait for all stores. Operands in L3 go through a pair of L2 buffers,
loaded two tiles ahead, or at once (blocking) for kernel libraries that do not overlap them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from nnshell.chips.model.geometry import Operand
from nnshell.chips.model.tile_costs import LayerPlan, Setting, Step, TileCosts, steps
from nnshell.chips.model.tiling import MAX_TILES

Record = Callable[[str, str, int, int], None]  # resource, what, first cycle, end cycle


@dataclass(frozen=True, slots=True)
class Timing:
    """Cycles of one layer and what each resource was busy with.

    The cores compute, wait for the cluster DMA, wait for L3, or start transfers and calls.
    """

    cycles: int
    compute_cycles: int
    dma_cycles: int
    l3_cycles: int
    l3_bytes: int
    dma_wait_cycles: int
    l3_wait_cycles: int

    @property
    def overhead_cycles(self) -> int:
        """What is neither computing nor waiting: the node's call, programming the DMA."""
        return self.cycles - self.compute_cycles - self.dma_wait_cycles - self.l3_wait_cycles


@dataclass(slots=True)
class _Timeline:
    """The state of the three resources while tiles go by."""

    plan: LayerPlan
    setting: Setting
    costs: TileCosts
    record: Record | None
    now: int = 0
    dma_free: int = 0
    l3_free: int = 0
    loaded: int = 0
    stored: int = 0
    compute: int = 0
    dma: int = 0
    l3: int = 0
    l3_bytes: int = 0
    dma_wait: int = 0
    l3_wait: int = 0
    fetched: dict[tuple[int, Step], int] = field(default_factory=dict)

    def note(self, resource: str, what: str, first: int, last: int) -> None:
        if self.record is not None and last > first:
            self.record(resource, what, first, last)

    def fetch(self, index: int, step: Step) -> None:
        """Start moving an operand's tile from L3 to its L2 buffer."""
        _, cycles, size = self.costs.move(index, step)
        first = max(self.now, self.l3_free)
        self.l3_free = first + cycles
        self.l3 += cycles
        self.l3_bytes += size
        self.fetched[index, step] = self.l3_free
        self.note("micro-DMA", f"load {self._role(index)}", first, self.l3_free)

    def load(self, index: int, step: Step) -> None:
        """Start moving an operand's tile from L2 to L1, after it has arrived from L3."""
        if index in self.plan.in_l3:
            if (index, step) not in self.fetched:
                self.fetch(index, step)
            self.wait_for_l3(self.fetched.pop((index, step)))
        cycles, _, _ = self.costs.move(index, step)
        pieces = self.plan.geometry.operands[index].pieces
        self.now += pieces * self.setting.chip.cluster_dma.program_cycles
        first = max(self.now, self.dma_free)
        self.dma_free = first + cycles
        self.dma += cycles
        self.loaded = max(self.loaded, self.dma_free)
        self.note("cluster DMA", f"load {self._role(index)}", first, self.dma_free)

    def run(self, step: Step) -> None:
        """Compute a tile on all cores, after the generated code that leads to it."""
        self.now += self.setting.table.tile_cycles
        cycles = self.costs.compute(step)
        cycles += self.setting.chip.fork_cycles * self.plan.kernel.calls
        self.note("cores", "compute", self.now, self.now + cycles)
        self.now += cycles
        self.compute += cycles

    def store(self, index: int, step: Step) -> None:
        """Start writing a finished tile back, to L2 and from there to L3 if it lives there."""
        self.wait(self.stored)
        dma_cycles, l3_cycles, size = self.costs.move(index, step)
        self.now += self.setting.chip.cluster_dma.program_cycles
        first = max(self.now, self.dma_free)
        self.dma_free = self.stored = first + dma_cycles
        self.dma += dma_cycles
        self.note("cluster DMA", "store output", first, self.dma_free)
        if index not in self.plan.in_l3:
            return
        first = max(self.dma_free, self.l3_free)
        self.l3_free = first + l3_cycles
        self.l3 += l3_cycles
        self.l3_bytes += size
        self.note("micro-DMA", "store output", first, self.l3_free)
        if "output" in self.setting.table.blocking_l3:
            self.wait_for_l3(self.l3_free)

    def wait(self, until: int) -> None:
        """The cores wait for the cluster DMA."""
        self.dma_wait += max(0, until - self.now)
        self.now = max(self.now, until)

    def wait_for_l3(self, until: int) -> None:
        self.l3_wait += max(0, until - self.now)
        self.now = max(self.now, until)

    def _role(self, index: int) -> str:
        return self.plan.geometry.operands[index].role


def _changed(operand: Operand, before: Step | None, step: Step) -> bool:
    """Whether the operand's tile differs from the one already in L1."""
    if before is None or before.group != step.group:
        return True
    return (
        (operand.by_out and before.out != step.out)
        or (operand.by_in and before.depth != step.depth)
        or (operand.extent != "none" and before.rows != step.rows)
    )


def schedule(plan: LayerPlan, setting: Setting, record: Record | None = None) -> Timing:
    """Time a layer exactly; ``record`` gets every busy interval."""
    line = _Timeline(plan, setting, TileCosts(plan, setting), record)
    return _extrapolated(plan, line, _run(line, None))


def schedule_within(plan: LayerPlan, setting: Setting, limit: int | None) -> Timing | None:
    """Time a layer exactly, or give up (None) once it has taken ``limit`` cycles."""
    line = _Timeline(plan, setting, TileCosts(plan, setting), None)
    done = _run(line, limit)
    if limit is not None and line.now >= limit:
        return None
    return _extrapolated(plan, line, done)


def _run(line: _Timeline, limit: int | None) -> int:
    """Tile by tile, until ``limit`` cycles if there is one; the number of tiles."""
    plan, operands = line.plan, line.plan.geometry.operands
    inputs = [index for index, operand in enumerate(operands) if operand.role != "output"]
    outputs = [index for index, operand in enumerate(operands) if operand.role == "output"]
    order = list(islice(steps(plan.geometry, plan.tile), 2 * MAX_TILES))
    needs = _needs(plan, order, inputs)
    line.now = line.setting.chip.node_cycles
    for index in needs[0]:
        line.load(index, order[0])
    _fetch_ahead(line, order, needs, 1)
    for at, step in enumerate(order):
        _advance(line, order, needs, at)
        line.run(step)
        if step.depth == plan.tile.trips[2] - 1:
            for index in outputs:
                line.store(index, step)
        if limit is not None and line.now >= limit:
            return at + 1
    line.wait(line.dma_free)
    line.wait_for_l3(line.l3_free)
    return len(order)


def _needs(plan: LayerPlan, order: list[Step], inputs: list[int]) -> list[list[int]]:
    """For every tile the operands that have to be loaded for it."""
    operands = plan.geometry.operands
    before: list[Step | None] = [None, *order[:-1]]
    return [
        [index for index in inputs if _changed(operands[index], last, step)]
        for last, step in zip(before, order, strict=True)
    ]


def _advance(line: _Timeline, order: list[Step], needs: list[list[int]], at: int) -> None:
    """Loads that overlap the computation of tile ``at``: the next tile, and L3 one further."""
    line.wait(line.loaded)
    if at + 1 < len(order):
        for index in needs[at + 1]:
            line.load(index, order[at + 1])
    _fetch_ahead(line, order, needs, at + 2)


def _fetch_ahead(line: _Timeline, order: list[Step], needs: list[list[int]], at: int) -> None:
    """Start the L3 transfers of a later tile, for libraries that overlap them."""
    if at >= len(order):
        return
    for index in needs[at]:
        role = line.plan.geometry.operands[index].role
        if index in line.plan.in_l3 and role not in line.setting.table.blocking_l3:
            line.fetch(index, order[at])


def _extrapolated(plan: LayerPlan, line: _Timeline, done: int) -> Timing:
    """Scale a layer that was cut off after many tiles of its steady state."""
    tiles = plan.tile.count * plan.geometry.groups
    factor = tiles / done if done < tiles else 1

    def scaled(value: int) -> int:
        return value if factor == 1 else math.ceil(value * factor)

    return Timing(
        cycles=scaled(line.now),
        compute_cycles=scaled(line.compute),
        dma_cycles=scaled(line.dma),
        l3_cycles=scaled(line.l3),
        l3_bytes=scaled(line.l3_bytes),
        dma_wait_cycles=int(line.dma_wait * factor),
        l3_wait_cycles=int(line.l3_wait * factor),
    )
