"""The table of `size`."""

from __future__ import annotations

from collections.abc import Sequence

from nnshell.reports.table import Column, Record, Table, with_bars

_COLUMNS = (
    Column("What"),
    Column("Bytes", "right", grouped=True),
    Column("Of float parameters", "right", "%", key="share_percent", digits=2),
)


def size_table(
    title: str,
    rows: Sequence[tuple[str, int, float | None]],
    sentences: Sequence[str],
    record: Record,
) -> Table:
    """A row for each form of the network; the sentences say what follows."""
    cells = tuple(
        (what, count, None if share is None else 100 * share) for what, count, share in rows
    )
    table = Table(title, _COLUMNS, cells, notes=tuple(sentences), records=(record,))
    return with_bars(table, "What", "Bytes")
