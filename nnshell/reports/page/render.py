"""A page as one HTML file: no server, no network, nothing beside it.

Text is escaped by the templates, plots travel as JSON in which no character can end its script, and
a content security policy keeps the page from loading anything.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict
from typing import Any

from nnshell import __version__
from nnshell.reports.graph_svg import graph_svg
from nnshell.reports.page import content
from nnshell.reports.page.content import Page
from nnshell.reports.page.templates import asset, template
from nnshell.reports.pictures import COLOURS, inline_svg
from nnshell.reports.plots import Bars, Curves, HeatMap, Histograms, Memory, Plot, Roofline
from nnshell.reports.table import Cell, Column, Table
from nnshell.support.text import in_one_line, printable

_SCRIPTS = ("third_party/uPlot.iife.min.js", "third_party/tablesort.min.js", "page.js")
_STYLES = ("third_party/uPlot.min.css", "page.css")
_MOST_CLASSES = 40  # of a heat map whose squares can be told apart


def page_html(page: Page) -> str:
    """The whole file; ``check_extra`` says whether it can be made."""
    from markupsafe import Markup

    rendered = template("page.html.j2").render(
        page=page,
        version=__version__,
        styles=[Markup(asset(name)) for name in _STYLES],
        scripts=[Markup(asset(name)) for name in _SCRIPTS],
        colours=COLOURS,
        plain=printable,
        line=in_one_line,
        kind=_kind,
        bars=_bars,
        cell_text=_cell_text,
        sort_value=_sort_value,
        data=_data,
        graph=lambda picture, stage: Markup(
            graph_svg(picture, standalone=False, marker=f"arrow{stage}")
        ),
        drawing=lambda title, plot: Markup(inline_svg(title, plot)),
    )
    return re.sub(r"\n\s*\n+", "\n", rendered)


_KINDS: dict[type[Any], str] = {
    Histograms: "histograms",
    Curves: "curves",
    HeatMap: "heat map",
    Memory: "drawing",
    Roofline: "drawing",
    Bars: "drawing",
    content.Tabulated: "table",
    content.Drawn: "plot",
    content.Graphs: "graphs",
    content.Code: "code",
    content.Questions: "questions",
    content.Warned: "warnings",
}


def _kind(part: object) -> str:
    """Which block of the template prints it."""
    if isinstance(part, HeatMap) and len(part.columns) > _MOST_CLASSES:
        return "drawing"
    return _KINDS[type(part)]


def _bars(table: Table) -> dict[int, float]:
    """Columns of a table that have a bar in each cell, with the largest value of each."""
    named = {name for plot in table.plots if isinstance(plot, Bars) for name in plot.series}
    largest = {}
    for index, column in enumerate(table.columns):
        values = [abs(float(row[index])) for row in table.rows if _is_number(row[index])]  # type: ignore[arg-type]
        if column.name in named and values and max(values) > 0:
            largest[index] = max(values)
    return largest


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool) and math.isfinite(cell)


def _cell_text(column: Column, cell: Cell) -> str:
    return printable(column.text(cell))


def _sort_value(cell: Cell) -> str:
    """What the table sorts by: numbers in full, empty cells last."""
    if isinstance(cell, bool):
        return str(int(cell))
    if isinstance(cell, int | float):
        return repr(cell).replace("inf", "Infinity").replace("nan", "-Infinity")
    return ""


def _data(plot: Plot) -> Any:
    """A plot as JSON values: infinity and NaN become null."""
    return _finite(asdict(plot))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {in_one_line(str(key)): _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return in_one_line(value) if isinstance(value, str) else value
