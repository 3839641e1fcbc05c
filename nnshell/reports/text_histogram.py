"""A histogram in characters: for terminals, with lines at the mean and at 1, 2 and 3 sigma.

|          ▂▆█▃
|        ▃██████▅▁
+---3---2---1---m---1---2---3--
 [=============================>   range of the integers, > goes on beyond the picture
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnshell.reports.plots import Histogram

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_ROWS = 8
_WIDEST, _NARROWEST = 96, 24  # columns of the picture
_MARGIN = 2


def text_histogram(entry: Histogram, width: int = 80) -> list[str]:
    """Lines of at most ``width`` characters: title, bars, axis, range of the integers."""
    columns = max(_NARROWEST, min(_WIDEST, width - _MARGIN))
    low, high = _reach(entry)
    counts = _columns(entry, low, high, columns)
    lines = [f"{entry.name}, {sum(entry.counts):,} values"]
    lines += [f" |{row}".rstrip() for row in _bars(counts)]
    lines.append(f" +{_axis(entry, low, high, columns)}")
    if entry.representable is not None:
        lines.append(f"  {_integers(entry.representable, low, high, columns)}")
    edges = f"{low:.4g}", f"{high:.4g}"
    gap = max(1, columns - sum(map(len, edges)))
    lines.append(f"  {edges[0]}{' ' * gap}{edges[1]}")
    three = entry.mean - 3 * entry.sigma, entry.mean + 3 * entry.sigma
    lines.append(f"  min {entry.minimum:.4g}, max {entry.maximum:.4g}, mean {entry.mean:.4g}, "
                 f"sigma {entry.sigma:.4g}, 3 sigma {three[0]:.4g} to {three[1]:.4g}")  # fmt: skip
    if entry.representable is not None:
        first, last = entry.representable
        lines.append(f"  [=] range of the {entry.bits}-bit integers, {first:.4g} to {last:.4g}")
    return lines


def _reach(entry: Histogram) -> tuple[float, float]:
    """From the smaller of the minimum and -3 sigma to the larger of the maximum and +3 sigma."""
    low = min(entry.minimum, entry.mean - 3 * entry.sigma)
    high = max(entry.maximum, entry.mean + 3 * entry.sigma)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _columns(entry: Histogram, low: float, high: float, columns: int) -> list[float]:
    """Values in each column, as if the values of a bin were evenly spread."""
    if not entry.maximum > entry.minimum:
        counts = [0.0] * columns
        counts[_place(entry.minimum, low, high, columns)] = float(sum(entry.counts))
        return counts
    sums = np.concatenate([[0], np.cumsum(entry.counts)]).astype(np.float64)
    edges = np.linspace(entry.minimum, entry.maximum, len(entry.counts) + 1)
    borders = np.interp(np.linspace(low, high, columns + 1), edges, sums)
    return [float(n) for n in np.diff(borders)]


def _bars(counts: Sequence[float]) -> list[str]:
    """Rows from the top; a column that holds anything shows at least an eighth."""
    most = max(counts) or 1.0
    eighths = [max(1, round(8 * _ROWS * n / most)) if n > 1e-9 else 0 for n in counts]
    return [
        "".join(_EIGHTHS[min(8, max(0, n - 8 * row))] for n in eighths)
        for row in reversed(range(_ROWS))
    ]


def _axis(entry: Histogram, low: float, high: float, columns: int) -> str:
    """The axis, with m at the mean and digits at so many sigma from it."""
    axis = ["-"] * columns
    for number in (3, 2, 1):
        for side in (-number, number):
            place = entry.mean + side * entry.sigma
            axis[_place(place, low, high, columns)] = str(number)
    axis[_place(entry.mean, low, high, columns)] = "m"
    return "".join(axis)


def _integers(reach: tuple[float, float], low: float, high: float, columns: int) -> str:
    first, last = (_place(end, low, high, columns) for end in reach)
    bar = [" "] * first + ["="] * (last - first + 1)
    bar[first] = "<" if reach[0] < low else "["
    bar[last] = ">" if reach[1] > high else "]"
    return "".join(bar)


def _place(value: float, low: float, high: float, columns: int) -> int:
    return max(0, min(columns - 1, int((value - low) / (high - low) * columns)))
