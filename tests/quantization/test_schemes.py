"""The scheme POW2 over whole graphs, alone and mixed with SQ8."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from nnshell import flow
from nnshell.execution.fast_engine import FastEngine
from nnshell.execution.float_engine import FloatEngine
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.execution.metrics import compare_arrays
from nnshell.inputs.binding import Images
from nnshell.ir.graph import Graph, all_nodes
from nnshell.ir.verify import verify
from nnshell.ops.exp import Exp
from nnshell.ops.global_pool import GlobalAveragePool
from nnshell.quantization import QuantizationOptions, calibrate_graph, quantize_graph
from nnshell.session import edits, studies
from nnshell.session.project import Project
from nnshell.support.errors import QuantizationError

from .nets import Net, samples
from .test_random_nets import random_net

SEEDS = range(24)
BOUNDED_BY_TABLES = {"sigmoid", "tanh", "leaky"}  # no better at 16 bits
TEST_IMAGES = flow.load_inputs("sample:test", norm="x: x/128-1", limit=6)


def _schemes(graph: Graph, random: Random) -> dict[str, dict[str, object]]:
    """Another scheme, and another width, for some of the nodes that compute."""
    names = [node.name for node in graph if node.inputs and not node.op.boundary]
    chosen = random.sample(names, len(names) // 3)
    return {name: {"scheme": "SQ8"} for name in chosen} | {
        name: {"bits": random.choice((8, 16, 16))} for name in names if name not in chosen
    }


def _agree(graph: Graph, batch: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The reference's integers, which the fast engine must give as well."""
    reference = IntegerEngine(graph, "chip")
    expected = reference.run(batch)
    found = FastEngine(graph, reference.keys, "chip").run(batch)
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key], values, key)
    return expected


@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks_in_16_bits_stay_close_to_float(seed: int) -> None:
    graph = random_net(Random(seed))
    batch = samples(graph, 16, seed)
    statistics = calibrate_graph(graph, [batch], everything=True)
    quantize_graph(graph, statistics, QuantizationOptions(scheme="POW2"))
    verify(graph)
    results = _agree(graph, batch)
    kinds = {node.kind for _, node, _ in all_nodes(graph)}
    for key in (node.name for node in graph.outputs):
        record = graph[key].quantization
        assert record is not None
        real = record.output.dequantize(results[key])
        quality = compare_arrays(FloatEngine(graph, [key]).run(batch)[key], real)
        assert quality.qsnr_db > (20.0 if kinds & BOUNDED_BY_TABLES else 50.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_mixtures_of_schemes_and_widths_are_right(seed: int) -> None:
    random = Random(seed)
    graph = random_net(random)
    batch = samples(graph, 16, seed)
    statistics = calibrate_graph(graph, [batch], everything=True)
    options = QuantizationOptions(scheme="POW2", nodes=_schemes(graph, random))
    try:
        quantize_graph(graph, statistics, options)
    except QuantizationError as error:
        assert "more integer bits than 8-bit" in error.message
        return
    verify(graph)
    results = _agree(graph, batch)
    for node in graph:
        if node.op.boundary or not node.inputs or node.quantization is None:
            continue
        if not (node.op.made_by_quantizer or node.op.copies):
            expected = options.for_node(node.name).scheme
            assert node.quantization.scheme == expected, node.name
        fixed = {record.fixed_point for record in node.quantization.inputs}
        assert len(fixed) == 1 or node.op.made_by_quantizer, node.name
    for key in (node.name for node in graph.outputs):
        record = graph[key].quantization
        assert record is not None
        real = record.output.dequantize(results[key])
        assert compare_arrays(FloatEngine(graph, [key]).run(batch)[key], real).qsnr_db > 8.0


def _sample_network(options: QuantizationOptions) -> Project:
    project = flow.open_graph("sample:lenet")
    flow.adjust(project)
    flow.fuse(project, "pow2")
    calibration = flow.load_inputs("sample:calibration", norm="x: x/128-1", limit=20)
    flow.quantize(project, flow.calibrate(project, calibration), options)
    return project


def _worst(project: Project, images: Images = TEST_IMAGES) -> float:
    return min(entry.qsnr_db for entry in flow.compare(project, images, inner=False))


def test_16_bits_lose_nothing_that_counts_on_the_sample_network() -> None:
    assert _worst(_sample_network(QuantizationOptions(scheme="POW2"))) > 60.0
    assert _worst(_sample_network(QuantizationOptions(scheme="POW2", bits=8))) > 25.0


@pytest.mark.parametrize("step", ["_conv1_Conv_fusion", "_fc1_Gemm_fusion", "_fc3_Gemm"])
@pytest.mark.parametrize(("scheme", "other"), [("SQ8", "pow2"), ("POW2", "scaled")])
def test_a_node_in_another_scheme_has_quantize_nodes_around_it(
    step: str, scheme: str, other: str
) -> None:
    project = _sample_network(QuantizationOptions(scheme=scheme))
    edits.tune(project, {step: {"scheme": other}})
    quantization = project.graph[step].quantization
    assert quantization is not None
    assert quantization.scheme == ("POW2" if other == "pow2" else "SQ8")
    for node in (node for node in project.graph if node.op.made_by_quantizer):
        assert node.quantization is not None
        assert node.quantization.input.fixed_point is not node.quantization.output.fixed_point
    assert _worst(project) > 20.0


def test_a_state_brings_back_schemes_and_widths(tmp_path: Path) -> None:
    project = _sample_network(QuantizationOptions(scheme="POW2", pow2_biases=32))
    edits.tune(project, {"_conv2_Conv_fusion": {"bits": 8}, "_fc3_Gemm": {"scheme": "SQ8"}})
    again = flow.open_graph(flow.save_state(project, tmp_path / "state.json"))
    batch = flow.run(project, TEST_IMAGES, "reference")
    for key, values in flow.run(again, TEST_IMAGES, "reference").items():
        np.testing.assert_array_equal(values, batch[key])
    record = again.graph["_conv2_Conv_fusion"].quantization
    assert record is not None
    assert [r.dtype for r in record.inputs] == ["int16", "int8", "int32"]


def test_a_range_beyond_the_integer_bits_is_refused_by_name() -> None:
    net = Net(2, 4, 4)
    x = net.conv("conv", net.x)
    graph = net.output(x)
    batch = [200.0 * array for array in samples(graph, 16, 1)]
    statistics = calibrate_graph(graph, [batch], everything=True)
    with pytest.raises(QuantizationError, match="more integer bits than 8-bit") as caught:
        quantize_graph(graph, statistics, QuantizationOptions(scheme="POW2", bits=8))
    assert "node" in caught.value.where
    assert not graph.quantized


def test_what_the_model_does_not_mean_is_said(caplog: pytest.LogCaptureFixture) -> None:
    net = Net(2, 12, 12)
    graph = net.output(net.node("mean", GlobalAveragePool(), net.x))
    batch = [np.ones((1, 2, 12, 12), np.float32)]
    quantize_graph(graph, calibrate_graph(graph, [batch]), QuantizationOptions(scheme="POW2"))
    assert "mean: its products exceed 32 bits" in caplog.text
    real = {}
    for target in ("simulation", "chip"):
        engine = IntegerEngine(graph, target)
        real[target] = engine.record("mean").dequantize(engine.run(batch)["mean"])
    assert np.abs(real["simulation"] - 1.0).max() > 0.1
    assert np.abs(real["chip"] - 1.0).max() < 1e-3
    caplog.clear()
    quantize_graph(graph, calibrate_graph(graph, [batch]), QuantizationOptions(scheme="SQ8"))
    assert not caplog.text


@pytest.mark.parametrize("study", [studies.sensitivity, studies.adaround, studies.correct_biases])
def test_what_is_for_sq8_alone_says_so(study: Any) -> None:
    project = _sample_network(QuantizationOptions(scheme="POW2"))
    with pytest.raises(QuantizationError, match="is for SQ8"):
        study(project, TEST_IMAGES)


@pytest.mark.parametrize(
    ("norm", "pixel", "between"),
    [
        ("shift_int8", (1 / 256, 0.0), 0),
        ("offset_int8", (1 / 128, -1.0), 0),
        ("offset_int8", (1 / 100, -1.0), 1),
    ],
)
def test_pixels_of_a_formatter_keep_their_meaning(
    norm: str, pixel: tuple[float, float], between: int
) -> None:
    project = flow.open_graph("sample:lenet")
    flow.adjust(project)
    flow.fuse(project, "pow2")
    edits.image_format(project, "input_1", "rgb888", norm, pixel=pixel)
    images = flow.load_inputs("sample:calibration", limit=8)
    statistics = flow.calibrate(project, images)
    flow.quantize(project, statistics, QuantizationOptions(scheme="POW2"))
    assert sum(node.op.made_by_quantizer for node in project.graph) == between
    assert _worst(project, flow.load_inputs("sample:calibration", limit=4)) > 25.0


def test_an_operator_without_fixed_point_is_refused_by_name_and_works_in_sq8() -> None:
    net = Net(2, 4, 4)
    exponential = net.node("exp", Exp(), net.conv("conv", net.x))
    graph = net.output(net.conv("after", exponential))
    batch = samples(graph, 16, 1)
    statistics = calibrate_graph(graph, [batch], everything=True)
    with pytest.raises(QuantizationError, match="'exp' has no arithmetic in scheme POW2") as caught:
        quantize_graph(graph, statistics, QuantizationOptions(scheme="POW2"))
    assert caught.value.where == "node exp"
    nodes = {"conv": {"scheme": "pow2"}, "after": {"scheme": "pow2"}}
    quantize_graph(graph, statistics, QuantizationOptions(nodes=nodes))
    assert [node.name for node in graph if node.op.made_by_quantizer] == ["exp_qin0", "after_qin0"]
    _agree(graph, batch)
