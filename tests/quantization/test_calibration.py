"""Calibration: what is seen, what is looked at, what is refused."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from nnshell.execution.float_engine import FloatEngine
from nnshell.ir.basic_operators import Reshape
from nnshell.ir.flat import flatten
from nnshell.ir.graph import Ref
from nnshell.ir.work import Window
from nnshell.ops.add import Add
from nnshell.ops.linear import Linear
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.relu import Relu, Relu6
from nnshell.ops.sigmoid import Sigmoid
from nnshell.ops.split import Split
from nnshell.quantization import Statistics, calibrate_graph, quantize_graph, random_batches
from nnshell.quantization.ranges import calibration
from nnshell.quantization.ranges.calibration import needed_items
from nnshell.quantization.ranges.observers import RunningMoments
from nnshell.quantization.ranges.statistics import TensorStatistics
from nnshell.support.errors import InputError

from .nets import PADDED, Net, conv_op, samples


def fused_net() -> Net:
    net = Net(2, 6, 6)
    y = net.fused(net.x, ("conv", conv_op()), ("relu", Relu()))
    z = net.fused(y, ("conv2", conv_op()), ("act", Relu6()))
    total = net.node("sum", Add(), y, z)
    net.output(net.linear("fc", net.node("flat", Reshape((72,)), total)))
    return net


def test_ranges_are_the_extremes_over_all_batches() -> None:
    graph = fused_net().graph
    (x,) = samples(graph, 12)
    stats = calibrate_graph(graph, [[x[:5]], [x[5:6]], [x[6:]]])
    assert stats.samples == 12
    keys = ["input_1", "conv_fusion/conv", "conv_fusion/relu", "conv2_fusion", "sum", "fc"]
    real = FloatEngine(graph, keys, threads=1).run([x])
    for key in keys:
        assert stats[key].maximum == pytest.approx(float(real[key].max()), rel=1e-6)
        if "relu" not in key:
            assert stats[key].minimum == pytest.approx(float(real[key].min()), rel=1e-6)


def test_a_relu_counts_from_zero() -> None:
    graph = fused_net().graph
    assert calibrate_graph(graph, [samples(graph)])["conv_fusion/relu"].minimum == 0.0


def test_a_sigmoid_is_seen_as_it_is_although_its_record_is_fixed() -> None:
    net = Net(2, 6, 6)
    net.output(net.node("gate", Sigmoid(), net.conv("conv", net.x)))
    (x,) = samples(net.graph)
    real = FloatEngine(net.graph, ["gate"], threads=1).run([x])["gate"]
    seen = calibrate_graph(net.graph, [[x]], everything=True)["gate"]
    assert 0 < seen.minimum == pytest.approx(float(real.min()), rel=1e-6)


def test_constants_and_fusions_have_entries() -> None:
    graph = fused_net().graph
    stats = calibrate_graph(graph, [samples(graph)])
    weights = graph.constant(graph["fc"].inputs[1])
    assert weights is not None
    assert stats["fc_weights"].maximum == float(weights.max())
    assert stats["conv_fusion"] == stats["conv_fusion/relu"]


def test_only_tensors_whose_range_matters_are_needed() -> None:
    needed = [item.path for item in needed_items(flatten(fused_net().graph))]
    assert needed == [
        "input_1",
        "conv_fusion/conv",
        "conv_fusion/relu",
        "conv2_fusion/conv2",
        "sum",
        "fc",
    ]


def test_what_a_padded_convolution_reads_is_needed() -> None:
    for kernel, pads in ((3, PADDED), (1, (0, 0, 0, 0))):
        net = Net(2, 6, 6)
        pool = net.node("pool", MaxPool(Window((2, 2), (2, 2))), net.conv("conv", net.x))
        net.output(net.node("gate", Sigmoid(), net.conv("next", pool, kernel=kernel, pads=pads)))
        needed = [item.path for item in needed_items(flatten(net.graph))]
        assert needed == ["input_1", "conv", *(["pool"] if any(pads) else []), "next"]


def test_needed_ranges_quantize_as_all_ranges_do() -> None:
    graph = fused_net().graph
    few = calibrate_graph(graph, [samples(graph)], everything=False)
    every = calibrate_graph(graph, [samples(graph)], everything=True)
    assert set(few) < set(every)
    quantize_graph(graph, few)
    first = {node.name: node.quantization for node in graph}
    quantize_graph(graph, every)
    for node in graph:
        for one, other in zip(
            first[node.name].outputs,  # type: ignore[union-attr]
            node.quantization.outputs,  # type: ignore[union-attr]
            strict=True,
        ):
            assert one.same_record(other)


def test_looking_at_everything_stops_when_samples_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibration, "EVERYTHING_SAMPLES", 4)
    graph = fused_net().graph
    x = samples(graph, 8)[0]
    assert "conv2_fusion/act" in calibrate_graph(graph, [[x[:2]], [x[2:4]]])
    many = calibrate_graph(graph, [[x[:2]], [x[2:4]], [x[4:]]])
    assert "conv2_fusion/act" not in many
    for key in ("sum", "conv_fusion/relu"):
        assert many[key] == calibrate_graph(graph, [[x]])[key]
        assert many[key] == calibrate_graph(graph, [[x[4:]], [x[:4]]])[key]


def test_moments_are_means_over_samples() -> None:
    graph = fused_net().graph
    (x,) = samples(graph, 6)
    stats = calibrate_graph(graph, [[x[:4]], [x[4:]]], clip_type="std3")
    real = FloatEngine(graph, ["fc"], threads=1).run([x])["fc"].reshape(6, -1).astype(np.float64)
    entry = stats["fc"]
    assert entry.mean == pytest.approx(real.mean(axis=1).mean(), abs=1e-5)
    assert entry.std == pytest.approx(real.std(axis=1).mean(), rel=1e-4)
    deviations = np.abs(real - real.mean(axis=1, keepdims=True)).mean(axis=1)
    assert entry.b == pytest.approx(deviations.mean(), rel=1e-4)
    assert stats["input_1"].std == pytest.approx(x.reshape(6, -1).std(axis=1).mean(), rel=1e-4)


def test_another_observer_sees_whole_tensors() -> None:
    class Median:
        reductions = ("values",)

        def __init__(self) -> None:
            self.seen: list[float] = []

        def update(self, reduced: dict[str, np.ndarray]) -> None:
            self.seen.append(float(np.median(np.abs(reduced["values"]))))

        def result(self) -> TensorStatistics:
            return TensorStatistics(-max(self.seen), max(self.seen))

    graph = fused_net().graph
    batch = samples(graph)
    stats = calibrate_graph(graph, [batch], observer=Median)
    real = FloatEngine(graph, ["fc"], threads=1).run(batch)["fc"]
    assert stats["fc"].maximum == pytest.approx(float(np.median(np.abs(real))))


def test_progress_counts_samples() -> None:
    graph = fused_net().graph
    x = samples(graph, 5)[0]
    done: list[int] = []
    calibrate_graph(graph, [[x[:3]], [x[3:]]], progress=done.append)
    assert done == [3, 2]


def test_no_samples_are_refused() -> None:
    with pytest.raises(InputError, match="no samples"):
        calibrate_graph(fused_net().graph, [])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused_by_input(value: float) -> None:
    graph = fused_net().graph
    x = samples(graph)[0]
    x[0, 0, 0, 0] = value
    with pytest.raises(InputError, match="input input_1"):
        calibrate_graph(graph, [[x]])


@pytest.mark.filterwarnings("error")
def test_numbers_at_the_edge_of_float32_are_counted_or_refused() -> None:
    net = Net(2, 6, 6)
    net.output(net.node("relu", Relu(), net.x))
    (x,) = samples(net.graph)
    largest = np.full_like(x, np.finfo(np.float32).max)
    stats = calibrate_graph(net.graph, [[largest]])
    assert stats["input_1"].maximum == np.finfo(np.float32).max
    with pytest.raises(InputError, match="beyond float32"):
        calibrate_graph(net.graph, [[largest.astype(np.float64) * 10]])


def test_samples_of_another_shape_are_refused() -> None:
    graph = fused_net().graph
    with pytest.raises(InputError, match="2x6x6"):
        calibrate_graph(graph, [[np.zeros((1, 3, 6, 6), np.float32)]])


def test_saturated_layers_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    graph = fused_net().graph
    with caplog.at_level(logging.WARNING):
        calibrate_graph(graph, [[1e4 * np.abs(samples(graph)[0])]])
    assert any("conv2_fusion/act" in message for message in caplog.messages)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        calibrate_graph(graph, [samples(graph)])
    assert caplog.messages == []


def test_a_rectifier_that_never_fires_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    net = Net(4)
    w, b = net.constant("w", np.eye(4)), net.constant("b", [-100.0] * 4)
    graph = net.output(net.node("relu", Relu(), net.node("fc", Linear(), net.x, w, b)))
    with caplog.at_level(logging.WARNING):
        calibrate_graph(graph, [samples(graph)])
    assert caplog.messages == [
        "relu: no activation was ever above 0; are the inputs scaled as in training?"
    ]


def test_a_known_number_of_samples_decides_at_once_what_to_look_at() -> None:
    graph = fused_net().graph
    batch = samples(graph)
    assert "conv2_fusion/act" in calibrate_graph(graph, [batch], samples=8)
    assert "conv2_fusion/act" not in calibrate_graph(graph, [batch], samples=10_000)


def test_random_samples_repeat_with_the_seed_and_follow_their_scale() -> None:
    graph = fused_net().graph
    first = [batch[0] for batch in random_batches(graph, num_inference=3, seed=4)]
    again = [batch[0] for batch in random_batches(graph, num_inference=3, seed=4)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
    (uniform,) = random_batches(graph, uniform=2.0)
    assert np.abs(uniform[0]).max() <= 2.0
    assert np.abs(uniform[0]).max() > 1.0
    assert isinstance(calibrate_graph(graph, random_batches(graph)), Statistics)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(InputError, match="seed"):
        list(random_batches(fused_net().graph, seed=-1))


def test_moments_observer_keeps_extremes_too() -> None:
    observer = RunningMoments()
    one = np.array([1.0])
    observer.update({"min": one, "max": 3 * one, "mean": one, "std": one, "b": one})
    assert observer.result() == TensorStatistics(1.0, 3.0, 1.0, 1.0, 1.0)


def test_outputs_of_one_node_have_ranges_of_their_own() -> None:
    net = Net(2, 6, 6)
    parts = net.node("parts", Split(0, (1, 1)), net.x).node
    graph = net.output(net.conv("a", Ref(parts, 0)), net.conv("b", Ref(parts, 1)))
    (x,) = samples(graph, 8)
    x[:, 1] *= 7
    for everything in (True, False):
        stats = calibrate_graph(graph, [[x]], everything=everything)
        assert Statistics.from_json(stats.to_json()) == Statistics(stats.tensors)
        assert [entry.maximum for entry in stats["parts"].outputs] == [
            pytest.approx(float(x[:, index].max())) for index in range(2)
        ]
        quantize_graph(graph, stats)
        made = graph["b"].quantization  # the larger one, which serves both
        assert made is not None
        seen = max(-x[:, 1].min() / 128, x[:, 1].max() / 127)
        assert made.inputs[0].first_scale == pytest.approx(float(seen), rel=1e-5)
