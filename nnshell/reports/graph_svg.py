"""A graph as a picture without Graphviz: SVG from a template, PNG and PDF by matplotlib."""

from __future__ import annotations

import io
import re
from typing import Any

from nnshell.reports.graph_layout import BOX_WIDTH, LINE_HEIGHT, Arrow, Box, GraphPicture
from nnshell.reports.page.templates import template
from nnshell.reports.pictures import COLOURS, library

COLOURS_OF = {
    "fusion": COLOURS[1],
    "filter": COLOURS[0],
    "end": COLOURS[2],
    "constant": COLOURS[5],
    "other": COLOURS[7],
}
_PIXELS_PER_INCH = 96
_MOST_INCHES = 200  # of a picture; larger graphs are drawn smaller


def graph_svg(picture: GraphPicture, *, standalone: bool = True, marker: str = "arrow") -> str:
    """An SVG document, or for a page an element that takes the page's colours.

    ``marker`` is the id of the arrow heads: no two pictures of a page may share it.
    """
    text = template("graph.svg.j2").render(
        picture=picture, colours=COLOURS_OF, standalone=standalone, marker=marker,
        line_height=LINE_HEIGHT, path=_path, label_place=_label_place,
    )  # fmt: skip
    return re.sub(r"\n\s*\n+", "\n", text).strip() + "\n"


def _path(arrow: Arrow) -> str:
    """Straight between rows with rounded turns: curves that leave and enter boxes upright."""
    (x, y), *others = arrow.points
    parts = [f"M{x:.0f} {y:.0f}"]
    for right, down in others:
        middle = (y + down) / 2
        parts.append(f"C{x:.0f} {middle:.0f} {right:.0f} {middle:.0f} {right:.0f} {down:.0f}")
        x, y = right, down
    return "".join(parts)


def _label_place(arrow: Arrow) -> tuple[float, float]:
    """Beside the last part of the arrow."""
    (x, y), (right, down) = arrow.points[-2:]
    return (x + right) / 2 + 5, (y + down) / 2 + 4


def graph_image(picture: GraphPicture, form: str) -> bytes:
    """PNG or PDF."""
    matplotlib = library()
    from matplotlib.figure import Figure

    scale = 1 / _PIXELS_PER_INCH
    longest = max(picture.width, picture.height) * scale
    scale *= min(1.0, _MOST_INCHES / longest)
    with matplotlib.rc_context({"text.parse_math": False}):
        figure = Figure(figsize=(picture.width * scale, picture.height * scale))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, picture.width)
        axes.set_ylim(picture.height, 0)
        axes.set_axis_off()
        size = 11.5 * scale * 72
        for arrow in picture.arrows:
            axes.plot(*zip(*arrow.points, strict=True), color="#6f7780", linewidth=0.8, zorder=1)
            axes.annotate("", arrow.points[-1], arrow.points[-2],
                          arrowprops={"arrowstyle": "->", "color": "#6f7780"})  # fmt: skip
            axes.text(*_label_place(arrow), arrow.label, fontsize=0.85 * size, color="#52606d")
        for box in picture.boxes:
            _draw_box(axes, box, size)
        stream = io.BytesIO()
        undated = {"CreationDate": None} if form == "pdf" else {}
        figure.savefig(
            stream,
            format=form,
            metadata=undated,
            dpi=min(150, 20_000 / max(figure.get_size_inches())),
        )
    return stream.getvalue()


def _draw_box(axes: Any, box: Box, size: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (box.x - BOX_WIDTH / 2, box.y - box.height / 2)
    axes.add_patch(
        FancyBboxPatch(
            corner,
            BOX_WIDTH,
            box.height,
            boxstyle="round,pad=0,rounding_size=6",
            facecolor="white",
            edgecolor=COLOURS_OF[box.group],
            linewidth=1.5,
            zorder=2,
        )
    )
    for number, line in enumerate(box.lines):
        axes.text(
            box.x,
            box.y + (number - (len(box.lines) - 1) / 2) * LINE_HEIGHT,
            line,
            ha="center",
            va="center",
            fontsize=size if number == 0 else 0.9 * size,
            fontweight="bold" if number == 0 else "normal",
            zorder=3,
        )
