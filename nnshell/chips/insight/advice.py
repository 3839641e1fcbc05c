"""Which layers wait for memory, and what would help: one line each, with the numbers."""

from __future__ import annotations

from dataclasses import replace

from nnshell.chips.model.plan import budget_for, hidden_bytes, make_plan
from nnshell.chips.model.report import LayerReport, SimulationReport
from nnshell.chips.model.search import choose

# Layers that lose less than this share of the inference to a memory are not worth a line.
WORTH_SHARE = 0.01
MAX_LINES = 3
L2_STEP = 4096  # how exactly the least l2_size is found


def levers(report: SimulationReport) -> tuple[str, ...]:
    """What to change, most urgent first: what does not fit, then what waits."""
    return (*(str(shortfall) for shortfall in report.shortfalls), *advice(report))


def advice(report: SimulationReport) -> tuple[str, ...]:
    """The layers that lose most cycles to L3 or to the DMA of L1, worst first, with the lever for
    each."""
    total = max(1, report.total_cycles)
    lost = []
    for at, layer in enumerate(report.layers):
        waiting = layer.cycles - max(layer.compute_cycles, layer.dma_l2_l1_cycles)
        own = layer.stall_cycles + (waiting if report.choices[at].plan.in_l3 else 0)
        lost.append((own, at, "L3"))
        lost.append((layer.dma_wait_cycles, at, "the L1 DMA"))
    worth = sorted((entry for entry in lost if entry[0] > WORTH_SHARE * total), key=_worst)
    return tuple(_line(report, *entry, total) for entry in worth[:MAX_LINES])


def _worst(entry: tuple[int, int, str]) -> tuple[int, int]:
    return -entry[0], entry[1]


def _line(report: SimulationReport, lost: int, at: int, memory: str, total: int) -> str:
    layer, share = report.layers[at], 100 * lost / total
    cause = _cause(report, at) if memory == "L3" else _tiles(report, layer, at)
    return f"{layer.node} waits {lost:,} cycles ({share:.0f} %) for {memory}: {cause}"


def _cause(report: SimulationReport, at: int) -> str:
    plan, layer = report.plan, report.network.layers[at]
    spilled = [
        name for name in dict.fromkeys((*layer.inputs, layer.output)) if name in plan.spilled
    ]
    if spilled:
        names = ", ".join(f"{name} ({plan.sizes.get(name, 0):,} bytes)" for name in spilled)
        return f"{names} in L3; {l2_lever(report, at)}; or smaller maps"
    return (
        f"its {layer.constant_bytes:,} bytes of weights are {plan.weights[at]}; "
        f"{l2_lever(report, at)}; or fewer weights{_faster_l3(report)}"
    )


def _faster_l3(report: SimulationReport) -> str:
    """L3 goes with the fabric controller's clock, as far as that goes."""
    fastest = max(point.fc_max_hz for point in report.setting.chip.operating_points)
    return ", a faster fc_freq" if report.setting.clocks.fc_hz < fastest else ""


def l2_to_hold(report: SimulationReport, at: int) -> int | None:
    """The least l2_size with which a layer's maps are not in L3 and its weights stay in L2; None
    when all of the chip's is not enough."""
    low, high = report.parameters.l2_size, report.setting.chip.l2_bytes
    if not _held(report, at, high):
        return None
    while high - low > L2_STEP:
        middle = (low + high) // 2
        if _held(report, at, middle):
            high = middle
        else:
            low = middle
    return high


def _held(report: SimulationReport, at: int, l2_bytes: int) -> bool:
    """Whether a plan with that much L2 holds all of the layer's data."""
    network, setting = report.network, report.setting
    plan = make_plan(network, budget_for(setting, l2_bytes), hidden_bytes(network, setting))
    layer = network.layers[at]
    kept = plan.weights[at] in ("none", "resident") or not setting.table.keeps_weights
    return kept and not {*layer.inputs, layer.output} & plan.spilled


def l2_lever(report: SimulationReport, at: int) -> str:
    """The l2_size that keeps a layer's data in L2, or by how much the chip's is too small."""
    layer, plan = report.network.layers[at], report.plan
    moved = {*layer.inputs, layer.output} & plan.spilled
    if not moved and not report.setting.table.keeps_weights:
        return f"kernels {report.kernels} load weights anew for every layer"
    need = l2_to_hold(report, at)
    if need is not None:
        return f"set l2_size {need} would keep all of it in L2"
    own = (
        sum(plan.sizes.get(name, 0) for name in {*layer.inputs, layer.output})
        + layer.constant_bytes
    )
    chip = report.setting.chip.l2_bytes
    more = (
        f", {own - chip:,} more than" if own > chip else " beside what else is alive, too much for"
    )
    return f"its data take {own:,} bytes of L2{more} the chip's {chip:,}"


def _tiles(report: SimulationReport, layer: LayerReport, at: int) -> str:
    """What all of L1 would save a layer that waits for its tiles."""
    setting, choice = report.setting, report.choices[at]
    operands = choice.plan.geometry.operands
    in_l3 = frozenset((operands[i].role, operands[i].tensor) for i in choice.plan.in_l3)
    stacks = report.parameters.stack_bytes
    larger = replace(setting, l1_bytes=setting.chip.l1_bytes - stacks)
    work = report.network.layers[at].work
    best = choose(work, larger, in_l3, choice.staging_bytes, layer.name)
    saved = choice.timing.cycles - best.timing.cycles
    tiles = f"{layer.tiles} tiles of {layer.tile_rows} rows x {layer.tile_channels} channels"
    if saved > 0 and best.fits:
        return f"{tiles}; set l1_size {best.l1_bytes + stacks} would save {saved:,} cycles"
    return (
        f"{tiles}; it moves more than it computes, all of L1 would not help: fuse it or shrink it"
    )
