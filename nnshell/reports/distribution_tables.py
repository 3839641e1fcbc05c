"""Tables of how values are spread: `weights`, `activations`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nnshell.reports.distributions import SIGMAS, Distribution, shown_bins
from nnshell.reports.plots import Histograms
from nnshell.reports.table import Cell, Column, Table

_SHADES = " .:-=+*#%@"  # from none to most
_BINS = 24  # of the histogram in a cell
_ORDER = (3, 1, 2, 5)  # sigmas: the three that courses ask for first
_DETAIL = {3: 1, 1: 5, 2: 6, 5: 7}


def distribution_table(
    title: str, entries: Sequence[Distribution], notes: Sequence[str] = ()
) -> Table:
    """A row per tensor, and its histogram as a plot; columns that no tensor has are left out."""
    detailed = any(entry.histogram for entry in entries)
    quality = any(entry.qsnr_db is not None for entry in entries)
    columns = [
        Column("Step", "right"),
        Column("Name", wraps=True),
        Column("Shape", detail=4),
        Column("Min", "right", digits=4),
        Column("Max", "right", digits=4),
        Column("Mean", "right", digits=4, detail=2),
        Column("Sigma", "right", digits=4, detail=1),
    ]
    for number in _ORDER:
        columns += _sigma_columns(number, detailed)
    columns += [Column("Zeros", "right", "%", digits=2, detail=3)] if detailed else []
    columns.append(Column("Q format", detail=4))
    columns += [Column("QSNR", "right", "dB", digits=1, detail=4)] if quality else []
    columns += [Column("Histogram", detail=2)] if detailed else []
    rows = tuple(_cells(entry, detailed, quality) for entry in entries)
    drawn = tuple(entry.as_histogram() for entry in entries if entry.histogram)
    legend = (f"histogram: {_BINS} bins from min to max, darker is more",) if detailed else ()
    return Table(
        title,
        tuple(columns),
        rows,
        notes=(*legend, *notes),
        plots=(Histograms(drawn),) if drawn else (),
    )


def _sigma_columns(number: int, detailed: bool) -> list[Column]:
    detail = _DETAIL[number]
    low, high = f"low_{number}_sigma", f"high_{number}_sigma"
    columns = [
        Column(f"Mean -{number} sigma", "right", digits=4, key=low, detail=detail),
        Column(f"Mean +{number} sigma", "right", digits=4, key=high, detail=detail),
    ]
    if detailed:
        key = f"outside_{number}_sigma"
        columns.append(Column(f"Outside {number}", "right", "%", key, digits=2, detail=detail))
    return columns


def _cells(entry: Distribution, detailed: bool, quality: bool) -> tuple[Cell, ...]:
    cells: list[Cell] = [entry.step, entry.name, entry.shape, entry.minimum, entry.maximum]
    cells += [entry.mean, entry.sigma]
    for number in _ORDER:
        reach = number * entry.sigma
        cells += [entry.mean - reach, entry.mean + reach]
        if detailed:
            shares = dict(zip(SIGMAS, entry.outside, strict=False))
            cells.append(100 * shares[number] if shares else None)
    if detailed:
        cells.append(None if entry.zeros is None else 100 * entry.zeros)
    cells.append(entry.q_format)
    if quality:
        cells.append(entry.qsnr_db)
    if detailed:
        cells.append(_shaded(entry.histogram) if entry.histogram else None)
    return tuple(None if cell != cell else cell for cell in cells)  # NaN: it is not known


def _shaded(histogram: Sequence[int]) -> str:
    """One character per bin."""
    counts = shown_bins(histogram, 1 << 30, _BINS)
    most, levels = max(counts), len(_SHADES) - 1
    return "|" + "".join(_SHADES[math.ceil(levels * n / most)] for n in counts) + "|"
