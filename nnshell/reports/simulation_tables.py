"""Tables of `simulate`: layers, what runs through L2, and the summary in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nnshell.reports.table import Cell, Column, Table

if TYPE_CHECKING:
    from nnshell.gap8.report import LayerReport, SimulationReport

_LAYERS = (
    Column("Layer", "right"),
    Column("Name", wraps=True),
    Column("Operator", wraps=True, detail=True),
    Column("MACs", "right", grouped=True),
    Column("Cycles", "right", grouped=True),
    Column("Share", "right", "%", digits=1),
    Column("MAC/cycle", "right", digits=2),
    Column("Bound by"),
    Column("Tile", key="tile", detail=True),
    Column("Tiles", "right", detail=True),
    Column("L1", "right", "bytes", grouped=True),
    Column("L2", "right", "bytes", grouped=True),
    Column("L3", "right", "bytes", grouped=True),
    Column("Energy", "right", "mJ", digits=4, detail=True),
)
_MEMORY = (
    Column("Buffer", wraps=True),
    Column("Kind"),
    Column("Offset", "right", "bytes", grouped=True),
    Column("Size", "right", "bytes", grouped=True),
    Column("From layer", wraps=True),
    Column("To layer", wraps=True),
)


def layer_table(report: SimulationReport) -> Table:
    """One row per layer, totals below, what does not fit and what would help as notes."""
    total = max(report.total_cycles, 1)
    rows = tuple(
        _layer_row(number, layer, total) for number, layer in enumerate(report.layers, start=1)
    )
    footer: tuple[Cell, ...] = (
        *(None, "total", None, report.macs, report.total_cycles, 100.0, report.macs_per_cycle),
        *(None, None, None, report.l1_bytes, report.l2_peak_bytes, report.l3_bytes),
        report.energy_mj,
    )
    notes = (*summary(report), *report.levers)
    records = tuple(layer.to_json() for layer in report.layers)
    title = f"{report.network.name} on GAP8, kernels {report.kernels}"
    return Table(title, _LAYERS, rows, footer=(footer,), notes=notes, records=records)


def memory_table(report: SimulationReport) -> Table:
    """What lies where in L2, and from which layer to which."""
    rows = tuple(report.memory_rows())
    note = f"peak {report.l2_peak_bytes:,} of {report.parameters.l2_size:,} bytes"
    return Table(f"{report.network.name}: L2", _MEMORY, rows, notes=(note,))


def summary(report: SimulationReport) -> tuple[str, ...]:
    """Time, energy and memory of one inference, a line each."""
    clocks = report.setting.clocks
    seconds = report.latency_ms / 1e3
    rate = f", {1 / seconds:.1f} inferences a second" if seconds else ""
    fits = "everything fits" if report.fits else "it does not fit"
    return (
        f"{report.total_cycles:,} cycles, {report.latency_ms:.2f} ms at cluster "
        f"{clocks.cluster_hz / 1e6:g} MHz, fabric controller {clocks.fc_hz / 1e6:g} MHz{rate}",
        f"{report.energy_mj:.3f} mJ, {report.macs:,} MACs, {report.macs_per_cycle:.2f} MAC/cycle",
        f"L1 {report.l1_bytes:,}, L2 {report.l2_peak_bytes:,}, L3 {report.l3_bytes:,} bytes: "
        f"{fits}",
    )


def _layer_row(number: int, layer: LayerReport, total: int) -> tuple[Cell, ...]:
    return (
        number,
        layer.name,
        layer.op,
        layer.macs,
        layer.cycles,
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
