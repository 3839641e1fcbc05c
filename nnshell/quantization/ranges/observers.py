"""Observers: what calibration keeps of each tensor while batches stream by.

An observer names the reductions that it needs (``nnshell.exporters.reductions``); only those leave
ONNX Runtime. One that needs whole tensors, for a histogram or percentiles, asks for "values".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from nnshell.quantization.ranges.histogram import BINS, StreamingHistogram
from nnshell.quantization.ranges.statistics import TensorStatistics

Reduced = Mapping[str, NDArray[Any]]


class Observer(Protocol):
    """Sees each batch of one tensor, in order."""

    reductions: ClassVar[tuple[str, ...]]

    def update(self, reduced: Reduced) -> None:
        """Take one batch's reductions, by name."""

    def result(self) -> TensorStatistics:
        """Statistics of everything seen so far, at least one batch."""


class RunningExtremes:
    """Smallest and largest element of all samples."""

    reductions: ClassVar[tuple[str, ...]] = ("min", "max")

    def __init__(self) -> None:
        self._minimum, self._maximum = np.inf, -np.inf

    def update(self, reduced: Reduced) -> None:
        """Take "min" and "max" of a batch."""
        # np.minimum lets a NaN through, so that it is noticed
        self._minimum = np.minimum(self._minimum, reduced["min"].min())
        self._maximum = np.maximum(self._maximum, reduced["max"].max())

    @property
    def maximum(self) -> float:
        """Largest element so far, minus infinity before the first."""
        return float(self._maximum)

    def result(self) -> TensorStatistics:
        """The range of everything seen."""
        return TensorStatistics(float(self._minimum), float(self._maximum))


class RunningMaximum:
    """Largest element, of a tensor that is never negative and whose range begins at 0 anyway."""

    reductions: ClassVar[tuple[str, ...]] = ("max",)

    def __init__(self, before: RunningExtremes | None = None) -> None:
        """``before`` is what has seen earlier samples of the tensor."""
        self._maximum = 0.0 if before is None else max(before.maximum, 0.0)

    def update(self, reduced: Reduced) -> None:
        """Take "max" of a batch."""
        self._maximum = np.maximum(self._maximum, reduced["max"].max())

    def result(self) -> TensorStatistics:
        """The range from 0 to the largest element seen."""
        return TensorStatistics(0.0, float(self._maximum))


class RunningMoments:
    """Extremes, and means over samples of their mean, standard and mean absolute deviation."""

    reductions: ClassVar[tuple[str, ...]] = ("min", "max", "mean", "std", "b")

    def __init__(self) -> None:
        self._extremes = RunningExtremes()
        self._sums = dict.fromkeys(("mean", "std", "b"), 0.0)
        self._samples = 0

    def update(self, reduced: Reduced) -> None:
        """Take a batch's extremes, and the moments of each sample."""
        self._extremes.update(reduced)
        self._samples += reduced["mean"].size
        for name in self._sums:
            self._sums[name] += float(reduced[name].sum(dtype=np.float64))

    def result(self) -> TensorStatistics:
        """The range, and moments averaged over samples."""
        seen = self._extremes.result()
        means = {name: total / max(self._samples, 1) for name, total in self._sums.items()}
        return TensorStatistics(seen.minimum, seen.maximum, means["mean"], means["std"], means["b"])


class HistogramObserver:
    """Everything that a clip type may ask for: extremes, moments and a histogram."""

    reductions: ClassVar[tuple[str, ...]] = ("values",)

    def __init__(self, bins: int = BINS) -> None:
        self._histogram = StreamingHistogram(bins)
        self._moments = RunningMoments()

    def update(self, reduced: Reduced) -> None:
        """Take all "values" of a batch, (samples, *shape)."""
        values = reduced["values"]
        self._histogram.add(values)
        if values.size:
            self._moments.update(_moments(values))

    def result(self) -> TensorStatistics:
        """The range, moments averaged over samples, and a histogram."""
        return replace(self._moments.result(), histogram=self._histogram.result())


def _moments(values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    rows = values.reshape(len(values), -1)
    mean = rows.mean(axis=1)
    return {
        "min": rows.min(),
        "max": rows.max(),
        "mean": mean,
        "std": rows.std(axis=1),
        "b": np.abs(rows - mean[:, np.newaxis]).mean(axis=1),
    }


class ChannelObserver:
    """One observer for each channel, the first axis after the samples."""

    reductions: ClassVar[tuple[str, ...]] = ("values",)

    def __init__(self, factory: ObserverFactory = HistogramObserver) -> None:
        """``factory`` makes observers that ask for extremes, moments or values."""
        self._factory = factory
        self._channels: list[Observer] = []

    def update(self, reduced: Reduced) -> None:
        """Take all "values" of a batch, (samples, channels, ...)."""
        values = reduced["values"]
        if not self._channels:
            self._channels = [self._factory() for _ in range(values.shape[1])]
        for index, observer in enumerate(self._channels):
            part = values[:, index]
            result = {"values": part} if observer.reductions == ("values",) else _moments(part)
            observer.update(result)

    def channels(self) -> tuple[TensorStatistics, ...]:
        """Statistics by channel."""
        return tuple(observer.result() for observer in self._channels)

    def result(self) -> TensorStatistics:
        """The range of all channels together."""
        result = self.channels()
        return TensorStatistics(min(s.minimum for s in result), max(s.maximum for s in result))


ObserverFactory = Callable[[], Observer]
