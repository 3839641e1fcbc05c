"""Clip types that assume a distribution: near the least error that any reach has on it.

The error is measured on the distribution's own quantiles with a plain rounder, which knows nothing
of the published factors; so a wrong factor, or one for other bits, shows.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nnshell.ir.requests import Range
from nnshell.quantization.options import MOMENT_CLIPS
from nnshell.quantization.ranges.clipping import clipped_range
from nnshell.quantization.ranges.statistics import TensorStatistics

_COUNT = 4001
_PLACES = (np.arange(_COUNT) + 0.5) / _COUNT
NORMAL = np.array([NormalDist().inv_cdf(place) for place in _PLACES])
LAPLACE = -np.sign(_PLACES - 0.5) * np.log1p(-2 * np.abs(_PLACES - 0.5))
DISTRIBUTIONS = {"gaus": NORMAL, "laplace": LAPLACE}
CLOSE = 1.1  # times the least error


def error_of(values: NDArray[np.float64], kept: Range, bits: int) -> float:
    """Mean squared error of values rounded to the middles of 2^bits cells of a range."""
    step = (kept.maximum - kept.minimum) / (1 << bits)
    cells = np.clip(np.floor((values - kept.minimum) / step), 0, (1 << bits) - 1)
    return float(np.square(kept.minimum + (cells + 0.5) * step - values).mean())


def least_error(values: NDArray[np.float64], bits: int, *, one_sided: bool) -> float:
    reaches = np.linspace(0.05, 1.0, 200) * np.abs(values).max()
    lows = (0.0 if one_sided else -reach for reach in reaches)
    return min(
        error_of(values, Range(low, reach), bits) for low, reach in zip(lows, reaches, strict=True)
    )


def statistics_of(values: NDArray[np.float64]) -> TensorStatistics:
    mean = float(values.mean())
    deviation = float(np.abs(values - mean).mean())
    low, high = float(values.min()), float(values.max())
    return TensorStatistics(low, high, mean, float(values.std()), deviation)


@pytest.mark.parametrize("scale", [1.0, 0.02])
@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_reach_of_a_distribution_has_about_the_least_error(
    name: str, bits: int, scale: float
) -> None:
    values = scale * DISTRIBUTIONS[name]
    kept = clipped_range(statistics_of(values), name, "conv", bits)
    assert error_of(values, kept, bits) <= CLOSE * least_error(values, bits, one_sided=False)


@pytest.mark.parametrize("bits", range(2, 8))
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_one_half_of_a_distribution_is_kept_with_a_bit_more(name: str, bits: int) -> None:
    """What a relu leaves of it: the lower half of the values is 0."""
    values = np.maximum(DISTRIBUTIONS[name], 0.0)
    kept = clipped_range(statistics_of(values), name, "relu", bits)
    assert kept.minimum == values.min()
    kept, values = Range(0.0, kept.maximum), values[values > 0]  # 0 is exact
    assert error_of(values, kept, bits) <= CLOSE * least_error(values, bits, one_sided=True)


def expected_error(values: NDArray[np.float64], reach: float, bits: int) -> float:
    """Of clipping at +-reach, and of rounding to the middles of 2^bits cells (Banner et al.)."""
    clipped = np.square(np.maximum(np.abs(values) - reach, 0.0)).mean()
    return float(clipped + (2 * reach / (1 << bits)) ** 2 / 12)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_mix_takes_the_distribution_with_the_smaller_expected_error(bits: int) -> None:
    """The mean absolute deviation in standard deviations: 0.71 of a Laplace, 0.8 of a normal."""
    for ratio in np.arange(0.4, 1.0, 0.01):
        seen = TensorStatistics(-1e3, 1e3, 0.0, 2.0, 2.0 * ratio)
        kept = {name: clipped_range(seen, name, "c", bits) for name in ("gaus", "laplace")}
        errors = {
            "gaus": expected_error(2.0 * NORMAL, kept["gaus"].maximum, bits),
            "laplace": expected_error(2.0 * ratio * LAPLACE, kept["laplace"].maximum, bits),
        }
        if max(errors.values()) > 1.05 * min(errors.values()):
            better = kept[min(errors, key=errors.__getitem__)]
            assert clipped_range(seen, "mix", "c", bits) == better, ratio


@given(st.floats(-50, 50), st.floats(0.01, 9), st.floats(0.01, 1), st.sampled_from(MOMENT_CLIPS))
def test_a_mirrored_tensor_keeps_the_mirrored_range(
    mean: float, std: float, share: float, clip_type: str
) -> None:
    b, reach = std * share, 20 * std
    seen = TensorStatistics(mean - reach, mean + 1.5 * reach, mean, std, b)
    mirrored = TensorStatistics(-seen.maximum, -seen.minimum, -mean, std, b)
    kept, other = (clipped_range(entry, clip_type, "c") for entry in (seen, mirrored))
    assert (kept.minimum, kept.maximum) == pytest.approx((-other.maximum, -other.minimum))
