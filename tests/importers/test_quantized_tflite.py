"""TFLite models that are quantized already, opened with their own quantization."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nnshell import flow
from nnshell.ir.graph import all_nodes
from nnshell.session.project import Project
from nnshell.state import load_state, save_state
from nnshell.support.errors import ModelError

from .tflite_files import TfliteModel, litert_outputs
from .tflite_nets import CASES, NONE, RELU, RELU6, SAME, pool, window_options

SIX = 6 / 255  # the scale that leaves a rectifier up to 6 nothing to do
Save = Callable[[TfliteModel], Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    return lambda net: net.save(tmp_path / "net.tflite")


class Quantized(TfliteModel):
    """A network under construction whose activations have scales; zero points are those of int8."""

    def __init__(self, dtype: str = "int8") -> None:
        super().__init__()
        self.dtype = dtype
        self.shift = 128 if dtype == "uint8" else 0
        self.draw = np.random.default_rng(3)

    def quantize(self, number: int, scale: float, zero_point: int) -> int:
        tensor = self.tensors[number]
        tensor.dtype, tensor.scale = self.dtype, [scale]
        tensor.zero_point = [zero_point + self.shift]
        return number

    def weights(self, *shape: int, steps: list[float]) -> int:
        """The largest of each filter is 127, as every converter leaves it."""
        values = self.draw.integers(-127, 128, shape)
        values.reshape(shape[0], -1)[:, 0] = 127
        values = (values + self.shift).astype(self.dtype)
        zero_points = [self.shift] * len(steps)
        return self.constant(values, "weights", scale=steps, zero_point=zero_points)

    def bias(self, size: int, steps: list[float]) -> int:
        values = self.draw.integers(-900, 900, size).astype(np.int32)
        return self.constant(values, "bias", scale=steps, zero_point=[0] * len(steps))


def network(
    *,
    dtype: str = "int8",
    per_channel: bool = True,
    activation: int = RELU,
    scale: float = SIX,
    dynamic: bool = False,
) -> Quantized:
    """Convolution, average, matrix: quantized as TensorFlow's converter does it."""
    net = Quantized(dtype)
    x = net.input(1, 6, 6, 3)
    steps = [float(step) for step in net.draw.uniform(0.004, 0.01, 4 if per_channel else 1)]
    shape = (1, 6, 6, 4)
    kernel = net.weights(4, 3, 3, 3, steps=steps)
    operands = [x, kernel, net.bias(4, [0.02 * step for step in steps])]
    window = window_options((1, 1), (1, 1), SAME, activation)
    first = net.op("CONV_2D", operands, shape, "Conv2DOptions", **window)
    pooled = pool(net, "AVERAGE_POOL_2D", first, (6, 6, 4), (6, 6), (6, 6), SAME)
    operands = [pooled, net.weights(5, 4, steps=[0.01]), net.bias(5, [0.01 * scale])]
    last = net.op("FULLY_CONNECTED", operands, (1, 5), "FullyConnectedOptions")
    if not dynamic:
        net.quantize(x, 0.02, -3)
        net.quantize(first, scale, -128)
        net.quantize(pooled, scale, -128)
        net.quantize(last, 0.05, 4)
    net.output(last)
    return net


def lowered(path: Path) -> Project:
    project = flow.open_graph(path, load_quantization=True)
    flow.adjust(project)
    flow.fuse(project, "scale8")
    return project


def integers(net: Quantized, count: int = 8) -> NDArray[Any]:
    low, high = (0, 256) if net.dtype == "uint8" else (-128, 128)
    return np.random.default_rng(5).integers(low, high, (count, 6, 6, 3)).astype(net.dtype)


@pytest.mark.parametrize("activation", [NONE, RELU, RELU6])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_results_are_those_of_litert_to_some_steps(dtype: str, activation: int, save: Save) -> None:
    pytest.importorskip("ai_edge_litert")
    net = network(dtype=dtype, per_channel=dtype == "int8", activation=activation)
    given = integers(net)
    expected = [litert_outputs(net.bytes(), [image[np.newaxis]])[0] for image in given]
    project = lowered(save(net))
    zero_point = -3 + net.shift
    real = (given.astype(np.float32) - zero_point) * 0.02
    found = flow.run(project, flow.load_inputs(real.transpose(0, 3, 1, 2)), "int8")["output_1"]
    record = project.graph.outputs[0].quantization.inputs[0]  # type: ignore[union-attr]
    theirs = 0.05 * (np.concatenate(expected).astype(np.float32) - net.shift - 4)
    steps = np.abs(theirs - record.dequantize(found)) / 0.05
    assert steps.max() <= 2 and steps.mean() < 0.7  # the scales differ: ours have no zero point


def test_ranges_and_weights_are_those_of_the_file(save: Save) -> None:
    net = network()
    project = flow.open_graph(save(net), load_quantization=True)
    assert project.graph.quantized
    known = project.statistics
    ranges = {name: (known[name].minimum, known[name].maximum) for name in known}
    assert ranges["input_1"] == pytest.approx((0.02 * -125, 0.02 * 130), rel=1e-6)
    assert ranges["FULLY_CONNECTED_0_2"] == pytest.approx((0.05 * -132, 0.05 * 123), rel=1e-6)
    record = project.graph["input_1"].quantization.outputs[0]  # type: ignore[union-attr]
    assert record.scale.item() == pytest.approx(0.02 * 130 / 127, rel=1e-6)
    assert record.zero_point == 0
    nodes = {name: node for name, node, _ in all_nodes(project.graph)}
    stored = [tensor for tensor in net.tensors if tensor.name == "weights"]
    filters = next(n for n in nodes.values() if n.type.shape == (4, 3, 3, 3))
    assert filters.quantization is not None
    assert np.array_equal(filters.quantization.kernel.values, stored[0].value)  # type: ignore[attr-defined]
    assert filters.quantization.outputs[0].scale.tolist() == pytest.approx(stored[0].scale)


def test_a_range_that_ends_at_0_is_a_rectifier(save: Save) -> None:
    """TensorFlow's converter leaves out the activation that the range implies."""
    project = flow.open_graph(save(network(activation=NONE)), load_quantization=True)
    kinds = [node.kind for node in project.graph.steps() if node.kind != "constant"]
    assert "relu" in " ".join(kinds)
    plain = flow.open_graph(save(network(activation=NONE)))
    assert "relu" not in " ".join(node.kind for node in plain.graph.steps())


def test_without_the_option_the_model_waits_for_a_calibration(save: Save) -> None:
    project = flow.open_graph(save(network()))
    assert not project.graph.quantized and not project.statistics
    flow.adjust(project)
    images = np.random.default_rng(1).normal(0, 1, (8, 3, 6, 6)).astype(np.float32)
    flow.quantize(project, flow.calibrate(project, flow.load_inputs(images)))
    assert project.graph["input_1"].quantization.outputs[0].scale.item() != pytest.approx(0.02)  # type: ignore[union-attr]


def test_a_calibration_replaces_the_ranges_of_the_file(save: Save) -> None:
    path = save(network(activation=RELU6))
    project, own = lowered(path), flow.open_graph(path)
    flow.adjust(own)
    flow.fuse(own, "scale8")
    images = flow.load_inputs(
        np.random.default_rng(1).normal(0, 1, (8, 3, 6, 6)).astype(np.float32)
    )
    results = []
    for case in (project, own):
        flow.quantize(case, flow.calibrate(case, images))
        results.append(flow.run(case, images, "int8")["output_1"])
    assert np.array_equal(*results)


def test_only_the_weights_quantized_is_refused_in_a_line(save: Save) -> None:
    path = save(network(dynamic=True))
    with pytest.raises(ModelError, match="only its weights are quantized") as caught:
        flow.open_graph(path, load_quantization=True)
    assert "aquant" in (caught.value.hint or "") and "\n" not in str(caught.value)
    flow.open_graph(path)


def test_a_model_without_quantization_is_opened_with_a_warning(
    save: Save, caplog: pytest.LogCaptureFixture
) -> None:
    project = flow.open_graph(save(CASES["conv_same"]()), load_quantization=True)
    assert not project.graph.quantized
    assert "net holds no quantization; quantize it with aquant" in caplog.text


def test_a_state_holds_no_ranges_and_reopens_to_the_same_integers(save: Save) -> None:
    project = lowered(save(network()))
    written = save_state(project)
    assert written.stat().st_size < 2000
    again = load_state(written, flow.REPLAY)
    images = flow.load_inputs(
        np.random.default_rng(1).normal(0, 1, (8, 3, 6, 6)).astype(np.float32)
    )
    first, second = (flow.run(p, images, "int8")["output_1"] for p in (project, again))
    assert np.array_equal(first, second)
