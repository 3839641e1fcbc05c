"""A table as data: what every report returns and what the shell, scripts and notebooks render.

A cell keeps its value (a number stays a number), so that the same table is columns on a terminal,
CSV for a spreadsheet and JSON for a program.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from nnshell.reports.plots import Bars, Plot
from nnshell.support.text import in_one_line

_LONG = 1e12  # a number from here on is written with an exponent

Cell = str | int | float | bool | None
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: heading, alignment, unit and how its numbers are written.

    ``digits`` is the number of decimals of a float (None: six significant digits); ``grouped``
    writes thousands separators in text forms. ``wraps`` marks text that may be folded on a narrow
    terminal, ``detail`` a column that is left out there before others become unreadable, those of
    higher number first. ``key`` is the name in CSV and JSON; left out, it is made from the heading
    and unit.
    """

    name: str
    align: Literal["left", "right"] = "left"
    unit: str = ""
    key: str = ""
    digits: int | None = None
    grouped: bool = False
    wraps: bool = False
    detail: int = 0

    @property
    def heading(self) -> str:
        """The name and, in brackets, the unit."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name

    @property
    def machine_name(self) -> str:
        """The name in CSV and JSON: small letters, digits and _, the unit last."""
        if self.key:
            return self.key
        unit = "percent" if self.unit == "%" else self.unit
        words = re.sub(r"[^0-9a-z]+", "_", f"{self.name} {unit}".lower())
        return words.strip("_") or "column"

    def text(self, cell: Cell) -> str:
        """The cell as people read it, in one line; None is empty."""
        if cell is None:
            return ""
        if isinstance(cell, bool):
            return "yes" if cell else "no"
        if isinstance(cell, int):
            return f"{cell:,}" if self.grouped else str(cell)
        if isinstance(cell, float):
            return self._float_text(cell)
        return in_one_line(cell)

    def _float_text(self, value: float) -> str:
        if not math.isfinite(value) or self.digits is None or abs(value) >= _LONG:
            return f"{value:.6g}"
        separator = "," if self.grouped else ""
        return f"{value:{separator}.{self.digits}f}"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns, totals in ``footer``, and ``notes`` below.

    ``records`` replaces the rows in JSON where a report has more to say to a program than fits
    columns (qshow's scales per channel). ``brief`` is what a terminal shows of it, ``plots`` what
    there is to draw of it.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    footer: tuple[tuple[Cell, ...], ...] = ()
    notes: tuple[str, ...] = ()
    records: tuple[Record, ...] | None = None
    brief: Table | None = None
    plots: tuple[Plot, ...] = ()

    def __post_init__(self) -> None:
        for row in (*self.rows, *self.footer):
            assert len(row) == len(self.columns), f"{self.title}: {row} does not fit the columns"

    def as_records(self) -> list[dict[str, Any]]:
        """One object per row (the footer left out), empty cells left out."""
        if self.records is not None:
            return [dict(record) for record in self.records]
        keys = [column.machine_name for column in self.columns]
        return [
            {key: cell for key, cell in zip(keys, row, strict=True) if cell is not None}
            for row in self.rows
        ]


def with_bars(table: Table, label: str, *names: str) -> Table:
    """The table with bars to draw: of the columns called ``names``, a row each, called ``label``.

    Columns of one unit are drawn beside each other. Rows without any of the numbers are left out.
    """
    places = {column.name: index for index, column in enumerate(table.columns)}
    units: dict[str, list[str]] = {}
    for name in names:
        units.setdefault(table.columns[places[name]].unit, []).append(name)
    return replace(
        table,
        plots=(*table.plots, *(_bars(table, places, label, group) for group in units.values())),
    )


def _bars(table: Table, places: Mapping[str, int], label: str, names: list[str]) -> Bars:
    rows = [
        row for row in table.rows if any(_number(row[places[name]]) is not None for name in names)
    ]
    texts = tuple(table.columns[places[label]].text(row[places[label]]) for row in rows)
    series = {name: tuple(_number(row[places[name]]) for row in rows) for name in names}
    return Bars(texts, series, table.columns[places[names[0]]].unit)


def _number(cell: Cell) -> float | None:
    if isinstance(cell, bool | str) or cell is None or not math.isfinite(cell):
        return None
    return float(cell)
