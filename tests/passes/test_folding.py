"""What disappears into weights, biases and windows, and what must not."""

from __future__ import annotations

import numpy as np
import pytest

from nnshell.ir.basic_operators import Constant
from nnshell.ir.graph import Graph
from nnshell.ir.operator import Operator
from nnshell.ir.work import Window
from nnshell.ops.add import Add
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.batch_norm import BatchNorm
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.div import Div
from nnshell.ops.matmul import MatMul
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.mul import Mul
from nnshell.ops.pad import Pad
from nnshell.ops.relu import Relu
from nnshell.ops.sub import Sub
from nnshell.passes.base import Pass
from nnshell.passes.crop_filters import CropFilters
from nnshell.passes.fold_batch_norm import BatchNormToConv, FoldBatchNorm, SplitBatchNorm
from nnshell.passes.fold_constants import FoldBias, FoldScale
from nnshell.passes.fold_pad import FoldPad
from nnshell.passes.manager import PassRecord

from .nets import FloatCheck, Net, lines, records_of, run_passes, text


def run(graph: Graph, *passes: Pass) -> list[PassRecord]:
    return run_passes(graph, passes, check=FloatCheck(graph))


def notes(graph: Graph) -> str:
    return "\n".join(n.text for record in records_of(graph) for n in record.notes)


def value(graph: Graph, name: str) -> np.ndarray:
    op = graph[name].op
    assert isinstance(op, Constant)
    return op.value


def test_batch_norm_folds_into_a_convolution_in_float32_in_this_order() -> None:
    net = Net(2, 5, 5)
    y = net.batch_norm(net.conv(net.x, 3))
    graph = net.output(y)
    weights, bias = value(graph, "conv_weights"), value(graph, "conv_biases")
    scale, shift, mean, variance = (
        value(graph, f"bn_{word}") for word in ("scale", "bias", "mean", "variance")
    )
    run(graph, FoldBatchNorm())
    deviation = np.sqrt(variance + np.float32(1e-3))
    expected = weights * (scale / deviation).reshape(-1, 1, 1, 1)
    assert np.array_equal(value(graph, "conv_weights"), expected)
    assert np.array_equal(value(graph, "conv_biases"), ((bias - mean) * scale) / deviation + shift)
    assert text(graph) == lines(
        """
        input_1 = input : 2x5x5
        conv = conv2d input_1 : 3x3x3
        output_1 = output conv : 3x3x3
        """
    )
    assert "folded batch norm bn into the weights and bias of conv" in notes(graph)


def test_batch_norm_folds_into_a_linear_layer() -> None:
    net = Net(6)
    graph = net.output(net.batch_norm(net.linear(net.x, 4)))
    run(graph, FoldBatchNorm())
    assert "bn" not in graph


def test_batch_norm_behind_a_shared_convolution_stays() -> None:
    net = Net(2, 5, 5)
    y = net.conv(net.x, 3)
    graph = net.output(net.batch_norm(y), y)
    run(graph, FoldBatchNorm())
    assert "bn" in graph
    assert "conv's output has two consumers (bn, output_2)" in notes(graph)


def test_shared_weights_are_changed_for_one_reader_only() -> None:
    net = Net(2, 5, 5)
    first = net.conv(net.x, 3)
    conv = net.graph["conv"]
    second = net.node("twin", conv.op, *conv.inputs)
    graph = net.output(net.batch_norm(first), second)
    before = value(graph, "conv_weights")
    run(graph, FoldBatchNorm())
    assert value(graph, "conv_weights") is before
    assert graph["conv"].inputs[1].node == "conv_weights_1"
    assert graph["twin"].inputs[1].node == "conv_weights"


def test_other_batch_norms_become_a_depthwise_convolution() -> None:
    net = Net(3, 4, 4)
    graph = net.output(net.node("relu", Relu(), net.batch_norm(net.x)))
    run(graph, BatchNormToConv())
    assert graph["bn"].op == Conv2D(Window(), groups=3)


@pytest.mark.parametrize("shape", [(3, 4, 4), (5,)])
def test_other_batch_norms_become_a_product_and_a_sum_by_name(shape: tuple[int, ...]) -> None:
    net = Net(*shape)
    graph = net.output(net.batch_norm(net.x))
    run(graph, SplitBatchNorm())
    assert [node.kind for node in graph.steps() if node.kind != "constant"] == [
        "input",
        "mul",
        "add",
        "output",
    ]


@pytest.mark.parametrize("op", [Add(), Sub()])
@pytest.mark.parametrize("shape", [(), (1,), (3, 1, 1), (1, 1, 1)])
def test_constant_sum_folds_into_the_bias(op: Operator, shape: tuple[int, ...]) -> None:
    net = Net(2, 4, 4)
    y = net.conv(net.x, 3)
    graph = net.output(net.node("sum", op, y, net.constant("c", net.normal(*shape))))
    run(graph, FoldBias())
    assert "sum" not in graph and "c" not in graph


def test_constant_sum_that_is_not_per_channel_stays() -> None:
    net = Net(2, 4, 4)
    y = net.conv(net.x, 3)
    graph = net.output(net.node("sum", Add(), y, net.constant("c", net.normal(1, 1, 2))))
    run(graph, FoldBias())
    assert "its constant of shape 1x1x2 is not one number per channel" in notes(graph)


def test_constant_minus_convolution_stays() -> None:
    net = Net(2, 4, 4)
    y = net.conv(net.x, 3)
    graph = net.output(net.node("sub", Sub(), net.constant("c", 1.0), y))
    run(graph, FoldBias(), FoldScale())
    assert "sub" in graph


def test_product_with_a_constant_matrix_and_a_sum_is_a_linear_layer() -> None:
    net = Net(1, 6)
    product = net.node("matmul", MatMul(), net.x, net.constant("w", net.normal(6, 4)))
    graph = net.output(net.node("sum", Add(), product, net.constant("c", net.normal(4))))
    run(graph, FoldBias())
    assert text(graph) == lines(
        """
        input_1 = input : 1x6
        matmul = linear input_1 : 4
        matmul_reshape = reshape matmul : 1x4
        output_1 = output matmul_reshape : 1x4
        """
    )


def test_product_of_several_rows_stays() -> None:
    net = Net(3, 6)
    graph = net.output(net.node("matmul", MatMul(), net.x, net.constant("w", net.normal(6, 4))))
    run(graph, FoldBias())
    assert "its input 3x6 has more than one row" in notes(graph)


@pytest.mark.parametrize("op", [Mul(), Div()])
def test_power_of_two_folds_into_the_weights(op: Operator) -> None:
    net = Net(2, 4, 4)
    y = net.node("scaled", op, net.conv(net.x, 3), net.constant("c", 4.0))
    graph = net.output(y)
    weights = value(graph, "conv_weights")
    run(graph, FoldScale())
    factor = 4.0 if op == Mul() else 0.25
    assert np.array_equal(value(graph, "conv_weights"), weights * np.float32(factor))
    assert "scaled" not in graph


def test_factor_that_rounds_weights_folds_on_request_only() -> None:
    net = Net(2, 4, 4)
    graph = net.output(net.node("mul", Mul(), net.conv(net.x, 3), net.constant("c", 1 / 3)))
    run(graph, FoldScale())
    assert "mul" in graph and "would be rounded" in notes(graph)
    run(graph, FoldScale(rounding=True))
    assert "mul" not in graph


def test_pad_folds_into_each_window_that_reads_it() -> None:
    net = Net(2, 6, 6)
    padded = net.node("pad", Pad(((0, 0), (0, 1), (2, 0))), net.x)
    graph = net.output(
        net.conv(padded, 3, pads=(1, 1, 1, 1)),
        net.node("mean", AveragePool(Window((3, 3))), padded),
    )
    run(graph, FoldPad())
    assert graph["conv"].op.window.pads == (1, 3, 2, 1)  # type: ignore[attr-defined]
    assert graph["mean"].op == AveragePool(Window((3, 3), pads=(0, 2, 1, 0)), True)
    assert "pad" not in graph


def test_zero_pad_folds_into_a_max_pool_only_where_zero_never_wins() -> None:
    net = Net(2, 6, 6)
    pad, pool = Pad(((0, 0), (1, 1), (1, 1))), MaxPool(Window((2, 2), (2, 2)))
    signed = net.node("signed", pool, net.node("pad", pad, net.x))
    active = net.node("relu", Relu(), net.x)
    positive = net.node("positive", pool, net.node("pad", pad, active))
    graph = net.output(signed, positive)
    run(graph, FoldPad())
    assert [node.name for node in graph if node.kind == "pad"] == ["pad"]
    assert "did not fold pad into signed: its border of 0 could be the maximum" in notes(graph)


@pytest.mark.parametrize(
    ("pad", "reason"),
    [
        (Pad(((0, 1), (1, 1), (1, 1))), "it pads channels"),
        (Pad(((0, 0), (1, 1), (1, 1)), 0.5), "a window pads with 0, not with 0.5"),
    ],
)
def test_pad_that_no_window_can_do_stays(pad: Pad, reason: str) -> None:
    net = Net(2, 4, 4)
    graph = net.output(net.conv(net.node("pad", pad, net.x), 3))
    run(graph, FoldPad())
    assert "pad" in graph and reason in notes(graph)


def test_filter_larger_than_its_input_loses_the_taps_that_see_only_padding() -> None:
    net = Net(2, 1, 3)
    graph = net.output(net.conv(net.x, 3, (3, 5), pads=(1, 2, 1, 2)))
    run(graph, CropFilters())
    assert graph["conv"].op == Conv2D(Window((1, 5), pads=(0, 2, 0, 2)))
    assert value(graph, "conv_weights").shape == (3, 2, 1, 5)


def test_filter_that_fits_its_input_keeps_its_taps() -> None:
    net = Net(2, 3, 3)
    graph = net.output(net.conv(net.x, 3, pads=(1, 1, 1, 1)))
    assert not run(graph, CropFilters())[0].changed


def test_batch_norm_with_computed_statistics_stays() -> None:
    net = Net(3)
    refs = [net.input(3) for _ in range(4)]
    graph = net.output(net.node("bn", BatchNorm(), net.linear(net.x, 3), *refs))
    assert not run_passes(graph, [FoldBatchNorm(), SplitBatchNorm()])[0].changed
    assert "it is not constant" in notes(graph)
