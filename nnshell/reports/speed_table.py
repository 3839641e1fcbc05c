"""Times of engines as a table."""

from __future__ import annotations

from collections.abc import Sequence

from nnshell.experiments.speed import EngineTime
from nnshell.reports.table import Column, Table

_COLUMNS = (
    Column("Engine"),
    Column("Threads", "right"),
    Column("Batch", "right"),
    Column("Time of an image", "right", "ms", key="ms_per_image", digits=3),
    Column("Images a second", "right", key="images_per_second", digits=0, grouped=True),
    Column("Times float", "right", digits=2),
)


def speed_table(title: str, times: Sequence[EngineTime]) -> Table:
    """A row for each engine, number of threads and batch; ratios to float of the same kind."""
    floats = {(t.threads, t.batch): t.ms_per_image for t in times if t.engine == "float"}
    rows = tuple(
        (
            time.engine,
            time.threads,
            time.batch,
            time.ms_per_image,
            time.images_per_second,
            time.ms_per_image / floats[time.threads, time.batch],
        )
        for time in times
    )
    return Table(title, _COLUMNS, rows)
