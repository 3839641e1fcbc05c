"""Tables of quantization: `qshow` of all steps and of the channels of one, `qerror`."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from nnshell.ir.graph import Graph, Node
from nnshell.ir.qparams import FLOAT_BITS, INT8_BITS
from nnshell.ops.families.recurrent import Recurrent
from nnshell.quantization.rows import QuantizationRow, Record, quantization_rows
from nnshell.reports.plots import Bars
from nnshell.reports.table import Cell, Column, Table, with_bars

if TYPE_CHECKING:
    from nnshell.execution.file_arithmetic import FileComparison
    from nnshell.execution.metrics import Comparison

_QSHOW = (
    Column("Step", "right"),
    Column("Name", wraps=True),
    Column("Operator", wraps=True, detail=1),
    Column("In", wraps=True),
    Column("Out", wraps=True),
    Column("Weights", wraps=True),
    Column("Bias", wraps=True, detail=1),
    Column("Multiplier"),
    Column("Shift"),
)
# On a terminal: fewer digits, and constants only where they are asked for, since the scales of
# weights and biases stand beside their filter.
_QSHOW_BRIEF = (
    Column("Step", "right"),
    Column("Name", wraps=True),
    Column("Operator", detail=4),
    Column("In", detail=2),
    Column("Out"),
    Column("Weights", detail=1),
    Column("Bias", detail=3),
    Column("Multiplier"),
    Column("Shift"),
)
_CHANNELS = (
    Column("Channel", "right"),
    Column("Weight scale", "right"),
    Column("Bias scale", "right"),
    Column("Multiplier", "right"),
    Column("Shift", "right"),
    Column("Bits left", "right", key="available_bits"),
)
_GATES = (
    Column("Name"),
    Column("Type"),
    *(Column(name, "right") for name in ("Scale", "Factor", "Multiplier", "Shift")),
)
_FILE = (
    Column("Name", wraps=True),
    Column("Operator", detail=1),
    Column("Equal"),
    Column("Largest step", "right", digits=2),
    Column("QSNR", "right", "dB", digits=1),
    Column("Reason", wraps=True),
)
_QERROR = (
    Column("Step", "right"),
    Column("Name", wraps=True),
    Column("Operator", wraps=True, detail=1),
    Column("QSNR", "right", "dB", digits=1),
    Column("Cosine", "right", digits=5),
    Column("Largest error", "right"),
    Column("Mean error", "right", detail=1),
    Column("Largest value", "right", detail=1),
    Column("Tolerance", "right"),
    Column("Clipped"),
)
_NOTATION = "min<(i8-zero point)*scale<max: real = scale * (integer - zero point)"
_FIXED_POINT = "Qm.n: m + n bits, real = integer / 2**n; Bias: its own Qm.n -> that of the sums"

_CONSTANTS = "weights and biases have rows of their own in --format plain, csv and json"


def qshow_table(graph: Graph, keys: Collection[str] | None = None) -> Table:
    """Scales and zero points of every step, or of the steps and inner nodes called ``keys``."""
    everything = quantization_rows(graph)
    rows = [row for row in everything if keys is None or _chosen(row.name, keys)]
    cells = tuple(_qshow_cells(row) for row in rows)
    records = tuple(row.to_json() for row in rows)
    title = f"{graph.name}: quantization"
    notes = (*_notations(everything), *_bits_notes(everything))
    brief = Table(
        title,
        _QSHOW_BRIEF,
        tuple(_brief_cells(row) for row in rows if keys is not None or row.op != "constant"),
        notes=(*notes, *(() if keys is not None else (_CONSTANTS,))),
    )
    plots = (_ranges(rows),) if rows else ()
    return Table(title, _QSHOW, cells, notes=notes, records=records, brief=brief, plots=plots)


def _ranges(rows: Sequence[QuantizationRow]) -> Bars:
    """The range that the output of each step covers, constants left out."""
    shown = [row for row in rows if row.outputs and row.op != "constant"]
    return Bars(
        tuple(f"{row.label} {row.name}" for row in shown),
        {"range of the output": tuple(row.outputs[0].maximum for row in shown)},
        starts=tuple(row.outputs[0].minimum for row in shown),
    )


def _notations(rows: Sequence[QuantizationRow]) -> tuple[str, ...]:
    """What the forms of records that the table holds mean."""
    kinds = {bool(r.fixed_point) for row in rows for r in (*row.inputs, *row.outputs)}
    return (*((_NOTATION,) if False in kinds else ()), *((_FIXED_POINT,) if True in kinds else ()))


def channel_table(graph: Graph, key: str) -> Table | None:
    """A row for each output channel of a filter, or of the one in a fusion; None without any."""
    chosen = (row for row in quantization_rows(graph) if _chosen(row.name, (key,)))
    row = next((row for row in chosen if row.weight_scales), None)
    if row is None:
        return None
    node = graph.nodes.get(row.name)
    if node is not None and node.op.sequence_axis is not None:
        return gate_table(node)
    count = max(map(len, (row.weight_scales, row.bias_scales, row.multiplier)))
    columns = (row.weight_scales, row.bias_scales, row.multiplier, row.shift, row.available_bits)
    rows = tuple(
        (channel, *(_of_channel(values, channel) for values in columns)) for channel in range(count)
    )
    return Table(f"{row.name}: channels", _CHANNELS, rows)


def gate_table(node: Node) -> Table:
    """A recurrent layer: the scale of each constant, the factor and integers of each scaling."""
    quantization, op = node.quantization, node.op
    assert quantization is not None and isinstance(op, Recurrent)
    slots = zip(op.slots, quantization.inputs[1:], strict=True)
    constants = [(slot, r.dtype, r.first_scale, None, None, None) for slot, r in slots]
    scalings = [
        (
            name,
            None,
            None,
            float(entry.scale[0]),
            int(entry.multiplier[0]),
            int(entry.shift[0]),
        )
        for name, entry in quantization.kernel.scalings.items()
    ]
    return Table(f"{node.name}: gates", _GATES, (*constants, *scalings))


def comparison_table(
    title: str, compared: Sequence[Comparison], *, worst_first: bool = False
) -> Table:
    """How far tensors are apart; of `qerror` the worst first, with what to try next."""
    rows = tuple(
        (
            entry.label if entry.op else None,  # stored tensors do not know their step
            entry.key,
            entry.op or None,
            entry.qsnr_db,
            entry.cosine,
            entry.max_error,
            entry.mean_error,
            entry.largest,
            entry.tolerance,
            "clipped" if entry.clipped else None,
        )
        for entry in compared
    )
    notes = []
    if any(entry.clipped for entry in compared):
        notes.append("clipped: the activation after it cuts this range, so it says little")
    judged = [entry.key for entry in compared if not entry.clipped]
    if worst_first and judged:
        notes.append(
            f"worst: {', '.join(judged[:3])}; next: sensitivity INPUTS says which nodes cost most,"
            " outliers INPUTS why, adaround INPUTS learns better roundings"
        )
    return with_bars(Table(title, _QERROR, rows, notes=tuple(notes)), "Name", "QSNR")


def file_table(title: str, compared: FileComparison) -> Table:
    """The chip's integers against those of the model file itself, and where they part."""
    rows = tuple(
        (
            row.name,
            row.op,
            "yes" if row.equal else "no",
            row.largest_step,
            None if row.equal else row.qsnr_db,
            row.reason or None,
        )
        for row in compared.rows
    )
    first = compared.first
    notes = [
        f"first difference: {first.name}: {first.reason}" if first else "no layer differs",
        f"predictions: {compared.predictions_equal:.1%} of {compared.samples} samples are equal",
    ]
    if compared.accuracy is not None and compared.accuracy_of_file is not None:
        notes.append(
            f"accuracy: {compared.accuracy:.1%} here, {compared.accuracy_of_file:.1%} of the file"
        )
    return with_bars(Table(title, _FILE, rows, notes=tuple(notes)), "Name", "Largest step")


def sample_table(
    network: str, found: Sequence[tuple[str, float]], limit_db: float = math.inf
) -> Table:
    """Samples whose outputs have a QSNR below a limit, worst first."""
    columns = (Column("Sample", wraps=True), Column("QSNR", "right", "dB", digits=1))
    rows = tuple(entry for entry in found if entry[1] < limit_db)
    note = f"{len(rows)} of {len(found)} samples are below {limit_db:g} dB"
    table = Table(f"{network}: outputs of the int8 engine", columns, rows, notes=(note,))
    return with_bars(table, "Sample", "QSNR")


def _bits_notes(rows: Sequence[QuantizationRow]) -> tuple[str, ...]:
    """Which bits the graph has, where they are not the 8 of the chip's kernels."""
    weights = {row.weight_bits for row in rows if row.weight_scales}
    values = {r.bits for row in rows for r in (*row.inputs, *row.outputs) if r.dtype == "int8"}
    if weights | values <= {INT8_BITS}:
        return ()
    texts = (f"weights {_bits_text(weights)}", f"activations {_bits_text(values)}")
    return (
        f"{', '.join(texts)}: simulated (`--engine simulated`); the chip's kernels have 8 bits",
    )


def _bits_text(bits: Collection[int]) -> str:
    widths = ", ".join(str(n) for n in sorted(bits) if n != FLOAT_BITS)
    floats = ["float"] if FLOAT_BITS in bits else []
    return " and ".join([*([f"{widths} bits"] if widths else []), *floats])


def _chosen(name: str, keys: Collection[str]) -> bool:
    """A node that was chosen, or an inner node of a fusion that was."""
    return name in keys or name.partition("/")[0] in keys


def _qshow_cells(row: QuantizationRow) -> tuple[Cell, ...]:
    return (
        row.label,
        row.name,
        row.op,
        _lines(row.inputs),
        _lines(row.outputs),
        _weights(row),
        _bias(row, 6),
        _span(row.multiplier),
        _span(row.shift),
    )


def _brief_cells(row: QuantizationRow) -> tuple[Cell, ...]:
    inner = row.name.partition("/")[2]
    return (
        row.label,
        f"  {inner}" if inner else row.name,
        row.op,
        ", ".join(record.brief() for record in row.inputs) or None,
        ", ".join(record.brief() for record in row.outputs) or None,
        _brief_weights(row),
        _bias(row, 3),
        _span(row.multiplier),
        _span(row.shift),
    )


def _lines(records: Sequence[Record]) -> str | None:
    return ", ".join(map(str, records)) or None


def _bias(row: QuantizationRow, digits: int) -> str | None:
    if row.fixed_bias is not None:
        return f"{row.fixed_bias} -> {row.accumulator}"
    return _span(row.bias_scales, digits)


def _brief_weights(row: QuantizationRow) -> str | None:
    if row.fixed_weights is not None:
        return str(row.fixed_weights)
    return "float" if row.weight_bits == FLOAT_BITS else _span(row.weight_scales, 3)


def _weights(row: QuantizationRow) -> str | None:
    if row.fixed_weights is not None:
        return str(row.fixed_weights)
    if not row.weight_scales:
        return None
    if row.weight_bits == FLOAT_BITS:
        return "float"
    return f"int{row.weight_bits} {_span(row.weight_scales)}"


def _span(values: Sequence[float], digits: int = 6) -> str | None:
    """A value, or the smallest and largest of the channels."""
    if not values:
        return None
    low, high = (f"{value:.{digits}g}" for value in (min(values), max(values)))
    return low if low == high else f"{low}..{high}"


def _of_channel(values: Sequence[float], channel: int) -> float | None:
    if not values:
        return None
    return values[channel] if len(values) > 1 else values[0]
