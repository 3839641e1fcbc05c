"""Ranges searched in histograms, against numpy on the values themselves."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nnshell.ir.requests import Range
from nnshell.quantization.ranges.clipping import clipped_range
from nnshell.quantization.ranges.histogram import StreamingHistogram
from nnshell.quantization.ranges.statistics import TensorStatistics

_RANDOM = np.random.default_rng(11)
SAMPLES: dict[str, NDArray[np.float64]] = {
    "normal": _RANDOM.normal(size=20_000),
    "shifted": _RANDOM.normal(0.8, 1.0, 20_000),
    "heavy": _RANDOM.standard_t(2, 20_000),
    "relu": np.maximum(_RANDOM.normal(0.2, 1.0, 20_000), 0.0),
    "far from 0": np.concatenate([np.zeros(50), _RANDOM.normal(6.0, 0.3, 20_000)]),
    "far below": -np.concatenate([np.zeros(50), _RANDOM.normal(6.0, 0.3, 20_000)]),
    "one outlier": np.append(_RANDOM.uniform(-1, 1, 20_000), [40.0]),
}


def seen(values: NDArray[np.float64]) -> tuple[TensorStatistics, float]:
    """Statistics with a histogram, and the width of its bins."""
    stream = StreamingHistogram()
    for part in np.array_split(values.astype(np.float32), 5):
        stream.add(part)
    made = stream.result()
    return TensorStatistics(made.minimum, made.maximum, 0.0, 1.0, 1.0, made), made.width


def kept(values: NDArray[np.float64], clip_type: str, bits: int = 8) -> tuple[Range, float]:
    statistics, width = seen(values)
    return clipped_range(statistics, clip_type, "conv", bits), width


def error_of(values: NDArray[np.float64], low: float, high: float, bits: int) -> float:
    """Squared error of rounding to 2^bits values from low to high, both among them."""
    step = (high - low) / ((1 << bits) - 1)
    rounded = low + step * np.rint((np.clip(values, low, high) - low) / step)
    return float(np.square(rounded - values).mean())


@pytest.mark.parametrize("name", SAMPLES)
def test_whiskers_are_those_of_a_box_plot_of_what_is_not_0(name: str) -> None:
    """Quartiles, and one and a half times their distance, within what was seen."""
    values = SAMPLES[name]
    found, width = kept(values, "whiskers")
    lower, upper = np.percentile(values[np.abs(values) > width], (25, 75))
    reach = 1.5 * (upper - lower)
    expected = (max(lower - reach, values.min()), min(upper + reach, values.max()))
    assert (found.minimum, found.maximum) == pytest.approx(expected, abs=6 * width)


@pytest.mark.parametrize("clip_type", ["mse", "histogram"])
@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_searched_by_its_error_holds_0(name: str, clip_type: str) -> None:
    """A record's range does, so an end beyond 0 is an error that is not counted."""
    values = SAMPLES[name]
    for bits in (3, 5, 8):
        found, _ = kept(values, clip_type, bits)
        assert found.minimum <= max(values.min(), 0.0) + 1e-6
        assert found.maximum >= min(values.max(), 0.0) - 1e-6


@pytest.mark.parametrize("bits", [3, 4, 8])
@pytest.mark.parametrize("name", SAMPLES)
def test_the_least_error_is_the_least_of_ranges_tried_one_by_one(name: str, bits: int) -> None:
    values = SAMPLES[name]
    found, width = kept(values, "mse", bits)
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    grid = [(p * low, q * high) for p in np.linspace(0, 1, 21) for q in np.linspace(0, 1, 21)]
    tried = [error_of(values, *ends, bits) for ends in grid if ends[0] < ends[1]]
    reached = error_of(values, min(found.minimum, 0.0), max(found.maximum, 0.0), bits)
    assert reached <= 1.05 * min(tried) + width**2


@pytest.mark.parametrize("clip_type", ["percentile", "kth"])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("name", ["normal", "heavy", "relu"])
def test_shares_are_cut_off_on_each_side(name: str, bits: int, clip_type: str) -> None:
    """percentile: half of 0.001 % of all values; kth: 2^-(bits + 4)."""
    values = SAMPLES[name]
    found, width = kept(values, clip_type, bits)
    share = 0.001 / 100 / 2 if clip_type == "percentile" else 2.0 ** -(bits + 4)
    expected = np.quantile(values, (share, 1 - share), method="inverted_cdf")
    assert (found.minimum, found.maximum) == pytest.approx(tuple(expected), abs=1.5 * width)


@pytest.mark.parametrize("clip_type", ["percentile", "kth", "whiskers"])
@pytest.mark.parametrize("name", SAMPLES)
def test_a_mirrored_tensor_keeps_the_mirrored_range_to_some_bins(name: str, clip_type: str) -> None:
    found, width = kept(SAMPLES[name], clip_type, 6)
    other, _ = kept(-SAMPLES[name], clip_type, 6)
    assert found.minimum == pytest.approx(-other.maximum, abs=7 * width)
    assert found.maximum == pytest.approx(-other.minimum, abs=7 * width)
