"""From a network and settings to a report: plan memory, cut layers, time them, add them up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nnshell.chips.model.chip import Chip, load_chip
from nnshell.chips.model.energy import layer_energy_mj
from nnshell.chips.model.geometry import constant_arrays
from nnshell.chips.model.kernels import KernelTable, load_kernels
from nnshell.chips.model.network import Layer, Network, check
from nnshell.chips.model.parameters import Parameters
from nnshell.chips.model.plan import (
    Plan,
    budget_for,
    buffers,
    hidden_bytes,
    make_plan,
    prefetch_span,
)
from nnshell.chips.model.report import LayerReport, SimulationReport
from nnshell.chips.model.search import Choice, Operands, choose
from nnshell.chips.model.shortfalls import (
    Shortfall,
    l1_shortfall,
    l2_shortfall,
    l3_shortfalls,
)
from nnshell.chips.model.tile_costs import Clocks, Setting
from nnshell.ir.work import Work
from nnshell.support.packing import MemoryMap, pack

# Cuts whose streaming buffers must shrink are searched for L2 rooms in these steps.
ROOM_STEP_BYTES = 4096

# Cuts by work, operands in L3, L2 room, clocks (where L3 is involved), cores and L1 bytes.
Cuts = dict[tuple[Work, Operands, int, Clocks | None, int, int], Choice]


def estimate(
    network: Network,
    parameters: Parameters | None = None,
    *,
    kernels: str | Path | KernelTable | None = None,
    chip: Chip | None = None,
    cuts: Cuts | None = None,
) -> SimulationReport:
    """Cycles, memory and energy of one inference, without the ranges of their errors.

    ``kernels`` overrides the parameters' kernel table. ``cuts`` remembers what was searched, for
    simulations with one table and chip. What does not fit is reported, not raised.

    Raises:
        GraphError: a layer that the kernel table does not know, or tensors that do not connect.
        UsageError: a setting or table that cannot be.
    """
    parameters = parameters or Parameters()
    chip = chip or load_chip()
    check(network)
    if not isinstance(kernels, KernelTable):
        kernels = load_kernels(kernels or parameters.kernels)
    parameters = parameters.resolve(kernels)
    parameters.validate(chip)
    clocks = Clocks(parameters.fc_freq, parameters.cl_freq, parameters.voltage)
    cores = parameters.cluster_num_cores
    setting = Setting(chip, kernels, clocks, cores, parameters.l1_budget())
    return _Simulation(network, parameters, setting, cuts if cuts is not None else {}).run()


@dataclass(slots=True)
class _Simulation:
    """One run; ``known`` remembers the cuts of equal layers, with the L2 room they were given."""

    network: Network
    parameters: Parameters
    setting: Setting
    known: Cuts

    @property
    def _working_share(self) -> float:
        """Cores at work of those the chip's power was measured with."""
        return self.setting.cores / self.setting.chip.cores

    def run(self) -> SimulationReport:
        plan, picked, memory = self._settle()
        layers = self._layers(plan, picked, memory)
        return SimulationReport(
            network=self.network,
            parameters=self.parameters,
            setting=self.setting,
            plan=plan,
            choices=tuple(picked),
            memory=memory,
            layers=tuple(layers),
            shortfalls=tuple(self._shortfalls(plan, picked, memory)),
        )

    def _choices(self, plan: Plan) -> list[Choice]:
        """The cut of every layer under this plan."""
        used = plan.usage(self.network)
        return [self._choice_at(plan, used, at) for at in range(len(self.network.layers))]

    def _choice_at(self, plan: Plan, used: list[int], at: int) -> Choice:
        layer = self.network.layers[at]
        streamed = operands_in_l3(layer, plan, at)
        room = max(0, self.parameters.l2_size - used[at]) if streamed else 0
        return self._choice(layer, streamed, room)

    def _choice(self, layer: Layer, streamed: Operands, room: int) -> Choice:
        """The best cut when L2 had room for all its buffers, if it has; else the best in steps
        of room, so that small differences of the plan do not start another search."""
        result = self._known(layer, streamed, self.setting.chip.l2_bytes)
        if result.staging_bytes <= room:
            return result
        return self._known(layer, streamed, room - room % ROOM_STEP_BYTES)

    def _known(self, layer: Layer, streamed: Operands, room: int) -> Choice:
        clocks = self.setting.clocks if streamed else None
        limits = (self.setting.cores, self.setting.l1_bytes)
        key = (layer.work, streamed, room, clocks, *limits)
        if key not in self.known:
            self.known[key] = choose(layer.work, self.setting, streamed, room, layer.name)
        return self.known[key]

    def _settle(self) -> tuple[Plan, list[Choice], MemoryMap]:
        """Plan, cut and pack; give L2 room back until the buffers pack into the budget."""
        limit = self.parameters.l2_size
        plan = make_plan(
            self.network,
            budget_for(self.setting, limit),
            hidden_bytes(self.network, self.setting),
        )
        self._stream_exposed(plan)
        while True:
            picked = self._choices(plan)
            staging = [choice.staging_bytes for choice in picked]
            memory = pack(
                buffers(self.network, plan, staging), self.setting.chip.l2_alignment_bytes
            )
            if memory.peak_bytes <= limit or not plan.release(memory, limit):
                return plan, picked, memory

    def _stream_exposed(self, plan: Plan) -> None:
        """Stream weights tile by tile, beside their own layer's computation, where bringing them
        in as a whole during the layer before takes longer."""
        picked, used = self._choices(plan), plan.usage(self.network)
        for at, layer in enumerate(self.network.layers):
            if plan.weights[at] != "prefetched" or not self._stall(plan, picked, at):
                continue
            before = self._cycles_around(plan, picked, at)
            plan.weights[at], whole = "streamed", picked[at]
            span = prefetch_span(at)
            for step in span:
                used[step] -= layer.constant_bytes
            picked[at] = self._choice_at(plan, used, at)
            if self._cycles_around(plan, picked, at) >= before:
                plan.weights[at], picked[at] = "prefetched", whole
                for step in span:
                    used[step] += layer.constant_bytes

    def _cycles_around(self, plan: Plan, picked: list[Choice], at: int) -> int:
        """What depends on the weights of a layer: its time, its wait and that of the next."""
        waits = (self._stall(plan, picked, step) for step in (at, at + 1) if step < len(picked))
        return picked[at].timing.cycles + sum(waits)

    def _stall(self, plan: Plan, picked: list[Choice], at: int) -> int:
        """Cycles a layer waits for weights its predecessor had no time to bring in."""
        before = picked[at - 1].timing if at else None
        spare = before.cycles - before.l3_cycles if before is not None else 0
        return max(0, self._prefetch_cycles(plan, at) - spare)

    def _layers(self, plan: Plan, picked: list[Choice], memory: MemoryMap) -> list[LayerReport]:
        """One row a layer: the waiting for its weights, then its own time."""
        used = memory.used_by_step(len(picked))
        rows: list[LayerReport] = []
        for at, choice in enumerate(picked):
            stall, following = self._stall(plan, picked, at), self._prefetch_cycles(plan, at + 1)
            spare = choice.timing.cycles - choice.timing.l3_cycles
            rows.append(self._row(at, plan, choice, used[at], stall, min(following, spare)))
        return rows

    def _prefetch_cycles(self, plan: Plan, at: int) -> int:
        """Micro-DMA cycles of a layer's weights when they are brought in as a whole."""
        if at >= len(plan.weights) or plan.weights[at] != "prefetched":
            return 0
        external = self.setting.chip.micro_dma
        layer = self.network.layers[at]
        arrays = 1 + constant_arrays(layer.work)
        fc_cycles = external.fc_cycles(1, layer.constant_bytes, flash=self.setting.flash)
        return self.setting.clocks.cluster_cycles(
            fc_cycles + (arrays - 1) * external.setup_fc_cycles
        )

    def _row(
        self, at: int, plan: Plan, choice: Choice, l2_bytes: int, stall: int, ahead: int
    ) -> LayerReport:
        layer, timing = self.network.layers[at], choice.timing
        cycles = timing.cycles + stall
        brought = layer.constant_bytes if plan.weights[at] == "prefetched" else 0
        energy = layer_energy_mj(
            self.setting.chip,
            self.setting.clocks,
            cycles,
            timing.compute_cycles * choice.plan.kernel.power * self._working_share,
        )
        return LayerReport(
            name=layer.name,
            op=layer.op,
            kernel=choice.plan.kernel.name,
            macs=layer.work.macs,
            cycles=cycles,
            compute_cycles=timing.compute_cycles,
            dma_l2_l1_cycles=timing.dma_cycles,
            dma_l3_l2_cycles=timing.l3_cycles + stall + ahead,
            stall_cycles=stall,
            dma_wait_cycles=timing.dma_wait_cycles,
            l3_wait_cycles=timing.l3_wait_cycles + stall,
            bound_by=_bound(timing.compute_cycles, timing.dma_cycles, timing.l3_cycles + stall),
            tile_rows=choice.tile_rows,
            tile_channels=choice.tile_channels,
            tiles=choice.tiles,
            l1_bytes=choice.l1_bytes,
            l2_bytes=l2_bytes,
            l3_bytes=timing.l3_bytes + brought,
            energy_mj=energy,
            fits=choice.fits,
            node=layer.output,
            step=layer.step,
        )

    def _shortfalls(self, plan: Plan, picked: list[Choice], memory: MemoryMap) -> list[Shortfall]:
        results = [
            l1_shortfall(layer.output, choice.l1_bytes, self.parameters, self.setting.chip)
            for layer, choice in zip(self.network.layers, picked, strict=True)
            if not choice.fits
        ]
        if memory.peak_bytes > self.parameters.l2_size:
            results.append(l2_shortfall(memory.peak_bytes, self.parameters, self.setting.chip))
        constants = self.network.constant_bytes
        spilled = plan.spilled_bytes()
        return results + l3_shortfalls(constants, spilled, self.parameters, self.setting.chip)


def operands_in_l3(layer: Layer, plan: Plan, at: int) -> Operands:
    """The layer's operands that live in L3, as roles and input numbers."""
    last = max(0, len(layer.work.input_bytes) - 1)
    results: set[tuple[str, int]] = set()
    for index, name in enumerate(layer.inputs):
        if name in plan.spilled:
            results.add(("input", min(index, last)))
    if layer.output in plan.spilled:
        results.add(("output", 0))
    if plan.weights[at] == "streamed":
        results |= {("weights", 0), ("constants", 0)}
    return frozenset(results)


def _bound(compute: int, dma: int, l3: int) -> str:
    """What keeps a layer busy longest."""
    busiest = max(compute, dma, l3)
    if compute == busiest:
        return "compute"
    return "l3" if l3 == busiest else "dma"
