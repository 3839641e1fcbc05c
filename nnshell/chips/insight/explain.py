"""Why a layer costs what it costs: where its cycles go, what other cuts would cost, what helps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from nnshell.chips.insight.advice import l2_lever
from nnshell.chips.model.counts import TileSizes
from nnshell.chips.model.report import LayerReport, SimulationReport
from nnshell.chips.model.search import Choice, Operands, choose, ranked_choices
from nnshell.chips.model.tile_costs import LayerPlan, Setting, steps
from nnshell.chips.model.tiling import term_cycles
from nnshell.support.errors import UsageError

MAX_ALTERNATIVES = 6


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the cores' work: a term of the kernel table and its cycles in this layer."""

    name: str
    cycles: int
    origin: str
    source: str


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another cut, and what the layer would take with it."""

    choice: Choice
    chosen: bool

    @property
    def cycles(self) -> int:
        """Cycles of the layer with this cut."""
        return self.choice.timing.cycles


@dataclass(frozen=True, slots=True)
class WhatIf:
    """One thing that could be otherwise, the layer's cycles then, and what it takes."""

    what: str
    cycles: int
    takes: str = ""


@dataclass(frozen=True, slots=True)
class Roofline:
    """MACs a cycle: what the layer reaches, and what each ceiling alone would allow."""

    reached: float
    arithmetic: float
    kernel: float
    dma: float
    l3: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything `simulate --explain` says about a layer."""

    layer: LayerReport
    number: int
    choice: Choice
    where: tuple[str, ...]
    parts: tuple[Part, ...]
    alternatives: tuple[Alternative, ...]
    what_ifs: tuple[WhatIf, ...]
    roofline: Roofline


def explain(report: SimulationReport, wanted: str) -> Explanation:
    """A layer by its node, its step, or its name in the model file.

    Raises:
        UsageError: there is no such layer.
    """
    at = _find(report, wanted)
    layer, choice = report.layers[at], report.choices[at]
    return Explanation(
        layer=layer,
        number=at + 1,
        choice=choice,
        where=_where(report, at),
        parts=_parts(choice.plan, report.setting),
        alternatives=_alternatives(report, at),
        what_ifs=_what_ifs(report, at),
        roofline=roofline(report, at),
    )


def _find(report: SimulationReport, expected: str) -> int:
    for keys in (
        [layer.node for layer in report.layers],
        [str(layer.step) for layer in report.layers],
        [layer.name for layer in report.layers],
    ):
        if expected in keys:
            return keys.index(expected)
    steps = ", ".join(f"{layer.step} {layer.node}" for layer in report.layers[:4])
    more = ", ..." if len(report.layers) > 4 else ""
    raise UsageError(
        f"there is no layer {expected}",
        where=report.network.name,
        hint=f"layers of `simulate`: {steps}{more}",
    )


def _where(report: SimulationReport, at: int) -> tuple[str, ...]:
    """Where the layer's tensors and weights live."""
    layer, plan = report.network.layers[at], report.plan
    lines = []
    for role, names in (("input", layer.inputs), ("output", (layer.output,))):
        for name in dict.fromkeys(names):
            place = "L3" if name in plan.spilled else "L2"
            if name in plan.external:
                place = "L2 of the application"
            lines.append(f"{role} {name}, {plan.sizes.get(name, 0):,} bytes: {place}")
    places = {
        "resident": "L2, for good",
        "prefetched": "L3, brought to L2 while the layer before computes",
        "streamed": "L3, streamed tile by tile",
    }
    if layer.constant_bytes:
        lines.append(f"weights, {layer.constant_bytes:,} bytes: {places[plan.weights[at]]}")
    return tuple(lines)


def _sizes(plan: LayerPlan) -> Counter[tuple[int, int, int, bool]]:
    """How often tiles of each size run: output channels, rows, input channels, finishing."""
    nest, tile = plan.geometry, plan.tile
    results: Counter[tuple[int, int, int, bool]] = Counter()
    for step in steps(nest, tile):
        out = min(tile.out, nest.out - step.out * tile.out)
        rows = min(tile.rows, nest.height - step.rows * tile.rows)
        depth = min(tile.depth, nest.depth - step.depth * tile.depth)
        results[out, rows, depth, step.depth == tile.trips[2] - 1] += 1
    return results


def _parts(plan: LayerPlan, setting: Setting) -> tuple[Part, ...]:
    """The cores' cycles by terms of the kernel, largest first, and the forks."""
    totals: Counter[str] = Counter()
    counts = _sizes(plan)
    for (out, rows, depth, last), count in counts.items():
        one = np.ones(1, np.int64)
        sizes = TileSizes(plan.geometry, setting.cores, out * one, rows * one, depth * one)
        for name, (when, cycles) in term_cycles(
            plan.kernel, setting.table, plan.activation, sizes
        ).items():
            if when == "tile" or (when == "output" and last):
                totals[name] += round(count * float(cycles[0]))
            elif when == "layer" and name not in totals:
                totals[name] = round(float(cycles[0]))
    tiles = sum(counts.values())
    totals["starting the cores"] += tiles * setting.chip.fork_cycles * plan.kernel.calls
    origins = {term.name: (term.origin, term.source) for term in plan.kernel.terms}
    unknown = ("derived", "")
    return tuple(
        Part(name, cycles, *origins.get(name, unknown))
        for name, cycles in totals.most_common()
        if cycles
    )


def _operands(report: SimulationReport, at: int) -> Operands:
    choice = report.choices[at]
    operands = choice.plan.geometry.operands
    return frozenset((operands[i].role, operands[i].tensor) for i in choice.plan.in_l3)


def _alternatives(report: SimulationReport, at: int) -> tuple[Alternative, ...]:
    """The chosen cut and the best others for the same places of its data."""
    chosen = report.choices[at]
    work = report.network.layers[at].work
    room = max(chosen.staging_bytes, 0)
    others = ranked_choices(
        work, chosen.plan.kernel, report.setting, _operands(report, at), room, 4 * MAX_ALTERNATIVES
    )
    others.sort(key=lambda choice: choice.timing.cycles)
    seen = {_cut(chosen)}
    entries = [Alternative(chosen, True)]
    for other in others:
        if _cut(other) not in seen and len(entries) <= MAX_ALTERNATIVES:
            seen.add(_cut(other))
            entries.append(Alternative(other, False))
    return tuple(entries)


def _cut(choice: Choice) -> tuple[int, int, int, int]:
    """What tells cuts apart: two loop orders of the same tiles may be the same work."""
    tile = choice.plan.tile
    return tile.out, tile.rows, tile.depth, choice.timing.cycles


def _what_ifs(report: SimulationReport, at: int) -> tuple[WhatIf, ...]:
    """The layer with one limit gone, best first; only what would change something."""
    layer, setting = report.layers[at], report.setting
    work = report.network.layers[at].work
    operands = _operands(report, at)
    room = report.choices[at].staging_bytes

    def cycles(changed: Setting, in_l3: Operands) -> int:
        return choose(work, changed, in_l3, room, layer.name).timing.cycles

    results = []
    if operands or layer.stall_cycles:
        resident = cycles(setting, frozenset())
        results.append(WhatIf("with all its data in L2", resident, l2_lever(report, at)))
    larger = replace(setting, l1_bytes=2 * setting.l1_bytes)
    results.append(WhatIf("with twice the L1", cycles(larger, operands) + layer.stall_cycles))
    if operands or layer.stall_cycles:
        clocks = replace(setting.clocks, fc_hz=2 * setting.clocks.fc_hz)
        faster = cycles(replace(setting, clocks=clocks), operands)
        results.append(
            WhatIf("with external memory twice as fast", faster + layer.stall_cycles // 2)
        )
    results.append(WhatIf("if the cores never waited", layer.compute_cycles))
    return tuple(
        sorted((w for w in results if w.cycles < layer.cycles), key=lambda entry: entry.cycles)
    )


def roofline(report: SimulationReport, at: int) -> Roofline:
    """Ceilings in MACs a cycle: 4 a core, the kernel's own speed, and what each memory feeds."""
    layer, setting = report.layers[at], report.setting

    def rate(cycles: int) -> float:
        return layer.macs / cycles if cycles else 0.0

    timing = report.choices[at].timing
    external = timing.l3_cycles + layer.stall_cycles
    return Roofline(
        reached=layer.macs_per_cycle,
        arithmetic=4.0 * setting.cores,
        kernel=rate(timing.compute_cycles),
        dma=rate(timing.dma_cycles),
        l3=rate(external) if external else None,
    )
