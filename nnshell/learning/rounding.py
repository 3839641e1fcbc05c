"""Rounding that makes up for its own errors, from second moments of what a filter reads.

With x what the filter reads once everything before it is quantized, and y what it makes in float,
the best real weights are those of least squares, w = E[y x'] E[x x']^-1 (both centred: the bias
takes the means). They are rounded one tap after the other, and each error is spread over the taps
that are still free, in the direction that changes the outputs least:

    H = E[x x'],  U'U = H^-1;   e = (w_j - s q_j) / U_jj;   w_k -= e U_jk  for k > j

(E. Frantar et al., "GPTQ: accurate post-training quantization", 2023.) Needs numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nnshell.learning.rows import Matrix

# Of the mean second moment, added to all: taps that see nothing, and those of a filter with more
# taps than rows, stay as they are.
_DAMPING = 0.01
_SWEEPS = 3
_REACHES = np.linspace(1.0, 0.3, 29)  # of the largest weight, tried as the end of the scale


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Of a group of filters: moments of what it reads, the weights that fit best, the shift."""

    second: Matrix  # (taps, taps), damped
    weights: Matrix  # (filters, taps)
    mean_read: Matrix
    mean_wanted: Matrix  # (filters), without the bias


def moments(read: Matrix, wanted: Matrix, weights: Matrix) -> Moments:
    """From rows of what is read, (rows, taps), and of what is to come out, (rows, filters)."""
    mean_read, mean_wanted = read.mean(axis=0), wanted.mean(axis=0)
    centred = read - mean_read
    second = centred.T @ centred / len(read)
    mean = float(np.trace(second)) / len(second)
    damping = (_DAMPING + len(second) / len(read)) * mean + 1e-12
    cross = centred.T @ (wanted - mean_wanted) / len(read)
    damped = second + damping * np.eye(len(second))
    fitted = np.linalg.solve(damped, cross + damping * weights.T).T
    return Moments(damped, fitted, mean_read, mean_wanted)


def best_scale(of: Moments, scale: Matrix, limits: tuple[int, int], shared: bool) -> Matrix:
    """Scales, one for each filter, that leave the least error of the outputs.

    ``scale`` are those that reach the largest weights; ``shared``: one factor for all filters.
    """
    best, least = scale.copy(), np.full(len(scale), np.inf)
    for reach in _REACHES:
        tried = reach * scale
        error = output_error(of, tried[:, np.newaxis] * nearest(of.weights, tried, limits))
        if shared:
            error = np.full(len(scale), error.sum())
        better = error < least
        best, least = np.where(better, tried, best), np.where(better, error, least)
    return best


def nearest(weights: Matrix, scale: Matrix, limits: tuple[int, int]) -> Matrix:
    """Integers (filters, taps) nearest to weights over scale, halves up, within ``limits``."""
    integers: Matrix = np.clip(np.floor(weights / scale[:, np.newaxis] + 0.5), *limits)
    return integers


def output_error(of: Moments, weights: Matrix) -> Matrix:
    """Mean squared error of each filter's output, shift apart."""
    error = weights - of.weights
    return np.asarray(((error @ of.second) * error).sum(axis=1))


def compensated(of: Moments, scale: Matrix, limits: tuple[int, int]) -> Matrix:
    """Integers of the weights, (filters, taps), the taps that matter most rounded first."""
    order = np.argsort(-np.diag(of.second), kind="stable")
    inverse = np.linalg.inv(of.second[np.ix_(order, order)])
    spread = np.linalg.cholesky((inverse + inverse.T) / 2).T
    free, integers = of.weights[:, order].copy(), np.empty_like(of.weights)
    for place, tap in enumerate(order):
        result = np.clip(np.floor(free[:, place] / scale + 0.5), *limits)
        integers[:, tap] = result
        error = (free[:, place] - result * scale) / spread[place, place]
        free[:, place + 1 :] -= error[:, np.newaxis] * spread[place, place + 1 :]
    return integers


def settled(
    of: Moments, scale: Matrix, integers: Matrix, limits: tuple[int, int], shared: bool
) -> tuple[Matrix, Matrix]:
    """Scale and integers after sweeps that take each for the best, the other being given.

    No sweep makes the error of the outputs larger.
    """
    whole = integers.copy()
    for _ in range(_SWEEPS):
        scale = _fitted(of, scale, whole, shared)
        pull = (of.weights - scale[:, np.newaxis] * whole) @ of.second  # what is left to gain
        for tap in range(whole.shape[1]):
            wish = whole[:, tap] + pull[:, tap] / (scale * of.second[tap, tap])
            change = np.clip(np.floor(wish + 0.5), *limits) - whole[:, tap]
            whole[:, tap] += change
            pull -= (change * scale)[:, np.newaxis] * of.second[tap]
    return _fitted(of, scale, whole, shared), whole


def _fitted(of: Moments, scale: Matrix, integers: Matrix, shared: bool) -> Matrix:
    """The scale of least squares for given integers; the old one where there are none."""
    seen = integers @ of.second
    expected, power = (seen * of.weights).sum(axis=1), (seen * integers).sum(axis=1)
    if shared:
        expected, power = np.full_like(expected, expected.sum()), np.full_like(power, power.sum())
    usable = (expected > 0) & (power > 0)
    return np.where(usable, expected / np.where(usable, power, 1.0), scale)
