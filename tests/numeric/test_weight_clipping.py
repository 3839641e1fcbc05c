"""How far weights are kept: the formulas by hand, and what holds for all clip types."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nnshell.numeric.weight_clipping import (
    GAUSS_REACH,
    LAPLACE_REACH,
    WEIGHT_CLIPS,
    clipped_reach,
)

ROWS = arrays(np.float32, (3, 7), elements=st.floats(-4, 4, width=32))


@given(ROWS, st.sampled_from(WEIGHT_CLIPS), st.sampled_from([127, 7, 1]))
def test_weights_and_mirrored_weights_reach_equally_far(
    rows: NDArray[np.float32], clip: str, largest: int
) -> None:
    reach, other = clipped_reach(rows, clip, largest), clipped_reach(-rows, clip, largest)
    if reach is None or other is None:
        assert reach is other and clip == "none"
        return
    if clip != "mse":  # rounds halves up
        np.testing.assert_allclose(reach, other, rtol=1e-5)
    assert (reach <= np.abs(rows).max(axis=1)).all()


@given(ROWS, st.integers(1, 5))
def test_std_of_weights_keeps_the_mean_and_so_many_deviations(
    rows: NDArray[np.float32], count: int
) -> None:
    reach = clipped_reach(rows, f"std{count}", 127)
    assert reach is not None
    for row, kept in zip(rows.astype(np.float64), reach, strict=True):
        mean = sum(row) / row.size
        deviation = math.sqrt(sum((value - mean) ** 2 for value in row) / row.size)
        most = max(abs(row))
        wide = min(abs(mean) + count * deviation, most)
        assert kept == pytest.approx(wide or most, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("shift", [-0.7, 0.0, 0.4])
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
def test_reaches_of_distributions_are_those_of_their_bits(bits: int, shift: float) -> None:
    """|mean| and so many deviations about the mean, whatever side the mean is on."""
    row = np.random.default_rng(1).standard_t(3, (1, 400)).astype(np.float32) * 5 + np.float32(
        shift
    )
    values = [float(value) for value in row[0]]
    mean = sum(values) / len(values)
    distances = [abs(value - mean) for value in values]
    sigma = math.sqrt(sum(distance**2 for distance in distances) / len(values))
    largest = (1 << (bits - 1)) - 1
    expected = {
        "gaus": abs(mean) + GAUSS_REACH[bits] * sigma,
        "laplace": abs(mean) + LAPLACE_REACH[bits] * sum(distances) / len(values),
        "percentile": float(np.quantile(np.abs(row), 0.999)),
    }
    for clip, reach in expected.items():
        kept = clipped_reach(row, clip, largest)
        assert kept == pytest.approx([min(reach, max(map(abs, values)))], rel=1e-4), clip


@pytest.mark.parametrize("largest", [1, 3, 7, 127])
def test_mse_of_weights_is_the_best_of_all_reaches(largest: int) -> None:
    rows = np.random.default_rng(0).laplace(0.1, 1.0, (4, 300)).astype(np.float32)
    reach = clipped_reach(rows, "mse", largest)
    assert reach is not None

    def error(row: NDArray[np.float32], kept: float) -> float:
        step = kept / largest
        return float(np.square(np.clip(np.rint(row / step), -largest, largest) * step - row).sum())

    for row, kept in zip(rows, reach, strict=True):
        tried = np.linspace(0.2, 1.0, 64) * np.abs(row).max()
        assert error(row, float(kept)) <= 1.001 * min(error(row, float(t)) for t in tried)
