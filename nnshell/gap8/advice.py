"""Which layers wait for memory, and what would help: one line each, with the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nnshell.gap8.report import LayerReport, SimulationReport

# Layers that lose less than this share of the inference to L3 are not worth a line.
WORTH_SHARE = 0.01
MAX_LINES = 3


def advice(report: SimulationReport) -> tuple[str, ...]:
    """The layers that lose most cycles to L3, worst first, with the lever for each."""
    total = max(1, report.total_cycles)
    lost = []
    for at, layer in enumerate(report.layers):
        waiting = layer.cycles - max(layer.compute_cycles, layer.dma_l2_l1_cycles)
        own = layer.stall_cycles + (waiting if report.choices[at].plan.in_l3 else 0)
        if own > WORTH_SHARE * total:
            lost.append((own, at, layer))
    lost.sort(key=lambda entry: (-entry[0], entry[1]))
    return tuple(_line(report, at, layer, own, total) for own, at, layer in lost[:MAX_LINES])


def _line(report: SimulationReport, at: int, layer: LayerReport, lost: int, total: int) -> str:
    share = 100 * lost / total
    return f"{layer.name} waits {lost} cycles ({share:.0f} %) for L3: {_cause(report, at)}"


def _cause(report: SimulationReport, at: int) -> str:
    plan, layer = report.plan, report.network.layers[at]
    spilled = [name for name in (*layer.inputs, layer.output) if name in plan.spilled]
    if spilled:
        need = sum(plan.sizes.get(name, 0) for name in {*layer.inputs, layer.output})
        names = ", ".join(f"{name} ({plan.sizes.get(name, 0)} bytes)" for name in spilled)
        return _activation_lever(report, names, need)
    need = layer.constant_bytes
    return (
        f"its {need} bytes of weights are {plan.weights[at]}; a larger l2_size, fewer weights or "
        "a faster fc_freq would help"
    )


def _activation_lever(report: SimulationReport, names: str, need: int) -> str:
    limit, chip = report.parameters.l2_size, report.setting.chip
    if limit < need <= chip.l2_bytes:
        return f"{names} in L3; set l2_size {need} would keep its maps in L2"
    return f"{names} in L3; its maps need {need} bytes of L2, smaller maps would help"
