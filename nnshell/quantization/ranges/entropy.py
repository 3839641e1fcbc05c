"""The range whose levels lose the least information (TensorRT's and ONNX Runtime's search).

For every symmetric range of whole bins: p are the counts inside, with what lies outside added to
the first and the last bin; q is what p looks like in 2^bits levels, the mean of each level over
the bins that p uses. The range with the least Kullback-Leibler divergence D(p, q) is kept. Empty
bins of both get a little of the others.

    D = (sum p log p - sum p log q) / P - log P + log Q,   P = sum p, Q = sum q

q is constant in a level, so that the second sum needs one term for each level, which cumulated
counts give. Smoothing takes a t from each used bin c; the first sum follows from cumulated powers,

    (c - t) log(c - t) = c log c - t (log c + 1) + t^2 / 2c + t^3 / 6c^2 + t^4 / 12c^3 + ...

or where t is not small, in ranges that are nearly empty, from the bins themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_SMOOTHING = 0.0001  # of an empty bin, as in ONNX Runtime
_AT_A_TIME = 256  # ranges, to bound memory
_SMALL = 0.02  # what is taken from a bin, for the series to be exact to 1e-10


def least_divergence(counts: Indices, levels: int) -> tuple[int, int]:
    """First bin and end of the best range; that of all bins if there are no more than levels."""
    middle = counts.size // 2
    sizes = np.arange(max(levels // 2, 1), middle + 1)
    if not sizes.size:
        return 0, counts.size
    starts, ends = middle - sizes, np.minimum(middle + sizes + 1, counts.size)
    table = _Table.of(counts)
    losses = [
        _Ranges(table, starts[i : i + _AT_A_TIME], ends[i : i + _AT_A_TIME], levels).losses()
        for i in range(0, sizes.size, _AT_A_TIME)
    ]
    best = int(np.argmin(np.concatenate(losses)))
    return int(starts[best]), int(ends[best])


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Counts, and sums over the bins before each bin: counts, used bins, terms of the series."""

    counts: Floats
    before: Floats
    used: Floats
    series: Floats  # a row for each power of t

    @classmethod
    def of(cls, counts: Indices) -> _Table:
        """Sums over the bins before each bin of these counts."""
        c = counts.astype(np.float64)
        before, used = (np.concatenate([[0.0], np.cumsum(a)]) for a in (c, c > 0))
        series = np.stack([np.concatenate([[0.0], np.cumsum(row)]) for row in _terms(c)])
        return cls(c, before, used, series)


def _terms(counts: Floats) -> Floats:
    """Factors of the powers of t in (c - t) log(c - t); 0 for empty bins."""
    used, c = counts > 0, np.where(counts > 0, counts, 1.0)
    log = np.log(c)
    return np.where(used, np.stack([c * log, -log - 1, 1 / (2 * c), c**-2 / 6, c**-3 / 12]), 0.0)


class _Ranges:
    """Some ranges; a row of every array is a range."""

    def __init__(self, table: _Table, starts: Indices, ends: Indices, levels: int) -> None:
        self._table, self._starts, self._ends = table, starts, ends
        self._bins = (ends - starts).astype(np.float64)
        self._below = table.before[starts]
        self._above = table.before[-1] - table.before[ends]
        width = (ends - starts) // levels
        edges = starts[:, np.newaxis] + width[:, np.newaxis] * np.arange(levels + 1)
        self._edges = np.column_stack([edges, ends])  # the last part is what no level has
        self._widths = np.diff(self._edges, axis=1).astype(np.float64)

    def losses(self) -> Floats:
        """The Kullback-Leibler divergence of each range, infinite where it is not defined."""
        inside, used = (
            np.diff(a[self._edges], axis=1) for a in (self._table.before, self._table.used)
        )
        p_sums, p_used = self._with_outliers(inside, used)
        taken, p_log_p = self._own(p_used)
        inside[:, -2] += inside[:, -1]  # a level's mean has what is left at the end
        share = np.floor(np.divide(inside, p_used, out=np.zeros_like(inside), where=p_used > 0))
        share[:, -1] = 0.0
        q, q_total, possible = self._smoothed_levels(share)
        p_sums = p_sums - taken[:, np.newaxis] * p_used + _SMOOTHING * (self._widths - p_used)
        p_total = self._table.before[-1]
        cross = (p_sums * np.log(q)).sum(axis=1)
        loss = (p_log_p - cross) / p_total - np.log(p_total) + np.log(q_total)
        return np.where(possible & (taken < 1.0), loss, np.inf)

    def _with_outliers(self, sums: Floats, used: Floats) -> tuple[Floats, Floats]:
        """Counts and used bins of each level of p."""
        sums, used = sums.copy(), used.copy()
        counts, rows = self._table.counts, np.arange(len(sums))
        last = np.where(self._widths[:, -1] > 0, -1, -2)
        sums[:, 0] += self._below
        sums[rows, last] += self._above
        used[:, 0] += (counts[self._starts] == 0) & (self._below > 0)
        used[rows, last] += (counts[self._ends - 1] == 0) & (self._above > 0)
        return sums, used

    def _own(self, used: Floats) -> tuple[Floats, Floats]:
        """What smoothing takes of each used bin (1: impossible), and the sum of p log p."""
        full = used.sum(axis=1)
        empty = self._bins - full
        taken = np.minimum(_SMOOTHING * empty / np.maximum(full, 1e-9), 1.0)
        sums = np.diff(self._table.series[:, np.stack([self._starts, self._ends])], axis=1)[:, 0]
        logs = (sums * taken ** np.arange(len(sums))[:, np.newaxis]).sum(axis=0)
        for bins, more in ((self._starts, self._below), (self._ends - 1, self._above)):
            result = self._table.counts[bins]
            logs += _entropy(result + more, taken) - _entropy(result, taken)
        for row in np.flatnonzero((taken >= _SMALL) & (taken < 1.0)):
            logs[row] = self._by_bins(int(row), float(taken[row]))
        return taken, logs + empty * _SMOOTHING * np.log(_SMOOTHING)

    def _by_bins(self, row: int, taken: float) -> float:
        p = self._table.counts[self._starts[row] : self._ends[row]].copy()
        p[0] += self._below[row]
        p[-1] += self._above[row]
        return float(_entropy(p, np.asarray(taken)).sum())

    def _smoothed_levels(self, share: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """q in each level, its sum over all bins, and whether it can be smoothed."""
        full = (self._widths * (share > 0)).sum(axis=1)
        taken = np.minimum(_SMOOTHING * (self._bins - full) / np.maximum(full, 1e-9), 1.0)
        possible = taken < 1.0
        kept = np.where(possible, taken, 0.0)[:, np.newaxis]
        q = np.where(share > 0, share - kept, _SMOOTHING)
        return q, (q * self._widths).sum(axis=1), possible


def _entropy(counts: Floats, taken: Floats) -> Floats:
    """(c - t) log(c - t) of used bins, 0 of empty ones."""
    left = np.where(counts > 0, np.maximum(counts - taken, 1e-300), 1.0)
    result: Floats = left * np.log(left)
    return result
