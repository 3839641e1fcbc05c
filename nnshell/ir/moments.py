"""Mean and variance of the channels of a tensor, as far as they follow from the network alone.

Values of a channel are taken as normally distributed and as independent (M. Nagel et al.,
"Data-free quantization through weight equalization and bias correction", 2019, section 4.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
_POINTS = np.linspace(-8.0, 8.0, 401)  # deviations from the mean
_DENSITY = np.exp(-np.square(_POINTS) / 2) / np.exp(-np.square(_POINTS) / 2).sum()


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Mean and variance (float64) of a tensor, an element for each index of its first axis."""

    mean: Vector
    variance: Vector

    @property
    def channels(self) -> int:
        """How many channels they describe."""
        return int(self.mean.size)

    def picked(self, picks: Any) -> Moments:
        """Of some of the channels, as numpy indexing picks them."""
        return Moments(self.mean[picks], self.variance[picks])

    def repeated(self, times: int) -> Moments:
        """Each channel ``times`` times, one after the other."""
        return Moments(np.repeat(self.mean, times), np.repeat(self.variance, times))

    def mixed(self, value: float, share: float) -> Moments:
        """Where ``share`` of the values stay and all others are ``value``."""
        mean = share * self.mean + (1 - share) * value
        squares = share * (self.variance + self.mean**2) + (1 - share) * value**2
        return Moments(mean, squares - mean**2)

    def through(self, function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Moments:
        """After a function of single values, integrated over 8 deviations to either side."""
        deviation = np.sqrt(self.variance)[:, np.newaxis]
        results = function(self.mean[:, np.newaxis] + deviation * _POINTS)
        mean = results @ _DENSITY
        return Moments(mean, np.square(results - mean[:, np.newaxis]) @ _DENSITY)

    def largest(self, count: int) -> Moments:
        """The largest of ``count`` independent values."""
        below = np.cumsum(_DENSITY)
        density = np.diff(below**count, prepend=0.0)
        shift = float(density @ _POINTS)
        spread = float(density @ np.square(_POINTS - shift))
        return Moments(self.mean + shift * np.sqrt(self.variance), spread * self.variance)


def blended(parts: Sequence[tuple[float, Moments]]) -> Moments:
    """Values of which each share (they sum to 1) has moments of its own."""
    mean = np.asarray(sum(share * part.mean for share, part in parts))
    squares = sum(share * (part.variance + part.mean**2) for share, part in parts)
    return Moments(mean, np.maximum(squares - mean**2, 0.0))


def joined(parts: list[Moments]) -> Moments:
    """The channels of several tensors, one after the other."""
    return Moments(
        np.concatenate([part.mean for part in parts]),
        np.concatenate([part.variance for part in parts]),
    )
