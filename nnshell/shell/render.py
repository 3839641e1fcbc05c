"""Tables as text: columns on a terminal, aligned text in a pipe, CSV and JSON for programs."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from nnshell.reports.table import Cell, Column, Table

if TYPE_CHECKING:
    from rich.console import RenderableType

FORMATS = ("table", "plain", "csv", "json")


def plain_text(table: Table) -> str:
    """Aligned columns, as wide as they need to be; nothing is cut."""
    head = [column.heading for column in table.columns]
    body = [_texts(table.columns, row) for row in table.rows]
    foot = [_texts(table.columns, row) for row in table.footer]
    widths = [max(map(len, texts)) for texts in zip(head, *body, *foot, strict=True)]
    rule = ["-" * width for width in widths]
    blocks = [head, rule, *body, *([rule, *foot] if foot else [])]
    lines = [_aligned(table.columns, widths, texts) for texts in blocks]
    title = [table.title] if table.title else []
    return "\n".join([*title, *lines, *table.notes])


def csv_text(table: Table) -> str:
    """One line per row under the machine names of the columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.machine_name for column in table.columns])
    writer.writerows(table.rows)
    return text.getvalue().removesuffix("\n")


def json_text(table: Table) -> str:
    """A list with one object per row, one row per line."""
    records = [json.dumps(_finite(record), default=_plain) for record in table.as_records()]
    return "[\n" + ",\n".join(f"  {record}" for record in records) + "\n]" if records else "[]"


def terminal_table(table: Table) -> RenderableType:
    """Columns that a terminal of any width shows: long cells fold, nothing is cut."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    # Text objects, because a string would be read as markup: node names have brackets.
    title = Text(table.title) if table.title else None
    drawn = RichTable(box=SIMPLE_HEAD, title=title, pad_edge=False, collapse_padding=True)
    drawn.title_justify = "left"
    for column in table.columns:
        drawn.add_column(Text(column.heading), justify=column.align, overflow="fold")
    for row in table.rows:
        drawn.add_row(*map(Text, _texts(table.columns, row)))
    for index, row in enumerate(table.footer):
        if index == 0:
            drawn.add_section()
        drawn.add_row(*map(Text, _texts(table.columns, row)), style="bold")
    return Group(drawn, *map(Text, table.notes))


def _texts(columns: Iterable[Column], row: Iterable[Cell]) -> list[str]:
    return [column.text(cell) for column, cell in zip(columns, row, strict=True)]


def _aligned(columns: Iterable[Column], widths: Iterable[int], texts: Iterable[str]) -> str:
    cells = [
        text.rjust(width) if column.align == "right" else text.ljust(width)
        for column, width, text in zip(columns, widths, texts, strict=True)
    ]
    return "  ".join(cells).rstrip()


def _finite(value: Any) -> Any:
    """JSON has neither infinity nor NaN: null stands for both."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _plain(value: Any) -> Any:
    """numpy's scalars and arrays as Python's."""
    return value.tolist()
