"""What fuses with what, in which order, under which name - and why the rest does not."""

from __future__ import annotations

import pytest

from nnshell.ir.basic_operators import Reshape
from nnshell.ir.graph import Graph, Ref
from nnshell.ir.operator import Operator
from nnshell.ir.work import Window
from nnshell.ops.add import Add
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.clip import Clip
from nnshell.ops.global_pool import GlobalAveragePool
from nnshell.ops.hard_sigmoid import HardSigmoid
from nnshell.ops.hard_swish import HardSwish
from nnshell.ops.leaky_relu import LeakyRelu
from nnshell.ops.matmul import MatMul
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.mul import Mul
from nnshell.ops.pad import Pad
from nnshell.ops.relu import Relu, Relu6, ReluN
from nnshell.ops.sigmoid import Sigmoid
from nnshell.ops.tanh import Tanh
from nnshell.ops.transpose import Transpose
from nnshell.passes.pipelines import POW2, SCALE8

from .nets import FloatCheck, Net, lines, records_of, run_passes, text

HALVE = Window((2, 2), (2, 2))


def fused(graph: Graph) -> Graph:
    run_passes(graph, SCALE8, check=FloatCheck(graph))
    return graph


def near_misses(graph: Graph) -> list[str]:
    return [n.text for record in records_of(graph) for n in record.notes if not n.done]


def chain(*ops: Operator) -> Graph:
    """input -> conv -> ops in a row -> output; nodes are named after their operator."""
    net = Net(2, 8, 8)
    y = net.conv(net.x, 4)
    for op in ops:
        y = net.node(op.kind, op, y)
    return net.output(y)


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        ([Relu()], "conv_fusion_conv_active {conv relu}"),
        ([Relu6()], "conv_fusion_conv_active {conv relu6}"),
        ([ReluN(2.0)], "conv_fusion_conv_active {conv relun}"),
        ([LeakyRelu(0.1)], "conv_fusion_conv_active {conv leaky}"),
        ([HardSigmoid(1 / 6)], "conv_fusion_conv_active {conv hsigmoid}"),
        ([HardSwish()], "conv_fusion_conv_active {conv hswish}"),
        ([Sigmoid()], "conv_fusion_conv_active {conv sigmoid}"),
        ([Tanh()], "conv_fusion_conv_active {conv tanh}"),
        ([MaxPool(HALVE)], "conv_fusion_conv_pool {conv max_pool}"),
        ([AveragePool(HALVE)], "conv_fusion_conv_pool {conv average_pool}"),
        ([MaxPool(HALVE), Relu()], "conv_fusion_conv_pool_active {conv max_pool relu}"),
        ([AveragePool(HALVE), Tanh()], "conv_fusion_conv_pool_active {conv average_pool tanh}"),
        ([Relu(), MaxPool(HALVE)], "conv_fusion_conv_pool_active {conv max_pool relu}"),
        ([LeakyRelu(0.1), MaxPool(HALVE)], "conv_fusion_conv_active_pool {conv leaky max_pool}"),
        ([Tanh(), MaxPool(HALVE)], "conv_fusion_conv_active_pool {conv tanh max_pool}"),
        ([Sigmoid(), MaxPool(HALVE)], "conv_fusion_conv_active_pool {conv sigmoid max_pool}"),
        ([LeakyRelu(-1.0), MaxPool(HALVE)], "conv_fusion_conv_active_pool {conv leaky max_pool}"),
    ],
)
def test_convolution_fuses_with(ops: list[Operator], expected: str) -> None:
    graph = fused(chain(*ops))
    shape = graph["conv_fusion"].type
    assert text(graph).splitlines()[1] == f"conv_fusion = {expected} input_1 : {shape}"


def test_body_has_inputs_in_order_and_nodes_keep_their_origin() -> None:
    graph = fused(chain(Relu(), MaxPool(HALVE)))
    fusion = graph["conv_fusion"]
    assert fusion.body is not None
    assert [(n.name, n.kind) for n in fusion.body] == [
        ("conv_fusion_in_0", "fusion_input"),
        ("conv_fusion_in_1", "fusion_input"),
        ("conv_fusion_in_2", "fusion_input"),
        ("conv", "conv2d"),
        ("max_pool", "max_pool"),
        ("relu", "relu"),
        ("conv_fusion_out_0", "fusion_output"),
    ]
    assert fusion.inputs == [Ref("input_1"), Ref("conv_weights"), Ref("conv_biases")]
    assert fusion.body["relu"].origin.foreign_name == "relu"
    assert "fuse-conv-pool-activation" in fusion.body["relu"].origin.passes


def test_average_pool_stays_behind_an_activation() -> None:
    graph = fused(chain(Relu(), AveragePool(HALVE)))
    assert text(graph) == lines(
        """
        input_1 = input : 2x8x8
        conv_fusion = conv_fusion_conv_active {conv relu} input_1 : 4x6x6
        average_pool = average_pool conv_fusion : 4x3x3
        output_1 = output average_pool : 4x3x3
        """
    )
    wanted = (
        "did not fuse relu with average_pool: after an activation the kernel only runs a max pool"
    )
    assert wanted in near_misses(graph)


def test_dilated_pool_stays() -> None:
    graph = fused(chain(MaxPool(Window((2, 2), (1, 1), (2, 2)))))
    assert "max_pool = max_pool conv : 4x4x4" in text(graph)
    assert any("the kernel's pool has no dilation" in line for line in near_misses(graph))


def test_second_activation_stays() -> None:
    graph = fused(chain(Tanh(), Sigmoid()))
    assert "sigmoid = sigmoid conv_fusion" in text(graph)
    assert "did not fuse tanh with sigmoid: the kernel runs one activation" in near_misses(graph)


def test_convolution_with_two_readers_stays_alone() -> None:
    net = Net(2, 6, 6)
    y = net.conv(net.x, 3)
    graph = fused(net.output(net.node("relu", Relu(), y), net.node("sum", Add(), y, y)))
    assert "conv = conv2d input_1 : 3x4x4" in text(graph)
    wanted = "did not fuse conv with relu: its output has three consumers (relu, sum, sum)"
    assert wanted in near_misses(graph)


def test_convolution_that_is_a_graph_output_stays_alone() -> None:
    net = Net(2, 6, 6)
    y = net.conv(net.x, 3)
    graph = fused(net.output(y, net.node("relu", Relu(), y)))
    assert "relu = relu conv : 3x4x4" in text(graph)


def test_clip_that_is_no_relu_stays() -> None:
    graph = fused(chain(Clip(-1.0, 1.0)))
    assert "clip = clip conv : 4x6x6" in text(graph)
    assert any("clip to [-1, 1] is not a relu" in line for line in near_misses(graph))


def test_pow2_kernels_have_no_tanh() -> None:
    graph = chain(Tanh())
    run_passes(graph, POW2)
    assert "tanh = tanh conv : 4x6x6" in text(graph)
    assert any("the kernels do not run tanh" in line for line in near_misses(graph))


def test_max_pool_stays_behind_a_relu_that_others_read() -> None:
    net = Net(2, 8, 8)
    active = net.node("relu", Relu(), net.conv(net.x, 4))
    graph = fused(net.output(net.node("pool", MaxPool(HALVE), active), active))
    assert "conv_fusion = conv_fusion_conv_active {conv relu} input_1 : 4x6x6" in text(graph)
    wanted = "left pool after relu: relu's output has two consumers (pool, output_2)"
    assert wanted in near_misses(graph)


def test_linear_fuses_with_its_activation() -> None:
    net = Net(3, 4, 4)
    y = net.node("relu", Relu(), net.linear(net.x, 5))
    assert text(fused(net.output(y))) == lines(
        """
        input_1 = input : 3x4x4
        linear_fusion = linear_fusion_linear_active {linear relu} input_1 : 5
        output_1 = output linear_fusion : 5
        """
    )


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (MaxPool(HALVE), "activation_fusion_pool_active"),
        (AveragePool(HALVE), "activation_fusion_pool_active"),
        (GlobalAveragePool(), "activation_fusion_global_pool_active"),
    ],
)
def test_pool_without_filter_fuses_with_its_activation(op: Operator, expected: str) -> None:
    net = Net(3, 4, 4)
    graph = fused(net.output(net.node("relu", Relu(), net.node("pool", op, net.x))))
    assert f"pool_fusion = {expected} {{pool relu}} input_1" in text(graph)


def test_sum_fuses_with_its_activation_under_its_own_name() -> None:
    net = Net(3, 4, 4)
    total = net.node("Add_28", Add(), net.x, net.input(3, 4, 4))
    graph = fused(net.output(net.node("Clip_29", Relu6(), total)))
    kind = "broadcastable_activation_fusion_add_active"
    assert text(graph) == lines(
        f"""
        input_1 = input : 3x4x4
        input_2 = input : 3x4x4
        Add_28_fusion = {kind} {{Add_28 Clip_29}} input_1 input_2 : 3x4x4
        output_1 = output Add_28_fusion : 3x4x4
        """
    )


def test_sum_of_a_tensor_with_itself_has_two_fusion_inputs() -> None:
    net = Net(3, 4, 4)
    graph = fused(net.output(net.node("relu", Relu(), net.node("add", Add(), net.x, net.x))))
    assert graph["add_fusion"].inputs == [Ref("input_1"), Ref("input_1")]


def test_matrix_product_fuses_with_its_activation() -> None:
    net = Net(4, 6)
    product = net.node("matmul", MatMul(), net.x, net.input(6, 5))
    graph = fused(net.output(net.node("relu", Relu(), product)))
    assert "matmul_fusion = matmul_fusion_matmul_active {matmul relu} input_1 input_2" in text(
        graph
    )


def test_product_has_no_kernel_with_activation_and_says_so() -> None:
    net = Net(3, 4, 4)
    product = net.node("mul", Mul(), net.x, net.input(3, 4, 4))
    graph = fused(net.output(net.node("relu", Relu(), product)))
    assert "did not fuse mul with relu: the mul kernel runs no activation" in near_misses(graph)


def test_channel_padding_fuses_with_the_sum() -> None:
    net = Net(2, 4, 4)
    wide = net.conv(net.x, 4, 1)
    padded = net.node("pad", Pad(((1, 1), (0, 0), (0, 0))), net.x)
    graph = fused(net.output(net.node("relu", Relu(), net.node("add", Add(), wide, padded))))
    kind = "padded_add_fusion_pad_add_active {pad add relu}"
    assert f"add_fusion = {kind} input_1 conv : 4x4x4" in text(graph)


def test_activation_moves_up_past_what_only_moves_elements() -> None:
    net = Net(2, 4, 4)
    y = net.node("transpose", Transpose((1, 2, 0)), net.conv(net.x, 3))
    y = net.node("reshape", Reshape((12,)), y)
    graph = fused(net.output(net.node("relu", Relu(), y)))
    assert text(graph) == lines(
        """
        input_1 = input : 2x4x4
        conv_fusion = conv_fusion_conv_active {conv relu} input_1 : 3x2x2
        transpose = transpose conv_fusion : 2x2x3
        reshape = reshape transpose : 12
        output_1 = output reshape : 12
        """
    )


def test_activation_that_changes_zero_stays_behind_a_pad() -> None:
    net = Net(2, 4, 4)
    y = net.node("pad", Pad(((0, 0), (1, 1), (1, 1))), net.conv(net.x, 3))
    graph = fused(net.output(net.node("sigmoid", Sigmoid(), y)))
    assert "sigmoid = sigmoid pad" in text(graph)


def test_unfused_convolution_says_what_is_behind_it() -> None:
    net = Net(2, 4, 4)
    y = net.conv(net.x, 3)
    graph = fused(net.output(net.conv(y, 2, 1, name="next")))
    wanted = "left conv alone: next after it is conv2d, neither pool nor activation"
    assert wanted in near_misses(graph)
