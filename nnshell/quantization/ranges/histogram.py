"""A histogram of a tensor in bounded memory, whatever and however much streams by.

Equal bins cover -reach to reach. A value beyond them doubles the reach, as often as it takes, and
merges the bins in pairs around 0: no count is lost, and 0 stays the border of two bins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.support.errors import InputError

BINS = 4096  # before any merge; at least half of them cover what was seen
_LARGEST_BINS = 1 << 16  # that a file may ask for


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of equal bins from -reach to reach, and the exact extremes."""

    counts: NDArray[np.int64]
    reach: float
    minimum: float
    maximum: float

    @property
    def width(self) -> float:
        """Width of a bin, in the tensor's units."""
        return 2 * self.reach / self.counts.size

    @cached_property
    def edges(self) -> NDArray[np.float64]:
        """Borders of the bins from -reach to reach, one more than bins."""
        return np.linspace(-self.reach, self.reach, self.counts.size + 1)

    @cached_property
    def centers(self) -> NDArray[np.float64]:
        """Middles of the bins."""
        middle: NDArray[np.float64] = (self.edges[:-1] + self.edges[1:]) / 2
        return middle

    @cached_property
    def total(self) -> int:
        """How many values were counted."""
        return int(self.counts.sum())

    def to_json(self) -> dict[str, Any]:
        """The counts between the first and the last that is not 0."""
        used = np.flatnonzero(self.counts)
        first, last = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 0)
        counts = [int(n) for n in self.counts[first:last]]
        return {"reach": self.reach, "bins": self.counts.size, "first": first, "counts": counts}

    @classmethod
    def from_json(cls, data: Any, low: float, high: float, where: str) -> Histogram:
        """A histogram from ``to_json``'s form; InputError for anything else."""
        if not isinstance(data, Mapping) or set(data) != {"reach", "bins", "first", "counts"}:
            raise InputError("a histogram has reach, bins, first and counts", where=where)
        reach, bins, first, value = (data[key] for key in ("reach", "bins", "first", "counts"))
        numbers = isinstance(value, list) and all(
            type(n) is int and 0 <= n < 1 << 62 for n in value
        )
        if not numbers or type(bins) is not int or type(first) is not int:
            raise InputError("a histogram holds counts", where=where)
        fits = 2 <= bins <= _LARGEST_BINS and bins % 2 == 0 and 0 <= first <= bins - len(value)
        if not fits or type(reach) not in (int, float) or not 0 <= reach < math.inf:
            raise InputError("the counts of a histogram do not fit its bins", where=where)
        counts = np.zeros(bins, np.int64)
        counts[first : first + len(value)] = value
        return cls(counts, float(reach), low, high)


class StreamingHistogram:
    """Takes values batch by batch; holds ``bins`` counts."""

    def __init__(self, bins: int = BINS) -> None:
        assert bins >= 2 and bins % 2 == 0
        self._counts = np.zeros(bins, np.int64)
        self._reach = 0.0
        self._minimum, self._maximum = math.inf, -math.inf

    def add(self, values: NDArray[Any]) -> None:
        """Count all elements; NaN and infinity only make the extremes what they are."""
        flat = values.reshape(-1)
        if not flat.size:
            return
        low, high = float(flat.min()), float(flat.max())
        self._minimum = float(np.minimum(self._minimum, low))
        self._maximum = float(np.maximum(self._maximum, high))
        largest = max(-low, high)
        if not math.isfinite(largest):
            return
        self._widen(largest)
        self._counts += self._binned(flat)

    def _widen(self, largest: float) -> None:
        if self._reach == 0:
            self._reach = largest
        half = self._counts.size // 2
        while self._reach < largest:
            pairs = self._counts.reshape(-1, 2).sum(axis=1) if half % 2 == 0 else self._odd_pairs()
            self._counts = np.zeros_like(self._counts)
            start = half - pairs.size // 2
            self._counts[start : start + pairs.size] = pairs
            self._reach *= 2

    def _odd_pairs(self) -> NDArray[np.int64]:
        """Pairs around the middle when half the number of bins is odd: a bin more on each side."""
        padded = np.pad(self._counts, 1)
        pairs: NDArray[np.int64] = padded.reshape(-1, 2).sum(axis=1)
        return pairs

    def _binned(self, flat: NDArray[Any]) -> NDArray[np.int64]:
        bins = self._counts.size
        if self._reach == 0:
            counts = np.zeros(bins, np.int64)
            counts[bins // 2] = flat.size
            return counts
        place = np.floor(flat * np.float64(bins / (2 * self._reach))).astype(np.int64)
        return np.bincount(np.clip(place + bins // 2, 0, bins - 1), minlength=bins)

    def result(self) -> Histogram:
        """What was counted so far."""
        return Histogram(self._counts.copy(), self._reach, self._minimum, self._maximum)
