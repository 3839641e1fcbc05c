"""The table of `sweep`: a row for each combination of options."""

from __future__ import annotations

from collections.abc import Sequence

from nnshell.experiments.sweep import Row
from nnshell.reports.table import Column, Table


def sweep_table(title: str, rows: Sequence[Row], samples: int, *, complete: bool = True) -> Table:
    """Options first, then what the quantized graph did on the samples."""
    names = list(dict.fromkeys(name for row in rows for name in row.options))
    columns = (
        *(Column(name.replace("_", " "), key=name) for name in names),
        Column("Accuracy", "right", "%", key="accuracy", digits=2),
        Column("As float", "right", "%", key="agreement", digits=2),
        Column("Noise", "right", "dB", key="noise_db", digits=1),
        Column("Weights", "right", "bytes", key="bytes", grouped=True),
        Column("Engine", detail=1),
    )
    cells = tuple(
        (
            *(row.options.get(name) for name in names),
            None if row.outcome.accuracy is None else 100 * row.outcome.accuracy,
            100 * row.outcome.agreement,
            row.outcome.noise_db if row.outcome.noise > 0 else None,
            row.size_bytes,
            row.engine,
        )
        for row in rows
    )
    notes = [f"{samples:,} samples; noise is that of the first output beside the float graph's"]
    if not complete:
        notes.append("interrupted: these are the rows so far")
    return Table(
        title, columns, cells, notes=tuple(notes), records=tuple(r.to_json() for r in rows)
    )
