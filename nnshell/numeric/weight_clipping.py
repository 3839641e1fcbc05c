"""How far weights reach from 0 once their extremes are cut off for finer steps.

none        everything is kept
stdN        |mean| + N sigma
percentile  all but one in a thousand
laplace     Banner et al. 2019: the least expected squared error of a Laplace distribution
gaus        the same of a normal distribution
mse         the least squared error of these very weights, among 64 reaches
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WEIGHT_CLIPS = (
    *("none", "mse", "percentile", "std1", "std2", "std3", "std4", "std5"),
    *("laplace", "gaus"),
)

# Optimal reach by bits, in mean absolute deviations and in standard deviations (Banner et al.,
# "Post training 4-bit quantization of convolutional networks for rapid-deployment", 2019).
LAPLACE_REACH = dict(
    enumerate((2.83068299, 3.89722946, 5.02864014, 6.20476633, 7.41312622, 8.64561995), 2)
)
LAPLACE_REACH |= {8: 9.89675982, 9: 11.16268502}
GAUSS_REACH = dict(
    enumerate((1.71063519, 2.15159277, 2.55913646, 2.93620062, 3.28691474, 3.61511440), 2)
)
GAUSS_REACH |= {8: 3.92403714, 9: 4.21646260}
_KEPT = 99.9  # percent
_REACHES = 64  # that are tried, evenly from a fifth of the largest weight to all of it
_LEAST = 0.2


def clipped_reach(rows: NDArray[np.float32], clip: str, largest: int) -> NDArray[np.float32] | None:
    """Reach of each row, quantized to -``largest`` .. ``largest``; None when all is kept."""
    if clip == "none" or not rows.size:
        return None
    values = rows.astype(np.float64)
    most = np.abs(values).max(axis=1)
    reach = np.minimum(_reach(values, most, clip, largest), most)
    kept: NDArray[np.float32] = np.where(reach > 0, reach, most).astype(np.float32)
    return kept


def _reach(
    rows: NDArray[np.float64], most: NDArray[np.float64], clip: str, largest: int
) -> NDArray[Any]:
    if clip == "mse":
        return _least_error(rows, most, largest)
    if clip == "percentile":
        return np.asarray(np.percentile(np.abs(rows), _KEPT, axis=1))
    mean, sigma = rows.mean(axis=1), rows.std(axis=1)
    if clip.startswith("std"):
        return np.asarray(np.abs(mean) + int(clip[3:]) * sigma)
    bits = (largest + 1).bit_length()
    if clip == "gaus":
        return np.asarray(np.abs(mean) + GAUSS_REACH[bits] * sigma)
    deviation = np.abs(rows - mean[:, np.newaxis]).mean(axis=1)
    return np.asarray(np.abs(mean) + LAPLACE_REACH[bits] * deviation)


def _least_error(
    rows: NDArray[np.float64], most: NDArray[np.float64], largest: int
) -> NDArray[np.float64]:
    best, least = most.copy(), np.full(most.shape, np.inf)
    for part in np.linspace(1.0, _LEAST, _REACHES):
        step = np.where(most > 0, part * most / largest, 1.0)[:, np.newaxis]
        kept = np.clip(np.floor(rows / step + 0.5), -largest, largest) * step
        error = np.square(rows - kept).sum(axis=1)
        better = error < least
        best, least = np.where(better, part * most, best), np.where(better, error, least)
    return best
