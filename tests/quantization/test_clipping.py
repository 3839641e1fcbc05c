"""Ranges narrower than what was seen."""

from __future__ import annotations

import pytest

from nnshell.ir.requests import Range
from nnshell.quantization.ranges.clipping import clipped_range
from nnshell.quantization.ranges.statistics import TensorStatistics
from nnshell.support.errors import QuantizationError

SEEN = TensorStatistics(-10.0, 20.0, mean=1.0, std=2.0, b=1.5)


@pytest.mark.parametrize(
    ("clip_type", "expected"),
    [
        ("none", Range(-10.0, 20.0)),
        ("std3", Range(-5.0, 7.0)),
        ("std5", Range(-9.0, 11.0)),
    ],
)
def test_deviations_around_the_mean_are_kept(clip_type: str, expected: Range) -> None:
    assert clipped_range(SEEN, clip_type, "conv") == expected


def test_a_clipped_range_stays_within_what_was_seen() -> None:
    for clip_type in ("laplace", "gaus", "mix", "std5"):
        narrow = TensorStatistics(-0.5, 0.5, mean=0.0, std=2.0, b=1.5)
        assert clipped_range(narrow, clip_type, "conv") == Range(-0.5, 0.5)


def test_mix_takes_the_distribution_that_fits_better() -> None:
    wide = TensorStatistics(-1e3, 1e3, mean=0.0, std=2.0, b=1.6)  # b of a normal: 0.8 std
    gauss, laplace = (clipped_range(wide, name, "conv") for name in ("gaus", "laplace"))
    assert clipped_range(wide, "mix", "conv") in (gauss, laplace)
    assert gauss.maximum == pytest.approx(2.0 * 3.92403714)
    assert laplace.maximum == pytest.approx(1.6 * 9.89675982)


def test_a_constant_tensor_keeps_its_range() -> None:
    flat = TensorStatistics(2.0, 2.0, mean=2.0, std=0.0, b=0.0)
    for clip_type in ("laplace", "gaus", "mix", "std3"):
        assert clipped_range(flat, clip_type, "conv") == Range(2.0, 2.0)


def test_moments_that_were_not_collected_are_asked_for() -> None:
    with pytest.raises(QuantizationError, match=r"--clip_type std3"):
        clipped_range(TensorStatistics(0.0, 1.0), "std3", "conv")
