"""Equalization, analytic bias correction and the report of outliers."""

from __future__ import annotations

import numpy as np
import pytest

from nnshell import flow
from nnshell.execution.float_engine import FloatEngine
from nnshell.experiments.bench import Bench
from nnshell.ir.basic_operators import Constant, Output
from nnshell.ir.flat import Tensor, flatten
from nnshell.ir.graph import Graph
from nnshell.ir.work import Window
from nnshell.learning.bias_correction import corrected_analytically, corrected_by_means
from nnshell.learning.channel_moments import channel_moments
from nnshell.learning.layers import search_scales
from nnshell.learning.outliers import activation_outliers, weight_outliers
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.relu import Relu, Relu6
from nnshell.ops.transpose import Transpose
from nnshell.quantization import QuantizationOptions, Statistics, TensorStatistics
from nnshell.session.improve import apply_learned, equalize
from nnshell.session.project import Project
from nnshell.support.errors import UsageError
from tests.learning.nets import SHAPE, conv, pictures, quantized, residual
from tests.quantization.nets import Net


def chain(rectifier: type = Relu) -> Graph:
    """conv, depthwise, pool, conv and linear in a row; one channel is a hundred times wider."""
    net = Net(*SHAPE)
    first = net.node("relu_1", rectifier(), conv(net, "conv_1", net.x))
    second = net.node("relu_2", rectifier(), conv(net, "depthwise", first, groups=4))
    pooled = net.node("pool", MaxPool(Window((2, 2), (2, 2))), second)
    third = net.node("relu_3", rectifier(), conv(net, "conv_2", pooled, filters=3))
    net.node("output_1", Output(0), net.linear("head", third))
    value = net.graph.constant(net.graph["conv_1"].inputs[1]).copy()  # type: ignore[union-attr]
    value[2] *= 100
    net.graph["conv_1_weights"].op = Constant(value)
    return net.graph


def outputs(graph: Graph) -> np.ndarray:
    return FloatEngine(graph).run(pictures(8).arrays)["output_1"]


def test_equalized_channels_are_even_and_the_function_is_kept() -> None:
    graph = chain()
    before, project = outputs(graph), Project(graph)
    pairs = equalize(project).pairs
    assert [(p.first, p.second) for p in pairs] == [
        ("conv_1", "depthwise"),
        ("depthwise", "conv_2"),
        ("conv_2", "head"),
    ]
    assert np.allclose(outputs(graph), before, rtol=1e-4, atol=1e-3)
    made = np.abs(graph["conv_1_weights"].op.value).max(axis=(1, 2, 3))  # type: ignore[attr-defined]
    assert made.max() / made.min() < 20
    assert project.recipe[-1].command == "weight_equalization"


def test_channels_that_a_bound_cuts_off_are_not_scaled() -> None:
    with pytest.raises(UsageError, match="no two filters"):
        equalize(Project(chain(Relu6)))


def test_a_branch_that_others_read_is_not_scaled() -> None:
    assert [(p.first, p.second) for p in equalize(Project(residual())).pairs] == [
        ("first", "second")
    ]


def test_a_quantized_graph_needs_samples_to_be_equalized() -> None:
    project = quantized(chain(), 8)
    with pytest.raises(UsageError, match="weight_equalization IMAGES"):
        equalize(project)
    old = project.statistics
    change = equalize(project, [pictures(32)]).change
    assert change is not None and change.applied and change.after.noise < change.before.noise
    assert project.quantized
    assert project.statistics["relu_1"].maximum < old["relu_1"].maximum


def test_equalization_that_makes_more_noise_is_not_kept() -> None:
    project = flow.open_graph("sample:lenet")
    flow.adjust(project)
    flow.fuse(project, "scale8")
    images = flow.load_inputs("sample:calibration", norm="x: x/128-1")
    options = QuantizationOptions(weight_bits=3, act_bits=4)
    flow.quantize(project, flow.calibrate(project, images), options)
    weights, steps = np.array(project["_conv1_Conv_weights"].op.known_value), len(project.recipe)
    change = equalize(project, flow.batches_of(project, images)).change
    assert change is not None and not change.applied and change.after.noise > change.before.noise
    assert len(project.recipe) == steps
    assert np.array_equal(project["_conv1_Conv_weights"].op.known_value, weights)


def test_what_was_learned_is_not_dropped_by_equalization() -> None:
    project = quantized(chain(), 4)
    batches = [pictures(32)]
    apply_learned(project, "scale_search", search_scales(project.graph, project.basis, batches))
    learned, result = project.learned, equalize(project, batches)
    assert result.learned == ("scale_search",)
    assert result.change is not None and not result.change.applied
    assert project.learned is learned
    assert project.recipe[-1].command == "scale_search"


def test_moments_are_those_of_normally_distributed_inputs() -> None:
    net = Net(*SHAPE)
    relu = net.node("relu", Relu(), conv(net, "conv", net.x))
    net.node("output_1", Output(0), relu)
    flat = flatten(quantized(net.graph, 8).graph)
    seen = Statistics({"input_1": TensorStatistics(-4.0, 5.0, 0.5, 1.0, 0.8)})
    found = channel_moments(flat, seen)[Tensor("relu")]
    x = np.random.default_rng(0).normal(0.5, 1.0, (400, *SHAPE)).astype(np.float32)
    made = FloatEngine(net.graph, ["relu"]).run([x])["relu"]  # padding too
    assert np.allclose(found.mean, made.mean(axis=(0, 2, 3)), atol=0.02)
    assert np.allclose(found.variance, made.var(axis=(0, 2, 3)), rtol=0.05, atol=0.02)


def test_moments_of_channels_end_where_a_transpose_moves_them() -> None:
    net = Net(*SHAPE)
    relu = net.node("relu", Relu(), conv(net, "conv", net.x))
    rows = net.node("rows", Transpose((0, 2, 1)), relu)
    turned = net.node("turned", Transpose((2, 0, 1)), rows)
    net.node("output_1", Output(0), turned)
    seen = Statistics({"input_1": TensorStatistics(-4.0, 5.0, 0.5, 1.0, 0.8)})
    found = channel_moments(flatten(net.graph), seen)
    assert found[Tensor("rows")].mean is found[Tensor("relu")].mean
    assert Tensor("turned") not in found


@pytest.mark.parametrize("analytic", [False, True])
def test_corrected_biases_leave_less_noise(analytic: bool) -> None:
    project, batches = quantized(chain(), 3), [pictures(64)]
    found = (
        corrected_analytically(project.graph, project.basis)
        if analytic
        else corrected_by_means(project.graph, project.basis, batches)
    )
    bench = Bench(project.graph, project.basis, [pictures(64, seed=5)])
    before = bench.try_options(bench.options).noise
    floats = outputs(project.graph)
    apply_learned(project, "bcorr", found)
    assert bench.try_basis(project.basis).noise < before
    assert np.array_equal(outputs(project.graph), floats)


def test_the_widest_channel_is_named() -> None:
    graph = chain()
    worst = weight_outliers(graph)[0]
    assert (worst.name, worst.widest, worst.beyond) == ("conv_1", 2, 1)
    assert worst.lost_bits > 5
    activations = activation_outliers(graph, [pictures(4)])
    assert {entry.name for entry in activations[:2]} <= {"conv_1", "relu_1", "depthwise", "relu_2"}
    assert activations[0].widest == 2
