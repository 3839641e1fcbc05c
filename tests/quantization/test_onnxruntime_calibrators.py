"""Observers and searches beside ONNX Runtime's own calibrators, on the same model and data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nnshell.quantization.ranges.entropy import least_divergence
from nnshell.quantization.ranges.histogram import StreamingHistogram
from nnshell.quantization.ranges.observers import (
    ChannelObserver,
    HistogramObserver,
    RunningExtremes,
)
from nnshell.quantization.ranges.search import entropy_range, percentile_range
from nnshell.quantization.ranges.statistics import TensorStatistics

calibrate = pytest.importorskip("onnxruntime.quantization.calibrate")

BINS = 512  # theirs slow down with more
CHANNELS = 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolution whose channels lie far apart: one around 0, one above it, one narrow."""
    random = np.random.default_rng(0)
    weights = random.normal(size=(CHANNELS, 2, 3, 3)) * [[[[1.0]]], [[[0.5]]], [[[0.05]]]]
    values = {"w": weights, "b": np.array([0.0, 4.0, -0.5])}
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w", "b"], ["y"])],
        "calibrated",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", CHANNELS, 6, 6])],
        [numpy_helper.from_array(v.astype(np.float32), name) for name, v in values.items()],
    )
    path = tmp_path_factory.mktemp("calibrators") / "conv.onnx"
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=opset), path)
    return path


@pytest.fixture(scope="module")
def batches() -> list[NDArray[np.float32]]:
    """The first holds the extremes: a histogram that grows has bins of another width."""
    random = np.random.default_rng(1)
    return [
        (random.normal(size=(16, 2, 8, 8)) * scale).astype(np.float32) for scale in (1.5, 1, 0.7)
    ]


def theirs(kind: str, model: Path, batches: list[Any], folder: Path, **options: Any) -> Any:
    class Reader(calibrate.CalibrationDataReader):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            self.left = [{"x": batch} for batch in batches]

        def get_next(self) -> Any:
            return self.left.pop(0) if self.left else None

    calibrater = getattr(calibrate, kind)(
        str(model), ["Conv"], str(folder / "augmented.onnx"), **options
    )
    calibrater.augment_graph()
    calibrater.create_inference_session()
    calibrater.collect_data(Reader())
    return calibrater.compute_data()["y"].range_value


def outputs(model: Path, batches: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return [session.run(["y"], {"x": batch})[0] for batch in batches]


def observed(observer: Any, values: list[NDArray[np.float32]]) -> Any:
    for batch in values:
        observer.update({"values": batch, "min": batch, "max": batch})
    return observer


def test_extremes_are_those_of_minmax(
    model: Path, batches: list[NDArray[np.float32]], tmp_path: Path
) -> None:
    low, high = theirs("MinMaxCalibrater", model, batches, tmp_path)
    found = observed(RunningExtremes(), outputs(model, batches)).result()
    assert [found.minimum, found.maximum] == pytest.approx([np.min(low), np.max(high)])


def test_extremes_of_channels_are_those_of_minmax_per_channel(
    model: Path, batches: list[NDArray[np.float32]], tmp_path: Path
) -> None:
    low, high = theirs("MinMaxCalibrater", model, batches, tmp_path, per_channel=True)
    found = observed(ChannelObserver(RunningExtremes), outputs(model, batches)).channels()
    assert [entry.minimum for entry in found] == pytest.approx(np.asarray(low).reshape(-1))
    assert [entry.maximum for entry in found] == pytest.approx(np.asarray(high).reshape(-1))


def close(found: Any, expected: Any, seen: TensorStatistics) -> bool:
    assert seen.histogram is not None
    ends = ((found.minimum, expected[0]), (found.maximum, expected[1]))
    return all(abs(a - float(b)) <= 1.01 * seen.histogram.width for a, b in ends)


def test_percentiles_are_asymmetric_as_theirs(
    model: Path, batches: list[NDArray[np.float32]], tmp_path: Path
) -> None:
    options = {"num_bins": BINS, "percentile": 99.0, "symmetric": False}
    expected = theirs("PercentileCalibrater", model, batches, tmp_path, **options)
    seen = observed(HistogramObserver(BINS), outputs(model, batches)).result()
    assert close(percentile_range(seen.histogram, 99.0), expected, seen)


def test_the_entropy_is_theirs(
    model: Path, batches: list[NDArray[np.float32]], tmp_path: Path
) -> None:
    options = {"num_bins": BINS, "num_quantized_bins": 128}
    expected = theirs("EntropyCalibrater", model, batches, tmp_path, **options)
    seen = observed(HistogramObserver(BINS), outputs(model, batches)).result()
    assert close(entropy_range(seen.histogram, 7), expected, seen)


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_histograms_of_channels_are_those_of_each_channel_alone(
    method: str, model: Path, batches: list[NDArray[np.float32]]
) -> None:
    values = outputs(model, batches)
    found = observed(ChannelObserver(lambda: HistogramObserver(BINS)), values).channels()
    for channel, seen in enumerate(found):
        collector = calibrate.HistogramCollector(method, False, BINS, 128, 99.0, "same")
        for batch in values:
            collector.collect({"y": [batch[:, channel]]})
        expected = collector.compute_collection_result()["y"][:2]
        search = percentile_range if method == "percentile" else entropy_range
        assert close(search(seen.histogram, 99.0 if method == "percentile" else 7), expected, seen)


@pytest.mark.parametrize("levels", [4, 16, 31])
@pytest.mark.parametrize("shape", ["normal", "one-sided", "sparse", "single"])
def test_the_search_finds_the_least_divergence_of_the_definition(shape: str, levels: int) -> None:
    random = np.random.default_rng(levels)
    values = random.normal(size=60 if shape == "sparse" else 4000).astype(np.float32)
    if shape == "single":
        values = np.full(100, 2.0, np.float32)
    stream = StreamingHistogram(128)
    stream.add(np.abs(values) if shape == "one-sided" else values)
    counts = stream.result().counts
    middle = counts.size // 2
    tried = [(middle - n, min(middle + n + 1, 128)) for n in range(max(levels // 2, 1), middle + 1)]
    losses = [divergence(counts, *entry, levels) for entry in tried]
    found = least_divergence(counts, levels)
    assert losses[tried.index(found)] <= min(losses) + 1e-9 or np.isinf(min(losses))


def divergence(counts: NDArray[np.int64], start: int, end: int, levels: int) -> float:
    """Bin by bin, as ONNX Runtime has it."""
    inside = counts[start:end]
    p, q = inside.astype(np.float64), np.zeros(inside.size)
    p[0] += counts[:start].sum()
    p[-1] += counts[end:].sum()
    width = inside.size // levels
    for level in range(levels):
        part = slice(level * width, (level + 1) * width)
        total = inside[level * width :].sum() if level == levels - 1 else inside[part].sum()
        used = int((p[part] != 0).sum())
        q[part] = total // used if used else 0
    smoothed = []
    for values in (p, q):
        empty = int((values == 0).sum())
        taken = 0.0001 * empty / (values.size - empty) if empty < values.size else 1.0
        if taken >= 1.0:
            return float("inf")
        values = np.where(values == 0, 0.0001, values - taken)
        smoothed.append(values / values.sum())
    return float((smoothed[0] * np.log(smoothed[0] / smoothed[1])).sum())
