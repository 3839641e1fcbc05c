"""One row for each layer with everything known of it: shapes, cost on the chip, error, range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nnshell.chips import SimulationReport
from nnshell.ir.graph import Graph, Node
from nnshell.ir.select import inner_nodes
from nnshell.reports.graph_layout import bits_text
from nnshell.reports.table import Cell, Column, Table, with_bars

if TYPE_CHECKING:
    from nnshell.chips.model.report import LayerReport
    from nnshell.execution.metrics import Comparison

_COLUMNS = (
    Column("Step", "right"),
    Column("Name", wraps=True),
    Column("Operator", wraps=True),
    Column("Output"),
    Column("Parameters", "right", grouped=True),
    Column("Bits"),
    Column("Min", "right", digits=4),
    Column("Max", "right", digits=4),
    Column("QSNR", "right", "dB", digits=1),
    Column("MACs", "right", grouped=True),
    Column("Cycles", "right", grouped=True),
    Column("Share", "right", "%", digits=1),
    Column("Energy", "right", "mJ", digits=4),
    Column("Bound by"),
)


def layer_overview(
    graph: Graph, report: SimulationReport, errors: Sequence[Comparison] = ()
) -> Table:
    """Every step but constants; columns that nothing is known for are left out."""
    numbers = graph.step_numbers()
    layers = {layer.node: layer for layer in report.layers}
    quality = {entry.key.partition("/")[0]: entry.qsnr_db for entry in errors}
    total = max(1, report.total_cycles)
    rows = [
        _row(graph, node, numbers[node.name], quality.get(node.name), layers.get(node.name), total)
        for node in graph.steps()
        if node.op.role != "constant"
    ]
    used = [
        index
        for index in range(len(_COLUMNS))
        if any(row[index] is not None for row in rows)
    ]  # fmt: skip
    table = Table(
        "Layers",
        tuple(_COLUMNS[index] for index in used),
        tuple(tuple(row[index] for index in used) for row in rows),
    )
    drawn = ("QSNR", "MACs", "Cycles", "Energy")
    return with_bars(table, "Name", *(c.name for c in table.columns if c.name in drawn))


def _row(
    graph: Graph,
    node: Node,
    step: int,
    qsnr_db: float | None,
    layer: LayerReport | None,
    total_cycles: int,
) -> tuple[Cell, ...]:
    record = None if node.quantization is None else node.quantization.output
    constants = [graph[ref.node] for ref in node.inputs if graph[ref.node].op.role == "constant"]
    cost: tuple[Cell, ...] = (None, None, None, None, None)
    if layer is not None:
        share = 100 * layer.cycles / total_cycles
        cost = (layer.macs or None, layer.cycles, share, layer.energy_mj, layer.bound_by)
    return (
        step,
        node.name,
        " + ".join(part.kind for part in inner_nodes(node)) or node.kind,
        str(node.type),
        sum(constant.type.size for constant in constants) or None,
        None if record is None else bits_text(record),
        None if record is None else float(record.minimum.min()),
        None if record is None else float(record.maximum.max()),
        qsnr_db,
        *cost,
    )
