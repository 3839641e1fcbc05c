"""Tables as text: columns on a terminal, aligned text in a pipe, CSV and JSON for programs."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nnshell.reports.plain import plain_text as plain_text
from nnshell.reports.table import Column, Table
from nnshell.support.errors import UsageError
from nnshell.support.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

_NARROWEST = 18  # characters of a folded column: two to three lines hold a usual node name
_GAP = 2  # characters between columns
_GOES_ON = "    "  # before the rest of a folded line

FORMATS = ("table", "plain", "blocks", "csv", "json")


def folded(lines: Iterable[str], width: int) -> list[str]:
    """Lines of at most ``width``, broken at blanks; what goes on below is indented further."""
    rows: list[str] = []
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())] + _GOES_ON
        rows += textwrap.wrap(
            line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [""]
    return rows


def csv_text(table: Table) -> str:
    """One line per row under the machine names of the columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.machine_name for column in table.columns])
    writer.writerows(table.rows)
    return printable(text.getvalue().removesuffix("\n"))


def json_text(table: Table) -> str:
    """A list with one object per row, one row per line."""
    records = [json.dumps(_finite(record), default=_plain) for record in table.as_records()]
    return "[\n" + ",\n".join(f"  {record}" for record in records) + "\n]" if records else "[]"


def block_text(table: Table) -> str:
    """A record a block: a line for each cell that is not empty, for narrow windows."""
    widest = max((len(column.heading) for column in table.columns), default=0)
    lines = [table.title] if table.title else []
    for number, row in enumerate(table.rows, start=1):
        rule = f"-[ {number} ]"
        lines.append(rule + "-" * max(0, widest + 12 - len(rule)))
        lines += [
            f"{column.heading:<{widest}} | {column.text(cell)}"
            for column, cell in zip(table.columns, row, strict=True)
            if cell is not None
        ]
    return printable("\n".join([*lines, *table.notes]))


def chosen_columns(table: Table, names: str) -> Table:
    """The columns of a list such as ``name,min,max``, in its order, for every form of the table.

    A name is that of the CSV file, or the heading. UsageError when there is no such column.
    """
    known = {}
    for index, column in enumerate(table.columns):
        known[column.name.lower()] = index
        known[column.machine_name] = index
    wanted = [name.strip().lower() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            keys = ", ".join(column.machine_name for column in table.columns)
            raise UsageError(f"there is no column '{name}'", hint=f"one of {keys}")
    places = [known[name] for name in wanted]
    cut = [tuple(row[place] for place in places) for row in (*table.rows, *table.footer)]
    return replace(
        table,
        columns=tuple(replace(table.columns[place], detail=0) for place in places),
        rows=tuple(cut[: len(table.rows)]),
        footer=tuple(cut[len(table.rows) :]),
        records=None,
        brief=None,
    )


def terminal_table(table: Table, width: int) -> RenderableType:
    """Columns within ``width`` characters: long cells fold, details are left out with a note."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    table = table.brief or table
    # Text objects, because a string would be read as markup: node names have brackets.
    title = Text(printable(table.title)) if table.title else None
    drawn = RichTable(box=SIMPLE_HEAD, title=title, pad_edge=False, collapse_padding=True)
    drawn.title_justify = "left"
    layout = _fit(table, width)
    for index, room in layout.items():
        column = table.columns[index]
        drawn.add_column(
            Text(column.heading), justify=column.align, overflow="fold", max_width=room
        )
    for row in table.rows:
        texts = {index: table.columns[index].text(row[index]) for index in layout}
        drawn.add_row(*(Text(_broken(text, layout[index])) for index, text in texts.items()))
    for number, row in enumerate(table.footer):
        if number == 0:
            drawn.add_section()
        totals = (Text(table.columns[index].text(row[index])) for index in layout)
        drawn.add_row(*totals, style="bold")
    left_out = [c.name for index, c in enumerate(table.columns) if index not in layout]
    hint = (f"not shown here: {', '.join(left_out)} (--format blocks)",) if left_out else ()
    return Group(drawn, *(Text(printable(note)) for note in (*table.notes, *hint)))


def _broken(text: str, room: int) -> str:
    """A name too long for a line is broken after a ``_`` or ``/`` of its own, not anywhere."""
    pieces = re.split(r"(?<=[_/])", text)
    if len(text) <= room or " " in text or max(map(len, pieces)) > room:
        return text
    lines = [""]
    for piece in pieces:
        if len(lines[-1]) + len(piece) > room:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def _fit(table: Table, width: int) -> dict[int, int]:
    """The columns to show and the room for each.

    What does not fit is made narrower in this order: headings take several lines, text is folded,
    details are left out, the least important first.
    """
    columns = table.columns
    cells = [
        max((len(column.text(row[index])) for row in (*table.rows, *table.footer)), default=0)
        for index, column in enumerate(columns)
    ]
    shown = list(range(len(columns)))
    while True:
        layout = {index: max(cells[index], len(columns[index].heading)) for index in shown}
        for index in sorted(shown, key=lambda index: cells[index] - layout[index]):
            if _drawn_width(layout) > width:
                words = max(map(len, columns[index].heading.split()), default=0)
                layout[index] = max(cells[index], words)
        layout = _folded(columns, layout, width)
        details = [index for index in shown if columns[index].detail]
        if _drawn_width(layout) <= width or not details:
            return layout
        shown.remove(max(details, key=lambda index: (columns[index].detail, index)))


def _folded(columns: Sequence[Column], needed: dict[int, int], width: int) -> dict[int, int]:
    """Widths with columns of text made narrower, the widest first, as far as they stay readable."""
    layout = dict(needed)
    foldable = [index for index in layout if columns[index].wraps]
    while _drawn_width(layout) > width:
        wide = [index for index in foldable if layout[index] > _NARROWEST]
        if not wide:
            break
        widest = max(wide, key=lambda index: layout[index])
        layout[widest] = max(_NARROWEST, layout[widest] - (_drawn_width(layout) - width))
    return layout


def _drawn_width(layout: dict[int, int]) -> int:
    return sum(layout.values()) + _GAP * len(layout)


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
