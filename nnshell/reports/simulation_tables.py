"""Tables of `simulate`: layers, what runs through L2, and the summary in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from nnshell.chips.insight.advice import levers
from nnshell.chips.insight.uncertainty import ranges
from nnshell.reports.chip_plots import memory_plot, roofline_plot
from nnshell.reports.plots import Curves
from nnshell.reports.simulation_text import summary
from nnshell.reports.table import Cell, Column, Table, with_bars

if TYPE_CHECKING:
    from nnshell.chips.insight.sweep import Point, Sweep
    from nnshell.chips.model.report import LayerRange, LayerReport, Range, SimulationReport
    from nnshell.chips.tiled.run import TiledRun

_LAYERS = (
    Column("Step", "right"),
    Column("Name", wraps=True),
    Column("Operator", wraps=True, detail=3),
    Column("MACs", "right", grouped=True, detail=1),
    Column("Cycles", "right", grouped=True),
    Column("Error", "right", key="range_percent", detail=2),
    Column("Share", "right", "%", digits=1),
    Column("MAC/cycle", "right", digits=2),
    Column("Bound by"),
    Column("Tile", key="tile", detail=2),
    Column("Tiles", "right", detail=3),
    Column("L1", "right", "bytes", grouped=True, detail=1),
    Column("L2", "right", "bytes", grouped=True, detail=1),
    Column("L3", "right", "bytes", grouped=True, detail=1),
    Column("Energy", "right", "mJ", digits=4, detail=3),
)
_TILED = (
    Column("Layer", wraps=True),
    Column("Tiles", "right"),
    Column("Moved", "right", "bytes", grouped=True),
    Column("Equal samples", "right"),
)
_SWEEP = (
    Column("Cores", "right"),
    Column("FC", "right", "MHz"),
    Column("Cluster", "right", "MHz"),
    Column("Voltage", "right", "V"),
    Column("L1 budget", "right", "bytes", grouped=True),
    Column("L2 budget", "right", "bytes", grouped=True),
    Column("Latency", "right", "ms", digits=2),
    Column("Energy", "right", "mJ", digits=3),
    Column("L2 peak", "right", "bytes", grouped=True, detail=1),
    Column("L3 moved", "right", "bytes", grouped=True, detail=1),
    Column("Pareto", key="pareto"),
)
_MEMORY = (
    Column("Buffer", wraps=True),
    Column("Kind"),
    Column("Offset", "right", "bytes", grouped=True),
    Column("Size", "right", "bytes", grouped=True),
    Column("From layer", wraps=True),
    Column("To layer", wraps=True),
)

_KINDS = {  # of points of a sweep: whether they fit, whether nothing beats them
    "best": ((True, True),),
    "others": ((True, False),),
    "does not fit": ((False, False), (False, True)),
}


def layer_table(report: SimulationReport) -> Table:
    """One row per layer, totals below, what does not fit and what would help as notes."""
    total, known = max(report.total_cycles, 1), ranges(report)
    rows = tuple(
        _layer_row(layer, entry, total)
        for layer, entry in zip(report.layers, known.layers, strict=True)
    )
    footer: tuple[Cell, ...] = (
        *(None, "total", None, report.macs, report.total_cycles, _error(known.total, ""), 100.0),
        report.macs_per_cycle,
        *(None, None, None, report.l1_bytes, report.l2_peak_bytes, report.l3_bytes),
        report.energy_mj,
    )
    notes = (*summary(report), *levers(report))
    records = tuple(report.layer_records())
    title = f"{report.network.name} on GAP8, kernels {report.kernels}"
    table = Table(title, _LAYERS, rows, footer=(footer,), notes=notes, records=records)
    drawn = with_bars(table, "Name", "Cycles", "Energy")
    return replace(drawn, plots=(*drawn.plots, roofline_plot(report))) if rows else table


def memory_table(report: SimulationReport) -> Table:
    """What lies where in L2, and from which layer to which."""
    rows = tuple(report.memory_rows())
    note = f"peak {report.l2_peak_bytes:,} of {report.parameters.l2_size:,} bytes"
    plots = (memory_plot(report),)
    return Table(f"{report.network.name}: L2", _MEMORY, rows, notes=(note,), plots=plots)


def tiled_table(runs: Sequence[TiledRun]) -> Table:
    """What ran tile by tile, and on how many samples it gave the integers of the whole run."""
    rows = tuple(
        (
            layers[0].name,
            layers[0].tiles or None,
            layers[0].moved_bytes,
            sum(layer.equal for layer in layers),
        )
        for layers in zip(*(run.layers for run in runs), strict=True)
    )
    same = sum(run.equal for run in runs)
    note = f"{same} of {len(runs)} samples are equal to the whole int8 run to the bit"
    whole = "layers without tiles cannot be cut (transposes, resizes, softmax): they ran whole"
    return Table("tile by tile", _TILED, rows, notes=(note, whole))


def sweep_table(found: Sweep) -> Table:
    """One row per point, the Pareto-optimal ones marked; what helps most in the notes."""
    rows = tuple(_sweep_row(point) for point in found.points)
    notes = [f"left out: {reason}" for reason in found.left_out]
    notes += found.remarks
    notes.append("best: no other point is better in latency, energy or memory and as good in all")
    notes += _relaxation_notes(found)
    plots = (_energy_by_latency(found),)
    return Table(f"{found.network}: what if", _SWEEP, rows, notes=tuple(notes), plots=plots)


def _energy_by_latency(found: Sweep) -> Curves:
    """A mark for each point; those that nothing beats have a colour of their own."""
    points = sorted(found.points, key=lambda point: point.latency_ms)
    series = {
        name: tuple(p.energy_mj if (p.fits, p.pareto) in kinds else None for p in points)
        for name, kinds in _KINDS.items()
    }
    known = {name: values for name, values in series.items() if any(v is not None for v in values)}
    x = tuple(point.latency_ms for point in points)
    return Curves("latency [ms]", x, "energy [mJ]", known, marks_only=True)


def sweep_json(found: Sweep) -> dict[str, object]:
    """A sweep for programs: the table's rows, and what would help."""
    return {
        "network": found.network,
        "points": sweep_table(found).as_records(),
        "left_out": list(found.left_out),
        "remarks": list(found.remarks),
        "relax": [asdict(entry) for entry in found.relaxations],
    }


def _sweep_row(point: Point) -> tuple[Cell, ...]:
    parameters = point.parameters
    return (
        parameters.cluster_num_cores,
        parameters.fc_freq / 1e6,
        parameters.cl_freq / 1e6,
        parameters.voltage or None,
        parameters.l1_size,
        parameters.l2_size,
        point.latency_ms,
        point.energy_mj,
        point.l2_peak_bytes,
        point.l3_moved_bytes,
        "does not fit" if not point.fits else "best" if point.pareto else None,
    )


def _relaxation_notes(result: Sweep) -> Iterator[str]:
    """Which constraint to relax first, from the fastest point that fits."""
    helpful = [entry for entry in result.relaxations if entry.saved_ms > 0]
    if not helpful and any(point.fits for point in result.points):
        yield "no setting of the chip has room left that would make it faster"
    for number, entry in enumerate(helpful):
        first = "relax first, from the fastest point" if number == 0 else "or"
        yield (
            f"{first}: {entry.setting} {entry.before} -> {entry.after} saves "
            f"{entry.saved_ms:.2f} ms, {entry.saved_mj:.3f} mJ"
        )


def _layer_row(layer: LayerReport, known: LayerRange, total: int) -> tuple[Cell, ...]:
    return (
        layer.step,
        layer.node,
        layer.op,
        layer.macs,
        layer.cycles,
        _error(known.range, "" if known.measured else "~"),
        100.0 * layer.cycles / total,
        layer.macs_per_cycle,
        layer.bound_by if layer.fits else "does not fit",
        f"{layer.tile_rows} rows x {layer.tile_channels} channels",
        layer.tiles,
        layer.l1_bytes,
        layer.l2_bytes,
        layer.l3_bytes,
        layer.energy_mj,
    )


def _error(result: Range, mark: str) -> str:
    """Half the range in percent; ``mark`` where no measurement covers the kernel."""
    if not result.low_cycles:
        return ""
    factor = (result.high_cycles / result.low_cycles) ** 0.5
    return f"{mark}±{100 * (factor - 1):.0f} %"
