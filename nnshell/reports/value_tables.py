"""Tables of `quantize_values`: numbers and integers, and the calibrators side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nnshell.experiments.quantized_values import QuantizedValues
from nnshell.reports.plots import Bars
from nnshell.reports.table import Column, Table

_SUMMARY = (
    Column("Calibrator", key="clip_type"),
    Column("Integers", key="form", wraps=True),
    Column("Range", detail=1),
    Column("Scale", "right"),
    Column("Zero point", "right"),
    Column("Rounding error", "right"),
    Column("Clipping error", "right"),
    Column("Mean error", "right", detail=2),
    Column("Clipped", "right"),
    Column("Share clipped", "right", "%", digits=1, detail=3),
)
_SHOWN = 24  # numbers whose integers are listed


def summary_table(rows: Sequence[QuantizedValues]) -> Table:
    """A row for each calibrator and form of integers; what did nothing says why below."""
    cells = tuple(
        (
            row.clip_type,
            f"{row.form}, {row.limits[0]}..{row.limits[1]}",
            f"{row.kept.minimum:.4g}..{row.kept.maximum:.4g}",
            row.scale,
            row.zero_point,
            row.rounding_error,
            row.clipping_error,
            row.mean_error,
            row.clipped,
            100 * row.clipped_share,
        )
        for row in rows
    )
    reasons = dict.fromkeys(f"{row.clip_type} {row.why_nothing}" for row in rows if row.why_nothing)
    notes = (
        "errors are means of |x - s(q - z)| over all values: rounding of those within reach, "
        "clipping of those beyond",
        *reasons,
    )
    records = tuple(row.to_json() for row in rows)
    table = Table("numbers quantized", _SUMMARY, cells, notes=notes, records=records)
    names = tuple(f"{row.clip_type}, {row.form}" for row in rows)
    errors = {
        "rounding": tuple(row.rounding_error for row in rows),
        "clipping": tuple(row.clipping_error for row in rows),
    }
    return replace(table, plots=(Bars(names, errors, "mean error"),))


def integer_table(numbers: Sequence[float], rows: Sequence[QuantizedValues]) -> Table:
    """The first numbers beside their integers, a column for each calibrator's first form."""
    first = {row.clip_type: row for row in reversed(rows)}
    chosen = [row for row in rows if first[row.clip_type] is row]
    columns = (Column("x", "right"), *(Column(row.clip_type, "right") for row in chosen))
    cells = tuple(
        (float(x), *(row.integers[place] for row in chosen))
        for place, x in enumerate(numbers[:_SHOWN])
    )
    left = len(numbers) - _SHOWN
    notes = (f"{left:,} more numbers are not listed",) if left > 0 else ()
    form = chosen[0].form if chosen else ""
    return Table(f"integers ({form})", columns, cells, notes=notes)
