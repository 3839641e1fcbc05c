"""Histograms as SVG pictures: text, no library, readable by every browser."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nnshell.reports.distributions import Distribution
from nnshell.support.text import in_one_line

_WIDTH, _HEIGHT = 320, 150  # of one histogram, in pixels
_COLUMNS = 3
_MARGIN = 24


def histograms_svg(title: str, found: Sequence[Distribution]) -> str:
    """One histogram for each distribution that has one; range, mean and sigma below it."""
    shown = [entry for entry in found if entry.histogram]
    rows = -(-max(len(shown), 1) // _COLUMNS)
    width, height = _COLUMNS * _WIDTH, rows * _HEIGHT + _MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="11">',
        f'<text x="8" y="16" font-size="13">{escape(in_one_line(title))}</text>',
    ]
    for index, entry in enumerate(shown):
        row, column = divmod(index, _COLUMNS)
        lines += _histogram(entry, column * _WIDTH, row * _HEIGHT + _MARGIN)
    return "\n".join([*lines, "</svg>", ""])


def _histogram(entry: Distribution, left: int, top: int) -> list[str]:
    room, base = _WIDTH - 2 * 8, top + _HEIGHT - 34
    most, bar = max(entry.histogram), room / len(entry.histogram)
    lines = [f'<text x="{left + 8}" y="{top + 12}">{escape(in_one_line(entry.name))}</text>']
    for index, count in enumerate(entry.histogram):
        size = (base - top - 18) * count / most
        lines.append(
            f'<rect x="{left + 8 + index * bar:.1f}" y="{base - size:.1f}" width="{bar - 1:.1f}"'
            f' height="{size:.1f}" fill="steelblue"/>'
        )
    lines.append(
        f'<text x="{left + 8}" y="{base + 13}">{entry.minimum:.4g} .. {entry.maximum:.4g},'
        f" mean {entry.mean:.3g}, sigma {entry.sigma:.3g}</text>"
    )
    return lines
