"""Plots as pictures: SVG, PNG or PDF, drawn by matplotlib (extra ``report``).

A picture for a file is dark on white. One for a page has no background and takes the page's ink
(``currentColor``), so that it follows a light or dark theme.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnshell.reports.plots import (
    Bars,
    Block,
    Curves,
    HeatMap,
    Histogram,
    Histograms,
    Memory,
    Plot,
    Roofline,
)
from nnshell.support.errors import NNShellError, UsageError
from nnshell.support.text import in_one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENDINGS = (".svg", ".png", ".pdf")
COLOURS = ("#3b78c4", "#d9822b", "#3a9a62", "#b5484f", "#8566b5", "#8a6d4f", "#c45a95", "#6f7780")
_INK, _FAINT = "#1c2733", "#93a1ae"
_WIDTH = 9.0  # inches
_ROW = 0.24  # inches of a bar
_MOST_BARS, _MOST_HISTOGRAMS = 300, 120  # of one picture; what is left out is counted in it
_NAME_LETTERS = 34
_STYLE = {
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "font.size": 9.0,
    "text.parse_math": False,  # a name with $ is a name
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 10.0,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _FAINT,
    "grid.alpha": 0.4,
    "grid.linewidth": 0.5,
}


def check(file: str) -> None:
    """Refuse a file that pictures have no format for, or that there is nothing to draw with."""
    ending = Path(file).suffix.lower()
    if ending not in ENDINGS:
        known = ", ".join(ENDINGS)
        raise UsageError(f"'{ending}' is not a format of pictures", hint=f"use {known}")
    if find_spec("matplotlib") is None:
        library()


def picture(title: str, plots: Sequence[Plot], ending: str = ".svg") -> bytes:
    """The plots below each other, under a title, in the format of a file's ending.

    Raises:
        UsageError: another ending, or nothing to draw.
        NNShellError: matplotlib is not installed.
    """
    check(f"picture{ending}")
    if not plots:
        raise UsageError(f"{title}: nothing to draw", hint="-c FILE writes the table as CSV")
    return _drawn(in_one_line(title), plots, ending[1:].lower(), transparent=False)


def inline_svg(title: str, plot: Plot) -> str:
    """An ``<svg>`` element for a page, in the page's ink."""
    text = _drawn(in_one_line(title), [plot], "svg", transparent=True).decode()
    element = text[text.index("<svg") :]
    for colour in (_INK, _FAINT):
        element = element.replace(colour, "currentColor")
    return re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1">', element, count=1)


def _drawn(title: str, plots: Sequence[Plot], form: str, *, transparent: bool) -> bytes:
    matplotlib = library()
    from matplotlib.figure import Figure

    # Element ids come from the salt: pictures of one page must not share them.
    style = {**_STYLE, "svg.hashsalt": title}
    with matplotlib.rc_context(style):
        heights = [_height(plot) for plot in plots]
        whole = Figure(figsize=(_WIDTH, sum(heights) + 0.4), layout="constrained")
        parts = whole.subfigures(len(plots), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, plot in zip(parts, plots, strict=True):
            if transparent:
                part.set_facecolor("none")
            _DRAWERS[type(plot)](part, plot)
        if not transparent:
            whole.suptitle(title, fontweight="bold")
        stream = io.BytesIO()
        dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form, {})
        whole.savefig(stream, format=form, dpi=150, transparent=transparent, metadata=dated)
    return stream.getvalue()


def library() -> Any:
    """Matplotlib; NNShellError with what to install where it is missing."""
    try:
        import matplotlib
    except ImportError:
        raise NNShellError(
            "pictures need matplotlib", hint="pip install 'nnshell[report]'"
        ) from None
    return matplotlib


def _height(plot: Plot) -> float:
    """Inches."""
    if isinstance(plot, Bars):
        count = min(len(plot.names), _MOST_BARS)
        return 0.9 + _ROW * count * max(1.0, 0.7 * len(plot.series))
    if isinstance(plot, Histograms):
        return 1.75 * math.ceil(max(1, min(len(plot.entries), _MOST_HISTOGRAMS)) / 3)
    if isinstance(plot, HeatMap):
        return 1.2 + min(8.0, 0.42 * len(plot.rows))
    return 4.2


def _short(name: str) -> str:
    """The end of a name that is too long: beginnings repeat themselves."""
    text = in_one_line(name)
    return text if len(text) <= _NAME_LETTERS else "…" + text[1 - _NAME_LETTERS :]


def _bars(figure: Figure, plot: Bars) -> None:
    axes = figure.subplots()
    names = plot.names[:_MOST_BARS]
    places = range(len(names))
    thickness = 0.8 / max(1, len(plot.series))
    for number, (label, values) in enumerate(plot.series.items()):
        starts = [value or 0.0 for value in plot.starts] or [0.0] * len(values)
        widths = [
            0.0 if end is None or not math.isfinite(end) else end - start
            for start, end in zip(starts, values, strict=True)
        ][:_MOST_BARS]
        shifted = [place + (number - (len(plot.series) - 1) / 2) * thickness for place in places]
        axes.barh(shifted, widths, thickness, starts[: len(names)], label=label,
                  color=COLOURS[number % len(COLOURS)])  # fmt: skip
    axes.set_yticks(places, [_short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    titles = " / ".join(plot.series)
    axes.set_xlabel(f"{titles} [{plot.unit}]" if plot.unit else titles)
    axes.grid(axis="x")
    if len(plot.series) > 1:
        axes.legend(frameon=False)
    if len(plot.names) > _MOST_BARS:
        axes.set_title(f"the first {_MOST_BARS} of {len(plot.names):,}")


def _histograms(figure: Figure, plot: Histograms) -> None:
    shown = plot.entries[:_MOST_HISTOGRAMS]
    grid = figure.subplots(math.ceil(len(shown) / 3), 3, squeeze=False).reshape(-1)
    for axes, entry in zip(grid, shown, strict=False):
        _histogram(axes, entry)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    if len(plot.entries) > len(shown):
        figure.suptitle(f"the first {len(shown)} of {len(plot.entries):,}")


def _histogram(axes: Axes, entry: Histogram) -> None:
    """The counts, lines at the mean and at 1, 2 and 3 sigma, the range of the integers in grey."""
    size = len(entry.counts)
    width = (entry.maximum / 2 - entry.minimum / 2) * 2 / size or 1.0
    edges = [entry.minimum + n * width for n in range(size + 1)]
    if entry.representable is not None:
        axes.axvspan(*entry.representable, color=_FAINT, alpha=0.15, linewidth=0)
    axes.stairs(entry.counts, edges, fill=True, color=COLOURS[0])
    for number in range(-3, 4):
        axes.axvline(
            entry.mean + number * entry.sigma,
            color=COLOURS[3] if number in (-3, 3) else _INK,
            linewidth=0.9,
            linestyle="-" if number == 0 else ":",
        )
    low = min(entry.minimum, entry.mean - 3 * entry.sigma)
    high = max(entry.maximum, entry.mean + 3 * entry.sigma)
    room = 0.03 * (high - low) or 1.0
    axes.set_xlim(low - room, high + room)
    axes.set_title(_short(entry.name), loc="left")
    axes.set_xlabel(
        f"{entry.minimum:.4g} .. {entry.maximum:.4g}, mean {entry.mean:.3g}, "
        f"sigma {entry.sigma:.3g}",
        fontsize=7.5,
    )
    axes.tick_params(labelsize=7.5)


def _heat_map(figure: Figure, plot: HeatMap) -> None:
    axes = figure.subplots()
    axes.imshow(plot.values, cmap="Blues", aspect="auto")
    most = max((max(row, default=0.0) for row in plot.values), default=0.0)
    if len(plot.rows) * len(plot.columns) <= 900:  # more numbers than that cannot be read
        for y, row in enumerate(plot.values):
            for x, value in enumerate(row):
                if value:
                    ink = "white" if value > most / 2 else "#26323d"
                    axes.text(x, y, f"{value:g}", ha="center", va="center", color=ink)
    axes.set_xticks(range(len(plot.columns)), [_short(name) for name in plot.columns])
    axes.set_yticks(range(len(plot.rows)), [_short(name) for name in plot.rows])
    axes.set_xlabel(plot.column_title)
    axes.set_ylabel(plot.row_title)


def _memory(figure: Figure, plot: Memory) -> None:
    """Rectangles from the first to the last layer, from the lowest to the highest byte."""
    axes = figure.subplots()
    kinds = list(dict.fromkeys(block.kind for block in plot.blocks))
    for number, kind in enumerate(kinds):
        blocks = [block for block in plot.blocks if block.kind == kind]
        axes.bar(
            [(b.first + b.last + 1) / 2 for b in blocks],
            [b.size_bytes / 1024 for b in blocks],
            [b.last + 1 - b.first for b in blocks],
            [b.offset_bytes / 1024 for b in blocks],
            label=kind,
            color=COLOURS[number % len(COLOURS)],
            edgecolor="white",
            linewidth=0.6,
            alpha=0.85,
        )
    top = max((b.offset_bytes + b.size_bytes for b in plot.blocks), default=0) / 1024
    _name_blocks(axes, plot.blocks, top)
    limit = plot.limit_bytes / 1024
    if limit <= 2 * top:
        axes.axhline(limit, color=COLOURS[3], linestyle="--", linewidth=1)
    axes.set_ylim(0, max(top * 1.08, limit * 1.05 if limit <= 2 * top else 0) or 1)
    step = max(1, math.ceil(len(plot.layers) / 24))
    places = range(0, len(plot.layers), step)
    axes.set_xticks([n + 0.5 for n in places], [_short(plot.layers[n]) for n in places],
                    rotation=30, ha="right")  # fmt: skip
    axes.set_xlim(0, max(1, len(plot.layers)))
    axes.set_ylabel("address [KB]")
    axes.set_title(f"highest byte {top:,.0f} KB of {limit:,.0f} KB", loc="left")
    axes.legend(frameon=False, loc="upper right", ncols=max(1, len(kinds)))


def _name_blocks(axes: Axes, blocks: Sequence[Block], top: float) -> None:
    """Names on the blocks that have room for them."""
    for block in blocks:
        if len(blocks) <= 60 and block.size_bytes / 1024 > 0.035 * top:
            axes.text(
                (block.first + block.last + 1) / 2,
                (block.offset_bytes + block.size_bytes / 2) / 1024,
                _short(block.name),
                ha="center",
                va="center",
                color="white",
                fontsize=7,
            )


def _roofline(figure: Figure, plot: Roofline) -> None:
    """Both axes logarithmic; the area of a point is its layer's share of the time."""
    axes = figure.subplots()
    points = [p for p in plot.points if p.macs_per_moving_cycle > 0 and p.macs_per_cycle > 0]
    top = plot.macs_per_cycle
    reach = [top, *(p.macs_per_moving_cycle for p in points)]
    low, high = min(reach) / 2, max(reach) * 2
    axes.plot([low, top, high], [low, top, top], color=_INK, linewidth=1.4)
    axes.scatter(
        [p.macs_per_moving_cycle for p in points],
        [p.macs_per_cycle for p in points],
        [20 + 600 * p.share for p in points],
        color=COLOURS[0],
        alpha=0.75,
    )
    for point in sorted(points, key=lambda p: -p.share)[:12]:
        axes.annotate(_short(point.name), (point.macs_per_moving_cycle, point.macs_per_cycle),
                      xytext=(6, 4), textcoords="offset points", fontsize=7.5)  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):  # the formatter of logarithmic axes writes formulas
        axis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.set_xlabel("MACs for each cycle that its data moves between L2 and L1")
    axes.set_ylabel("MACs a cycle")
    axes.grid()
    axes.set_title(f"the cores can do {top:g} MACs a cycle; larger is more of the time", loc="left")


def _curves(figure: Figure, plot: Curves) -> None:
    axes = figure.subplots()
    named = any(isinstance(place, str) for place in plot.x)
    places = list(range(len(plot.x))) if named else [float(place) for place in plot.x]
    for number, (label, values) in enumerate(plot.series.items()):
        known = [math.nan if value is None else value for value in values]
        line = "" if plot.marks_only else "-"
        axes.plot(places, known, f"o{line}", label=in_one_line(label), markersize=4,
                  color=COLOURS[number % len(COLOURS)])  # fmt: skip
    if named or len(plot.x) <= 12:
        labels = [_short(str(place)) for place in plot.x]
        axes.set_xticks(places, labels, rotation=30 if named else 0)
    axes.set_xlabel(plot.x_title)
    axes.set_ylabel(plot.y_title)
    if plot.from_zero:
        axes.set_ylim(bottom=0)
    axes.grid()
    if len(plot.series) > 1:
        axes.legend(frameon=False, fontsize=7.5)


_DRAWERS: dict[type[Plot], Callable[[Any, Any], None]] = {
    Bars: _bars,
    Histograms: _histograms,
    HeatMap: _heat_map,
    Memory: _memory,
    Roofline: _roofline,
    Curves: _curves,
}
