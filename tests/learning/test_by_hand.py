"""What learning measures, on constants small enough to follow: outliers, means of taps, factors."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from nnshell.execution.engines import make_engine
from nnshell.execution.float_engine import FloatEngine
from nnshell.ir.basic_operators import Constant, Output
from nnshell.ir.flat import Tensor, flatten
from nnshell.ir.graph import Graph
from nnshell.ir.moments import Moments
from nnshell.ir.work import Window
from nnshell.learning.bias_correction import corrected_by_means
from nnshell.learning.channel_moments import channel_moments, taps_mean
from nnshell.learning.outliers import activation_outliers, weight_outliers
from nnshell.learning.rows import filter_constants, rows_of
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.relu import Relu
from nnshell.quantization import Basis, QuantizationOptions, Statistics, TensorStatistics
from nnshell.session.improve import equalize
from nnshell.session.project import Project
from tests.learning.nets import SHAPE, conv, pictures, quantized
from tests.quantization.nets import Net


def _filter(pads: tuple[int, int, int, int], stride: int, groups: int = 1) -> Graph:
    net = Net(*SHAPE)
    op = Conv2D(Window((3, 3), (stride, stride), (1, 1), pads), groups)
    constants = net.parameters("conv", op, net.graph.type_of(net.x), 4)
    net.node("output_1", Output(0), net.node("conv", op, net.x, *constants))
    return net.graph


def test_an_outlier_is_told_by_its_reach_the_next_and_the_median() -> None:
    graph = _filter((1, 1, 1, 1), 1)
    reaches = [1.0, -8.0, 2.5, 2.0]
    weights = np.zeros((4, 4, 3, 3), np.float32)
    weights[:, 1, 2, 0] = reaches
    weights[:, 0, 0, 0] = 0.5
    graph["conv_weights"].op = Constant(weights)
    (entry,) = weight_outliers(graph)
    assert (entry.channels, entry.widest, entry.reach, entry.second) == (4, 1, 8.0, 2.5)
    assert entry.median == 2.25
    assert entry.beyond == 1  # only 8 is more than twice 2.25
    assert entry.ratio == pytest.approx(8 / 2.25)
    assert entry.lost_bits == pytest.approx(math.log2(8 / 2.25))


def test_an_outlier_of_activations_is_the_largest_of_all_samples() -> None:
    graph = _filter((1, 1, 1, 1), 1)
    batches = [pictures(3), pictures(2, seed=4)]
    (entry,) = [e for e in activation_outliers(graph, batches) if e.name == "conv"]
    engine = FloatEngine(graph, ["conv"], threads=1)
    whole = np.concatenate([engine.run(batch.arrays)["conv"] for batch in batches])
    reaches = np.sort(np.abs(whole).max(axis=(0, 2, 3)))
    assert (entry.reach, entry.second) == pytest.approx((reaches[-1], reaches[-2]))


def test_an_input_of_which_only_the_range_is_known_counts_as_evenly_distributed() -> None:
    flat = flatten(_filter((0, 0, 0, 0), 1))
    seen = Statistics({"input_1": TensorStatistics(-1.0, 3.0)})
    known = channel_moments(flat, seen)[Tensor("input_1")]
    np.testing.assert_allclose(known.mean, np.full(4, 1.0))
    np.testing.assert_allclose(known.variance, np.full(4, (3.0 + 1.0) ** 2 / 12))


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize(("pads", "stride"), [((0,) * 4, 1), ((1,) * 4, 1), ((2, 0, 1, 1), 2)])
def test_taps_read_the_mean_of_their_channel_and_zeros_of_the_padding(
    pads: tuple[int, int, int, int], stride: int, groups: int
) -> None:
    graph = _filter(pads, stride, groups)
    flat = flatten(graph)
    item = flat.by_path["conv"]
    mean = np.array([1.0, -2.0, 0.5, 3.0])
    maps = np.broadcast_to(mean.reshape(1, 4, 1, 1), (2, *SHAPE)).astype(np.float32)
    read = rows_of(item, [maps]).mean(axis=1)  # (groups, taps)
    expected = taps_mean(item, Moments(mean, np.zeros(4)), filter_constants(flat, item)[0])
    np.testing.assert_allclose(read, expected, atol=1e-6)


def test_one_round_of_equalization_makes_both_sides_reach_equally_far() -> None:
    """sqrt(made / read) of each channel, so that both become their geometric mean."""
    net = Net(*SHAPE)
    first = net.node("relu", Relu(), conv(net, "first", net.x))
    net.node("output_1", Output(0), conv(net, "second", first))
    graph = net.graph
    made = np.abs(graph["first_weights"].op.value).max(axis=(1, 2, 3))
    read = np.abs(graph["second_weights"].op.value).max(axis=(0, 2, 3))
    equalize(Project(graph), threshold=1e9)
    for side, axes in (("first", (1, 2, 3)), ("second", (0, 2, 3))):
        reach = np.abs(graph[f"{side}_weights"].op.value).max(axis=axes)
        np.testing.assert_allclose(reach, np.sqrt(made * read), rtol=1e-5)


def test_a_bias_takes_back_the_difference_of_the_means() -> None:
    """b' - b is the mean in float less that of the quantized filter, channel by channel."""
    project, batch = quantized(_filter((1, 1, 1, 1), 1), 3), pictures(64)
    graph = project.graph
    real, simulated = (
        make_engine(graph, name, keys=["conv"]).run(batch.arrays)["conv"]
        for name in ("float", "simulated")
    )
    shift = (real.astype(np.float64) - simulated).mean(axis=(0, 2, 3))
    found = corrected_by_means(graph, project.basis, [batch]).filters["conv"].bias
    assert found is not None
    moved = found - graph["conv_biases"].op.value
    assert moved == pytest.approx(shift, abs=0.25 * float(np.abs(shift).max()))


def test_a_bias_gives_back_what_clipping_took_from_the_input() -> None:
    """b' - b = W E[x] - W_q E[min(x, 1)]: the means of both inputs, each with its own weights."""
    graph = _filter((0, 0, 0, 0), 1)
    seen = Statistics({"input_1": TensorStatistics(-1.0, 1.0), "conv": TensorStatistics(-64, 64)})
    project = Project(graph)
    project.quantize(Basis(seen, QuantizationOptions()))
    arrays = np.random.default_rng(5).uniform(0, 3, (32, *SHAPE)).astype(np.float32)
    batch = replace(pictures(32), arrays=(arrays,))
    bias = corrected_by_means(graph, project.basis, [batch]).filters["conv"].bias
    assert bias is not None
    per_tap = arrays.mean() - np.minimum(arrays, 1).mean()  # 5/3 - 5/6 of uniform inputs
    expected = graph["conv_weights"].op.value.sum(axis=(1, 2, 3)) * per_tap
    moved = bias - graph["conv_biases"].op.value
    np.testing.assert_allclose(moved, expected, atol=0.1 * np.abs(expected).max())
