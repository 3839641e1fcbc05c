"""What calibration collects, against numpy on the same tensors, whichever observer collects it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nnshell.execution.engines import tensor_keys
from nnshell.execution.float_engine import FloatEngine
from nnshell.ops.relu import Relu
from nnshell.quantization import Statistics, calibrate_graph
from nnshell.quantization.options import CLIP_TYPES
from nnshell.quantization.ranges.observers import ChannelObserver, RunningMoments

from .nets import Net

BATCHES = 3


def _graph_and_batches() -> tuple[Any, list[list[NDArray[Any]]]]:
    net = Net(2, 4, 5)
    net.node("relu", Relu(), net.conv("conv", net.x))
    generator = np.random.default_rng(3)
    batches = [
        [(generator.gamma(0.7, size=(4, 2, 4, 5)) - 0.4).astype(np.float32)] for _ in range(BATCHES)
    ]
    return net.output(), batches


def _by_numpy(tensor: NDArray[Any]) -> dict[str, float]:
    """The extremes of all samples; means over samples of their moments (population deviation)."""
    rows = tensor.reshape(len(tensor), -1).astype(np.float64)
    means = rows.sum(axis=1) / rows.shape[1]
    squares = ((rows - means[:, np.newaxis]) ** 2).sum(axis=1) / rows.shape[1]
    distances = np.abs(rows - means[:, np.newaxis]).sum(axis=1) / rows.shape[1]
    return {
        "minimum": rows.min(),
        "maximum": rows.max(),
        "mean": means.mean(),
        "std": np.sqrt(squares).mean(),
        "b": distances.mean(),
    }


def _entries(statistics: Statistics) -> dict[str, dict[str, float | None]]:
    names = ("minimum", "maximum", "mean", "std", "b")
    return {key: {n: getattr(statistics[key], n) for n in names} for key in statistics}


@pytest.mark.parametrize("clip_type", [name for name in CLIP_TYPES if name != "none"])
def test_every_clip_type_gets_the_moments_that_numpy_computes(clip_type: str) -> None:
    graph, batches = _graph_and_batches()
    statistics = calibrate_graph(graph, batches, clip_type=clip_type, everything=True)
    whole = np.concatenate([batch[0] for batch in batches])
    keys = [key for key in tensor_keys(graph) if key != "input_1"]
    tensors = {"input_1": whole, **FloatEngine(graph, keys, threads=1).run([whole])}
    entries = _entries(statistics)
    for key, tensor in tensors.items():
        assert entries[key] == pytest.approx(_by_numpy(tensor), rel=1e-4, abs=1e-6), key


def test_each_channel_has_the_moments_of_its_own_elements() -> None:
    values = np.random.default_rng(4).normal(2.0, 3.0, (6, 3, 4, 5)).astype(np.float32)
    observer = ChannelObserver(RunningMoments)
    for part in np.split(values, 2):
        observer.update({"values": part})
    for channel, entry in enumerate(observer.channels()):
        found = {name: getattr(entry, name) for name in ("minimum", "maximum", "mean", "std", "b")}
        assert found == pytest.approx(_by_numpy(values[:, channel]), rel=1e-5)
    assert observer.result().range.minimum == values.min()
    assert observer.result().range.maximum == values.max()
