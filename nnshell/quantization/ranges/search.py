"""Ranges that are searched in a histogram: which outliers to cut off for finer steps.

percentile  all but one in 100,000 of the values (ONNX Runtime's PercentileCalibrater)
kth         all but the k-th largest and smallest, k a share that grows as bits get fewer
entropy     the least loss of information, Kullback-Leibler (TensorRT, ONNX Runtime)
mse         the least squared error of the quantized values
histogram   the same, giving up one end or the other step by step (PyTorch's HistogramObserver)
whiskers    the whiskers of a box plot: 1.5 times the distance between the quartiles beyond them
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.requests import Range
from nnshell.quantization.ranges.entropy import least_divergence
from nnshell.quantization.ranges.histogram import Histogram

PERCENTILE = 99.999
WHISKER = 1.5  # distances between the quartiles
_CANDIDATES = 96  # ranges that a search tries at a time
_LEAST = 0.02  # of the full range
_TRIM = 1 / 128  # of the full range that the step-by-step search gives up at a time


def percentile_range(histogram: Histogram, percentile: float = PERCENTILE) -> Range:
    """What holds ``percentile`` % of the values, as many cut off below as above."""
    return _cut(histogram, (100.0 - percentile) / 200.0)


def kth_range(histogram: Histogram, bits: int) -> Range:
    """The k-th largest and smallest value; k is a share of 2^-(bits + 4) of all values."""
    return _cut(histogram, 2.0 ** -(bits + 4))


def _cut(histogram: Histogram, share: float) -> Range:
    """Without ``share`` of the values on each side."""
    cumulated = np.cumsum(histogram.counts / max(histogram.total, 1))
    edges = histogram.edges
    right = min(int(np.searchsorted(cumulated, 1.0 - share)), edges.size - 1)
    left = min(int(np.searchsorted(cumulated, share)), edges.size - 1)
    return _within(histogram, float(edges[left]), float(edges[right]))


def _within(histogram: Histogram, low: float, high: float) -> Range:
    return Range(max(low, histogram.minimum), min(high, histogram.maximum))


def whiskers_range(histogram: Histogram) -> Range:
    """Quartiles of the values that are not next to 0: most of a relu's are 0."""
    counts = histogram.counts.copy()
    middle = counts.size // 2
    counts[middle - 1 : middle + 1] = 0
    if not counts.any():
        return Range(histogram.minimum, histogram.maximum)
    cumulated = np.cumsum(counts / counts.sum())
    lower, upper = (float(histogram.edges[np.searchsorted(cumulated, q)]) for q in (0.25, 0.75))
    beyond = WHISKER * max(upper - lower, histogram.width)
    return _within(histogram, lower - beyond, upper + beyond)


def entropy_range(histogram: Histogram, bits: int) -> Range:
    """The symmetric range whose 2^bits levels lose the least information."""
    half = max((1 << bits) // 2, 1)
    start, end = least_divergence(histogram.counts, 2 * half)
    return _within(histogram, float(histogram.edges[start]), float(histogram.edges[end]))


def least_error_range(histogram: Histogram, bits: int) -> Range:
    """The range whose rounding and clipping together have the least squared error."""
    low, high = min(histogram.minimum, 0.0), max(histogram.maximum, 0.0)
    largest = max(-low, high)
    parts = np.linspace(1.0, _LEAST, _CANDIDATES)
    _, low, high = min(
        (
            quantization_error(histogram, max(low, -t), min(high, t), bits),
            max(low, -t),
            min(high, t),
        )
        for t in parts * largest
    )
    for move in (_raise_low, _lower_high, _raise_low):
        low, high = move(histogram, low, high, bits)
    return _within(histogram, low, high)


def _raise_low(histogram: Histogram, low: float, high: float, bits: int) -> tuple[float, float]:
    tried = np.linspace(min(histogram.minimum, 0.0), 0.0, _CANDIDATES)
    tried = tried[tried < high]
    return (_best(tried, lambda t: quantization_error(histogram, t, high, bits), low), high)


def _lower_high(histogram: Histogram, low: float, high: float, bits: int) -> tuple[float, float]:
    tried = np.linspace(0.0, max(histogram.maximum, 0.0), _CANDIDATES)
    tried = tried[tried > low]
    return (low, _best(tried, lambda t: quantization_error(histogram, low, t, bits), high))


def _best(tried: NDArray[np.float64], error: Callable[[float], float], before: float) -> float:
    """The best of what is tried, or what was before."""
    errors = [error(float(value)) for value in tried]
    if not errors or min(errors) >= error(before):
        return before
    return float(tried[int(np.argmin(errors))])


def trimmed_range(histogram: Histogram, bits: int) -> Range:
    """Give up the end whose loss costs less, as long as the squared error falls."""
    low, high = min(histogram.minimum, 0.0), max(histogram.maximum, 0.0)
    stride = (high - low) * _TRIM
    error = quantization_error(histogram, low, high, bits)
    while high - low > 2 * stride:
        raised, lowered = min(low + stride, 0.0), max(high - stride, 0.0)
        result = min(
            (quantization_error(histogram, raised, high, bits), raised, high),
            (quantization_error(histogram, low, lowered, bits), low, lowered),
        )
        if result[0] >= error:
            break
        error, low, high = result
    return _within(histogram, low, high)


def quantization_error(histogram: Histogram, low: float, high: float, bits: int) -> float:
    """Squared error of all values, rounded to 2^bits levels from low to high."""
    if not low < high:
        return np.inf
    levels = (1 << bits) - 1
    step = (high - low) / levels
    values = histogram.centers
    place = np.clip(np.rint((values - low) / step), 0, levels)
    return float((histogram.counts * np.square(values - (low + place * step))).sum())
