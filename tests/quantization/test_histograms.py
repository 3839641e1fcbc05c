"""Histograms in bounded memory, and the ranges that are searched in them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nnshell.quantization.options import CLIP_TYPES, HISTOGRAM_CLIPS
from nnshell.quantization.ranges.clipping import clipped_range
from nnshell.quantization.ranges.histogram import Histogram, StreamingHistogram
from nnshell.quantization.ranges.observers import (
    ChannelObserver,
    HistogramObserver,
    RunningExtremes,
)
from nnshell.quantization.ranges.search import (
    entropy_range,
    kth_range,
    least_error_range,
    percentile_range,
    quantization_error,
    trimmed_range,
)
from nnshell.quantization.ranges.statistics import Statistics, TensorStatistics
from nnshell.support.errors import InputError

FLOATS = st.floats(-1e6, 1e6, width=32)


def histogram(*batches: NDArray[np.float32], bins: int = 2048) -> Histogram:
    stream = StreamingHistogram(bins)
    for batch in batches:
        stream.add(batch)
    return stream.result()


def normal(count: int = 20_000, seed: int = 0, scale: float = 1.0) -> NDArray[np.float32]:
    values: NDArray[np.float32] = np.random.default_rng(seed).normal(size=(4, count // 4)) * scale
    return values.astype(np.float32)


@given(st.lists(st.lists(FLOATS, min_size=1, max_size=20), min_size=1, max_size=8))
def test_no_value_is_lost_and_none_is_further_than_a_bin_from_where_it_is_counted(
    batches: list[list[float]],
) -> None:
    arrays = [np.array(batch, np.float32) for batch in batches]
    found, values = histogram(*arrays, bins=64), np.sort(np.concatenate(arrays))
    assert found.counts.size == 64
    assert found.total == values.size
    assert (found.minimum, found.maximum) == (values[0], values[-1])
    counted = np.repeat(found.centers, found.counts)
    assert np.abs(counted - values).max() <= found.width * (0.5 + 1e-6)


@pytest.mark.parametrize("bins", [2, 6, 64])
def test_a_larger_value_doubles_the_reach_and_keeps_zero_a_border(bins: int) -> None:
    small, large = np.array([-1.0, -0.6, 0.0, 0.3, 1.0]), np.array([-9.0])
    found = histogram(small.astype(np.float32), large.astype(np.float32), bins=bins)
    assert found.reach == 16.0
    assert found.counts[: bins // 2].sum() == 3
    assert found.counts[bins // 2 :].sum() == 3


def test_zeros_alone_are_counted_right_of_the_middle() -> None:
    found = histogram(np.zeros(5, np.float32), np.array([2.0], np.float32), bins=8)
    assert found.counts.tolist() == [0, 0, 0, 0, 5, 0, 0, 1]


def test_histograms_survive_json() -> None:
    entry = TensorStatistics(-3.0, 2.0, 0.0, 1.0, 0.8, histogram(np.float32([-3, 0, 1, 2])))
    again = Statistics.from_json(json.loads(json.dumps(Statistics({"a": entry}).to_json())))["a"]
    assert entry.histogram is not None and again.histogram is not None
    assert np.array_equal(again.histogram.counts, entry.histogram.counts)
    assert again.histogram.reach == entry.histogram.reach


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"reach": 1.0, "bins": 1 << 40, "first": 0, "counts": []},
        {"reach": 1.0, "bins": 8, "first": 7, "counts": [1, 2]},
        {"reach": 1.0, "bins": 8, "first": 0, "counts": [-1]},
        {"reach": float("nan"), "bins": 8, "first": 0, "counts": [1]},
        {"reach": 1.0, "bins": 8, "first": 0, "counts": [True]},
    ],
)
def test_histograms_that_are_none_are_refused(bad: object) -> None:
    with pytest.raises(InputError, match="histogram"):
        Statistics.from_json({"a": {"min": 0.0, "max": 1.0, "histogram": bad}})


def test_percentile_and_kth_are_the_quantiles_to_a_bin() -> None:
    values = normal()
    found, kth = percentile_range(histogram(values), 99.0), kth_range(histogram(values), 4)
    width = histogram(values).width
    assert found.minimum == pytest.approx(np.quantile(values, 0.005), abs=2 * width)
    assert found.maximum == pytest.approx(np.quantile(values, 0.995), abs=2 * width)
    assert kth.maximum == pytest.approx(np.quantile(values, 1 - 2.0**-8), abs=2 * width)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_least_error_is_that_of_an_exact_search(bits: int) -> None:
    values = normal(4000).reshape(-1)
    found = least_error_range(histogram(values), bits)
    best = min(
        exact_error(values, -t, t, bits) for t in np.linspace(0.2, 1, 200) * abs(values).max()
    )
    assert exact_error(values, found.minimum, found.maximum, bits) <= 1.02 * best


def exact_error(values: NDArray[np.float32], low: float, high: float, bits: int) -> float:
    levels = (1 << bits) - 1
    step = (high - low) / levels
    places = np.clip(np.rint((values - low) / step), 0, levels)
    return float(np.square(values - low - places * step).sum())


def test_trimming_never_makes_the_error_larger() -> None:
    found = histogram(np.append(normal(), np.float32(40.0)))
    kept = trimmed_range(found, 4)
    before = quantization_error(found, found.minimum, found.maximum, 4)
    assert quantization_error(found, kept.minimum, kept.maximum, 4) < before
    assert kept.maximum < 20


@pytest.mark.parametrize("clip_type", [*HISTOGRAM_CLIPS, "laplace", "gaus", "mix", "std2"])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_every_clip_type_keeps_a_part_of_what_was_seen(clip_type: str, bits: int) -> None:
    for values in (normal(), np.maximum(normal(), 0), np.full((2, 3), 1.5, np.float32)):
        observer = HistogramObserver()
        observer.update({"values": values})
        seen = observer.result()
        kept = clipped_range(seen, clip_type, "conv", bits)
        assert seen.minimum <= kept.minimum <= kept.maximum <= seen.maximum
        assert kept.minimum < kept.maximum or seen.minimum == seen.maximum


def test_a_histogram_that_was_not_collected_is_asked_for() -> None:
    assert "mse" in CLIP_TYPES
    with pytest.raises(Exception, match="--clip_type mse"):
        clipped_range(TensorStatistics(0.0, 1.0), "mse", "conv")


def test_channels_are_observed_one_by_one() -> None:
    values = np.stack([normal(40), 10 * normal(40, 1)], axis=1)
    observer = ChannelObserver(RunningExtremes)
    observer.update({"values": values})
    low, high = values.min(axis=(0, 2)), values.max(axis=(0, 2))
    assert [entry.minimum for entry in observer.channels()] == low.tolist()
    assert [entry.maximum for entry in observer.channels()] == high.tolist()
    assert observer.result().maximum == high.max()


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize("growing", [False, True])
def test_percentiles_are_those_of_onnxruntime_to_a_bin(rectified: bool, growing: bool) -> None:
    calibrate = pytest.importorskip("onnxruntime.quantization.calibrate")
    batches = streamed(rectified, growing)
    ours = histogram(*batches, bins=512)
    low, high = theirs(calibrate, "percentile", batches)
    found = percentile_range(ours, 99.9)
    assert found.minimum == pytest.approx(low, abs=1.01 * ours.width)
    assert found.maximum == pytest.approx(high, abs=1.01 * ours.width)


@pytest.mark.parametrize("rectified", [False, True])
def test_the_entropy_is_that_of_onnxruntime_to_a_bin(rectified: bool) -> None:
    """While the histogram need not grow: bins of another width have another divergence."""
    calibrate = pytest.importorskip("onnxruntime.quantization.calibrate")
    batches = streamed(rectified, growing=False)
    ours = histogram(*batches, bins=512)
    low, high = theirs(calibrate, "entropy", batches)
    found = entropy_range(ours, 7)
    assert found.minimum == pytest.approx(low, abs=1.01 * ours.width)
    assert found.maximum == pytest.approx(high, abs=1.01 * ours.width)


def streamed(rectified: bool, growing: bool) -> list[NDArray[np.float32]]:
    batches = [normal(8000, seed, scale) for seed, scale in ((0, 1.0), (1, 0.7), (2, 1.3))]
    batches = [np.maximum(batch, 0) for batch in batches] if rectified else batches
    return sorted(batches, key=lambda batch: float(np.abs(batch).max()), reverse=not growing)


def theirs(calibrate: Any, method: str, batches: list[NDArray[np.float32]]) -> tuple[float, float]:
    collector = calibrate.HistogramCollector(method, False, 512, 128, 99.9, "same")
    for batch in batches:
        collector.collect({"x": [batch]})
    low, high = (float(bound) for bound in collector.compute_collection_result()["x"][:2])
    return low, high
