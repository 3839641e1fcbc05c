"""A table as aligned text, for pipes, notebooks and Python programs."""

from __future__ import annotations

from collections.abc import Iterable

from nnshell.reports.table import Cell, Column, Table
from nnshell.support.text import printable


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
    return printable("\n".join([*title, *lines, *table.notes]))


def _texts(columns: Iterable[Column], row: Iterable[Cell]) -> list[str]:
    return [column.text(cell) for column, cell in zip(columns, row, strict=True)]


def _aligned(columns: Iterable[Column], widths: Iterable[int], texts: Iterable[str]) -> str:
    cells = [
        text.rjust(width) if column.align == "right" else text.ljust(width)
        for column, width, text in zip(columns, widths, texts, strict=True)
    ]
    return "  ".join(cells).rstrip()
