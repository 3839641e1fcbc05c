"""How values are spread: figures against numpy, pictures of characters against the figures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnshell
from nnshell.reports.distribution_tables import distribution_table
from nnshell.reports.distributions import BINS, SIGMAS, distribution, shown_bins
from nnshell.reports.text_histogram import text_histogram
from nnshell.session.studies import activation_notes
from nnshell.support.errors import QuantizationError

NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)


def lenet() -> Any:
    project = nnshell.open_graph("sample:lenet")
    nnshell.adjust(project)
    return project


@pytest.fixture(scope="module")
def spread() -> dict[str, Any]:
    project = lenet()
    images = nnshell.load_inputs("sample:test", norm="x: x/128-1", limit=40)
    tensors = nnshell.run(project, images)
    entries = nnshell.activations(project, images)
    return {entry.name: (entry, np.asarray(tensors[entry.name], np.float64)) for entry in entries}


def test_figures_of_activations_are_those_of_numpy(spread: dict[str, Any]) -> None:
    assert {"_Relu", "_conv1_Conv", "input_1"} <= set(spread)
    for entry, values in spread.values():
        assert entry.count == values.size
        assert (entry.minimum, entry.maximum) == (values.min(), values.max())
        assert entry.mean == pytest.approx(values.mean(), abs=1e-6)
        assert entry.sigma == pytest.approx(values.std(), rel=1e-6)
        assert entry.zeros == pytest.approx((values == 0).mean())
        for share, number in zip(entry.outside, SIGMAS, strict=True):
            exact = (np.abs(values - values.mean()) > number * values.std()).mean()
            assert share == pytest.approx(exact, abs=0.004)  # a bin of 4,096 is cut
        assert sum(entry.histogram) == values.size and len(entry.histogram) == BINS
        counts = np.histogram(values, BINS, (values.min(), values.max()))[0]
        below = np.cumsum(counts) - np.cumsum(entry.histogram)
        assert np.abs(below[:-1]).max() <= max(0.03 * values.size, (values == 0).sum())


def test_integers_reach_as_far_as_their_scale_says() -> None:
    project = lenet()
    nnshell.quantize(project, nnshell.calibrate_randomly(project))
    images = nnshell.load_inputs("sample:test", norm="x: x/128-1", limit=4)
    entries = {entry.name: entry for entry in nnshell.activations(project, images)}
    record = project["_conv1_Conv"].quantization.output
    low, high = entries["_conv1_Conv"].representable
    assert (low, high) == pytest.approx(record.dequantize(np.array([-128, 127])).tolist())
    weights = nnshell.weights(project, "_conv1_Conv_weights")[0]
    assert weights.representable[1] == pytest.approx(
        127 * project["_conv1_Conv_weights"].quantization.output.scale.max()
    )


def test_layers_that_were_moved_by_fusions_are_named() -> None:
    project = lenet()
    assert activation_notes(project) == ("before fusions: the layers as in the model file",)
    nnshell.fuse(project, "scale8")
    head, *moved = activation_notes(project)
    assert head.startswith("after fusions: 4 fused nodes")
    assert [note.split(":")[0] for note in moved] == [
        "moved _pool_MaxPool before _Relu",
        "moved _pool_1_MaxPool before _Relu_1",
    ]


@given(NUMBERS)
@settings(max_examples=40, deadline=None)
def test_joining_bins_loses_no_value(values: list[float]) -> None:
    entry = distribution(0, "w", np.array(values))
    counts = shown_bins(entry.histogram, entry.count)
    assert sum(counts) == len(values) and 8 <= len(counts) <= BINS


@given(NUMBERS, st.integers(20, 140))
@settings(max_examples=40, deadline=None)
def test_a_picture_of_characters_fits_and_marks_mean_and_sigma(
    values: list[float], width: int
) -> None:
    entry = distribution(0, "w", np.array(values)).as_histogram()
    lines = text_histogram(entry, width)
    bars, axis = lines[1:9], lines[9]
    assert all(len(line) <= max(width, 26) for line in (*bars, axis))
    assert "m" in axis and any("█" in line for line in bars)
    if entry.sigma > 1e-3 * max(1.0, abs(entry.mean)) and math.isfinite(entry.sigma):
        assert axis.count("3") == 2 and axis.index("3") < axis.index("m") < axis.rindex("3")


def test_three_sigma_comes_first(spread: dict[str, Any]) -> None:
    entries = [entry for entry, _ in spread.values()]
    table = distribution_table("t", entries)
    keys = [column.machine_name for column in table.columns]
    order = [keys.index(f"outside_{number}_sigma") for number in (3, 1, 2, 5)]
    assert order == sorted(order) and keys.index("sigma") < order[0]
    (plot,) = table.plots
    assert [entry.name for entry in plot.entries] == [entry.name for entry in entries]  # type: ignore[union-attr]


def test_a_calibration_keeps_what_its_clip_type_needed() -> None:
    project = lenet()
    with pytest.raises(QuantizationError, match="no calibration"):
        nnshell.kept_activations(project)
    images = nnshell.load_inputs("sample:test", norm="x: x/128-1", limit=40)
    nnshell.quantize(project, nnshell.calibrate(project, images))
    ranges = {entry.name: entry for entry in nnshell.kept_activations(project)}
    assert not any(entry.histogram for entry in ranges.values())
    table = distribution_table("kept", list(ranges.values()))
    assert "nan" not in str(table.rows) and len(table.rows) == len(ranges)
    nnshell.quantize(project, nnshell.calibrate(project, images, clip_type="mse"))
    kept = {entry.name: entry for entry in nnshell.kept_activations(project)}
    measured = {entry.name: entry for entry in nnshell.activations(project, images)}
    assert set(kept) <= set(measured) and "_Relu" in kept
    for name, entry in kept.items():
        other = measured[name]
        assert (entry.minimum, entry.maximum) == pytest.approx((other.minimum, other.maximum))
        assert entry.sigma == pytest.approx(other.sigma, rel=0.01)
        assert entry.histogram == other.histogram and entry.count == other.count
