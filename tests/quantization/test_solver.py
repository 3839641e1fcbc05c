"""Which record each tensor gets: what readers demand, what producers give, who wins."""

from __future__ import annotations

import numpy as np
import pytest

from nnshell.ir.basic_operators import Constant, Reshape
from nnshell.ir.graph import Graph, Ref
from nnshell.ir.work import Window
from nnshell.ops.add import Add
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.clip import Clip
from nnshell.ops.concat import Concat
from nnshell.ops.copy import Copy
from nnshell.ops.global_pool import GlobalAveragePool
from nnshell.ops.hard_sigmoid import HardSigmoid
from nnshell.ops.leaky_relu import LeakyRelu
from nnshell.ops.linear import Linear
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.mul import Mul
from nnshell.ops.relu import Relu, Relu6
from nnshell.ops.sigmoid import Sigmoid
from nnshell.ops.softmax import Softmax
from nnshell.ops.split import Split
from nnshell.ops.tanh import Tanh
from nnshell.quantization import quantize_graph, remove_quantization
from nnshell.quantization.losses import find_losses
from nnshell.support.errors import QuantizationError

from .nets import Net, conv_op, meaning, quantized, ranges, record

NONE = (0, 0, 0, 0)
HALVING = MaxPool(Window((2, 2), (2, 2)))
PADDED_POOL = MaxPool(Window((3, 3), (2, 2), pads=(1, 1, 1, 1)))
AVERAGE = AveragePool(Window((2, 2), (2, 2)))


def names(graph: Graph) -> list[str]:
    return [node.name for node in graph if not isinstance(node.op, Constant)]


# -- graph inputs ----------------------------------------------------------------------------


def test_an_input_from_zero_is_asymmetric_when_nothing_forbids_it() -> None:
    net = Net(8)
    graph = net.output(net.linear("fc", net.x))
    made = quantized(graph, ranges(input_1=(0.0, 1.0), fc=(-1.0, 1.0)))
    assert meaning(record(made, "input_1")) == (1 / 255, -128)


def test_an_input_from_zero_is_symmetric_before_a_padded_convolution() -> None:
    net = Net(2, 6, 6)
    graph = net.output(net.conv("conv", net.x))
    made = quantized(graph, ranges(input_1=(0.0, 1.0), conv=(-1.0, 1.0)))
    assert meaning(record(made, "input_1")) == (1 / 127, 0)


@pytest.mark.parametrize("low", [-1.0, -0.001, 0.001])
def test_an_input_whose_minimum_is_not_exactly_zero_is_symmetric(low: float) -> None:
    net = Net(8)
    graph = net.output(net.linear("fc", net.x))
    made = quantized(graph, ranges(input_1=(low, 1.0), fc=(-1.0, 1.0)))
    assert meaning(record(made, "input_1")) == (1 / 127, 0)


# -- filters and what is fused after them -----------------------------------------------------


def test_a_filter_requantizes_straight_into_the_relu_range() -> None:
    net = Net(2, 6, 6)
    y = net.fused(net.x, ("conv", conv_op()), ("relu", Relu()))
    graph = net.output(net.linear("fc", y))
    stats = ranges(
        input_1=(-1, 1), conv_fusion__conv=(-9, 7), conv_fusion__relu=(0.0, 5.1), fc=(-1, 1)
    )
    made = quantized(graph, stats)
    for key in ("conv_fusion/conv", "conv_fusion/relu", "conv_fusion"):
        assert meaning(record(made, key)) == (5.1 / 255, -128)
    kernel = made["conv_fusion/relu"].kernel
    assert (kernel.lower, kernel.upper, kernel.same_record) == (-128, None, True)


def test_relu6_always_covers_six() -> None:
    net = Net(2, 6, 6)
    y = net.fused(net.x, ("conv", conv_op()), ("act", Relu6()))
    graph = net.output(net.linear("fc", y))
    made = quantized(graph, ranges(input_1=(-1, 1), conv_fusion__act=(0.0, 0.9), fc=(-1, 1)))
    assert meaning(record(made, "conv_fusion")) == (6 / 255, -128)
    assert made["conv_fusion/act"].kernel.upper == 127


def test_a_filter_without_activation_is_asymmetric_before_an_unpadded_one() -> None:
    net = Net(2, 6, 6)
    graph = net.output(net.conv("b", net.conv("a", net.x), kernel=1, pads=NONE))
    made = quantized(graph, ranges(input_1=(-1, 1), a=(-7.2, 5.8), b=(-1, 1)))
    scale = (5.8 + 7.2) / 255
    assert meaning(record(made, "a")) == (scale, round(-128 + 7.2 / scale))


@pytest.mark.parametrize(
    "reader",
    [
        lambda net, y: net.conv("next", y),
        lambda net, y: net.node("next", Add(), y, y),
        lambda net, y: net.node("next", GlobalAveragePool(), y),
        lambda net, y: net.node("next", PADDED_POOL, y),
        lambda net, y: net.node("next", Softmax(0), y),
        lambda net, y: net.node("next", Copy(), y),
    ],
    ids=["padded conv", "add", "global average", "padded pool", "softmax", "copy to the output"],
)
def test_readers_that_force_their_input_symmetric(reader) -> None:  # type: ignore[no-untyped-def]
    net = Net(2, 6, 6)
    y = net.fused(net.x, ("conv", conv_op()), ("act", Relu6()))
    graph = net.output(reader(net, y))
    made = quantized(graph, ranges(input_1=(-1, 1), next=(-1.0, 1.0)))
    assert record(made, "conv_fusion").zero_point == 0


def test_one_reader_is_enough_to_force_it_for_all() -> None:
    net = Net(2, 6, 6)
    y = net.conv("a", net.x)
    first, second = net.conv("b", y, kernel=1, pads=NONE), net.conv("c", y)
    made = quantized(
        net.output(first, second), ranges(input_1=(-1, 1), a=(-7, 5), b=(-1, 1), c=(-1, 1))
    )
    assert meaning(record(made, "a")) == (7 / 128, 0)


def test_the_demand_is_looked_up_through_nodes_that_only_move() -> None:
    net = Net(2, 6, 6)
    y = net.node("shaped", Reshape((2, 36)), net.conv("a", net.x))
    name = net.node("parts", Split(0, (1, 1)), y).node
    graph = net.output(Ref(name, 1), net.linear("fc", Ref(name, 0)))
    made = quantized(graph, ranges(input_1=(-1, 1), a=(-7, 5), fc=(-1, 1)))
    assert meaning(record(made, "a")) == (7 / 128, 0)


def test_a_padded_pool_inside_a_fusion_makes_all_of_it_symmetric() -> None:
    net = Net(2, 6, 6)
    y = net.fused(net.x, ("conv", conv_op()), ("pool", PADDED_POOL), ("relu", Relu()))
    graph = net.output(net.linear("fc", y))
    made = quantized(graph, ranges(input_1=(-1, 1), conv_fusion__relu=(0, 5), fc=(-1, 1)))
    for key in ("conv_fusion/conv", "conv_fusion/pool", "conv_fusion/relu"):
        assert meaning(record(made, key)) == (5 / 127, 0)


@pytest.mark.parametrize("pool", [HALVING, AVERAGE], ids=["max", "average"])
def test_a_fused_pool_passes_the_filter_range_on_except_before_padding(pool) -> None:  # type: ignore[no-untyped-def]
    stats = ranges(
        input_1=(-1, 1),
        conv_fusion__conv=(-3.9, 3.3),
        conv_fusion__pool=(-2.9, 3.2),
        next=(-1, 1),
    )
    for plain in (True, False):
        net = Net(2, 6, 6)
        y = net.fused(net.x, ("conv", conv_op()), ("pool", pool))
        z = net.linear("next", y) if plain else net.conv("next", y)
        made = quantized(net.output(z), stats)
        expected = ((3.3 + 3.9) / 255, 10) if plain else (3.2 / 127, 0)
        assert meaning(record(made, "conv_fusion/conv")) == expected


def test_a_stand_alone_pool_keeps_its_input_record() -> None:
    net = Net(2, 6, 6)
    y = net.node("pool", AVERAGE, net.conv("a", net.x, pads=NONE))
    graph = net.output(net.linear("fc", y))
    made = quantized(graph, ranges(input_1=(-1, 1), a=(-4, 4), pool=(-1, 1), fc=(-1, 1)))
    assert record(made, "pool").same_record(record(made, "a"))
    assert record(made, "a").first_scale == 8 / 255


def test_a_relu_does_not_push_its_range_through_an_average_pool() -> None:
    net = Net(2, 6, 6)
    y = net.fused(net.x, ("conv", conv_op()), ("pool", AVERAGE), ("relu", Relu()))
    graph = net.output(net.linear("fc", y))
    stats = ranges(input_1=(-1, 1), conv_fusion__conv=(-4, 3), conv_fusion__relu=(0, 2), fc=(-1, 1))
    made = quantized(graph, stats)
    assert meaning(record(made, "conv_fusion/conv")) == (7 / 255, 18)
    assert meaning(record(made, "conv_fusion/relu")) == (2 / 255, -128)


# -- int32 inside fusions ------------------------------------------------------------------------


def test_a_filter_before_a_leaky_relu_stays_wide_at_the_output_scale() -> None:
    net = Net(2, 6, 6)
    y = net.fused(net.x, ("conv", conv_op()), ("act", LeakyRelu(0.1)))
    graph = net.output(net.linear("fc", y))
    made = quantized(graph, ranges(input_1=(-1, 1), conv_fusion__act=(-0.4, 2.0), fc=(-1, 1)))
    inner = record(made, "conv_fusion/conv")
    assert (inner.dtype, meaning(inner)) == ("int32", (2 / 127, 0))
    assert meaning(record(made, "conv_fusion")) == (2 / 127, 0)
    assert made["conv_fusion/act"].kernel.slope.tolist() == [13]


def test_a_filter_before_a_hard_sigmoid_has_a_fixed_scale() -> None:
    alpha = float(np.float32(1 / 6))
    net = Net(2, 6, 6)
    y = net.fused(net.x, ("conv", conv_op()), ("act", HardSigmoid(alpha, 0.5)))
    stats = ranges(input_1=(-1, 1), conv_fusion__conv=(-2, 9), fc=(-1, 1))
    made = quantized(net.output(net.linear("fc", y)), stats)
    inner = record(made, "conv_fusion/conv")
    assert (inner.dtype, inner.minimum[0], inner.maximum[0]) == ("int32", -2, 9)
    assert inner.first_scale == pytest.approx(0.04724409308, rel=1e-9)
    kernel = made["conv_fusion/act"].kernel
    assert (kernel.offset, kernel.upper) == (64, 127)
    assert (int(kernel.scaling.multiplier[0]), int(kernel.scaling.shift[0])) == (1, 0)
    assert meaning(record(made, "conv_fusion")) == (1 / 127, 0)


@pytest.mark.parametrize("op", [Tanh(), Sigmoid()])
def test_a_filter_before_a_table_gives_q12(op) -> None:  # type: ignore[no-untyped-def]
    net = Net(2, 6, 6)
    y = net.fused(net.x, ("conv", conv_op()), ("act", op))
    made = quantized(net.output(net.linear("fc", y)), ranges(input_1=(-1, 1), fc=(-1, 1)))
    inner = record(made, "conv_fusion/conv")
    assert (inner.dtype, inner.first_scale) == ("int32", 2.0**-12)
    scaling = made["conv_fusion/act"].kernel.scaling
    assert (int(scaling.multiplier[0]), int(scaling.shift[0])) == (127, 15)


def test_a_pool_behind_a_fused_tanh_keeps_its_record() -> None:
    net = Net(2, 6, 6)
    y = net.fused(net.x, ("conv", conv_op()), ("act", Tanh()), ("pool", HALVING))
    stats = ranges(input_1=(-1, 1), conv_fusion__pool=(-0.1, 0.1), fc=(-1, 1))
    made = quantized(net.output(net.linear("fc", y)), stats)
    assert meaning(record(made, "conv_fusion")) == (1 / 127, 0)


# -- producers that are always symmetric -----------------------------------------------------------


@pytest.mark.parametrize("op", [Relu(), Relu6()])
def test_a_fused_sum_is_symmetric_whatever_follows(op) -> None:  # type: ignore[no-untyped-def]
    net = Net(2, 6, 6)
    y = net.fusion("sum_fusion", [net.x, net.x], [("sum", Add(), [0, 1]), ("act", op)])
    graph = net.output(net.linear("fc", y))
    made = quantized(graph, ranges(input_1=(-1, 1), sum_fusion__act=(0, 6.0), fc=(-1, 1)))
    assert meaning(record(made, "sum_fusion/sum")) == (6 / 127, 0)
    assert meaning(record(made, "sum_fusion")) == (6 / 127, 0)


@pytest.mark.parametrize(
    ("low", "recorded"),
    [(-3.85, -3.85), (-9.0, 0.0)],  # the same scale as the relu's, a larger one
)
def test_a_fused_sum_keeps_its_own_minimum_when_the_scale_is_the_relus(
    low: float, recorded: float
) -> None:
    net = Net(2, 6, 6)
    y = net.fusion("sum_fusion", [net.x, net.x], [("sum", Add(), [0, 1]), ("act", Relu())])
    graph = net.output(net.linear("fc", y))
    stats = ranges(
        input_1=(-1, 1), sum_fusion__sum=(low, 7.04), sum_fusion__act=(0, 7.04), fc=(0, 1)
    )
    made = quantized(graph, stats)
    assert record(made, "sum_fusion/sum").minimum[0] == recorded
    assert record(made, "sum_fusion").minimum[0] == 0.0
    assert meaning(record(made, "sum_fusion/sum")) == (7.04 / 127, 0)


def test_the_larger_scale_is_the_one_that_a_sum_scales() -> None:
    net = Net(2, 6, 6)
    y = net.node("sum", Add(), net.conv("a", net.x), net.conv("b", net.x))
    stats = ranges(input_1=(-1, 1), a=(-1, 1.27), b=(-2, 2.54), sum=(-3, 3))
    kernel = quantized(net.output(y), stats)["sum"].kernel
    assert kernel.scaled_input == 1
    assert (int(kernel.input_scaling.multiplier[0]), int(kernel.input_scaling.shift[0])) == (2, 0)
    assert kernel.bias == 0


def test_equal_scales_scale_input_zero() -> None:
    net = Net(2, 6, 6)
    made = quantized(
        net.output(net.node("sum", Add(), net.x, net.x)), ranges(input_1=(-1, 1), sum=(-2, 2))
    )
    assert made["sum"].kernel.scaled_input == 0


# -- softmax ---------------------------------------------------------------------------------------


def test_softmax_takes_a_power_of_two_and_gives_q15() -> None:
    net = Net(8)
    graph = net.output(net.node("softmax", Softmax(0), net.linear("fc", net.x)))
    made = quantized(graph, ranges(input_1=(-1, 1), fc=(-7.737, 4.011)))
    assert meaning(record(made, "fc")) == (0.0625, 0)
    for key in ("softmax", "output_1"):
        assert record(made, key).dtype == "int16"
        assert record(made, key).first_scale == 2.0**-15


def test_softmax_in_eight_bits_gives_q7() -> None:
    net = Net(8)
    graph = net.output(net.node("softmax", Softmax(0), net.linear("fc", net.x)))
    stats = ranges(input_1=(-1, 1), fc=(-7.737, 4.011))
    made = quantized(graph, stats, {"softmax_out_8bits": True})
    assert (record(made, "output_1").dtype, record(made, "output_1").first_scale) == (
        "int8",
        2.0**-7,
    )


def test_an_int8_reader_of_softmax_gets_a_quantize_node() -> None:
    net = Net(8)
    soft = net.node("softmax", Softmax(0), net.linear("fc", net.x))
    graph = net.output(net.linear("fc2", soft))
    stats = ranges(input_1=(-1, 1), fc=(-7.7, 4.0), fc2=(-1, 1), softmax=(0.0, 1.0))
    made = quantized(graph, stats)
    assert "fc2_qin0" in names(graph)
    assert meaning(record(made, "fc2_qin0")) == (1 / 127, 0)


# -- concat ----------------------------------------------------------------------------------------


def two_branches(first_high: float, second_high: float) -> tuple[Graph, dict[str, object]]:
    """An asymmetric branch, and one that a padded pool makes symmetric, joined."""
    net = Net(2, 6, 6)
    a = net.fused(net.x, ("a", conv_op()), ("a_pool", AVERAGE))
    b = net.fused(net.x, ("b", conv_op()), ("b_pool", PADDED_POOL), ("b_relu", Relu()))
    joined = net.node("joined", Concat(0), a, b)
    graph = net.output(net.linear("fc", joined))
    a_range, b_range = (-0.5, first_high), (0, second_high)
    stats = ranges(input_1=(-1, 1), a_fusion__a=a_range, b_fusion__b_relu=b_range, fc=(-1, 1))
    return graph, quantized(graph, stats)  # type: ignore[return-value]


def test_a_symmetric_concat_input_with_the_larger_scale_wins() -> None:
    _, made = two_branches(2.0, 3.587)
    for key in ("a_fusion/a", "a_fusion", "b_fusion/b", "b_fusion/b_pool", "b_fusion", "joined"):
        assert meaning(record(made, key)) == (3.587 / 127, 0)  # type: ignore[arg-type]


def test_an_asymmetric_concat_input_with_the_larger_scale_wins_over_a_padded_pool() -> None:
    _, made = two_branches(20.0, 3.0)
    winner = record(made, "a_fusion")  # type: ignore[arg-type]
    assert winner.zero_point == round(-128 + 0.5 / (20.5 / 255))
    for key in ("b_fusion/b", "b_fusion/b_pool", "b_fusion", "joined"):
        assert record(made, key).same_record(winner)  # type: ignore[arg-type]
    assert made["b_fusion/b_relu"].kernel.lower == winner.zero_point  # type: ignore[attr-defined]


def test_a_concat_before_a_padded_convolution_is_symmetric_over_what_it_joins() -> None:
    net = Net(2, 6, 6)
    joined = net.node("joined", Concat(0), net.conv("a", net.x), net.conv("b", net.x))
    graph = net.output(net.conv("c", joined))
    stats = ranges(input_1=(-1, 1), a=(-1, 3), b=(-2, 1), c=(-1, 1))
    assert meaning(record(quantized(graph, stats), "b")) == (3 / 127, 0)
    stats = ranges(input_1=(-1, 1), a=(-1, 3), b=(-2, 1), c=(-1, 1), joined=(-2, 2.9))
    assert meaning(record(quantized(graph, stats), "b")) == (2.9 / 127, 0)


def test_the_largest_scale_wins_a_concat_although_it_cuts_off_a_third() -> None:
    net = Net(2, 6, 6)
    a, b = net.conv("a", net.x, pads=NONE), net.conv("b", net.x, pads=NONE)
    graph = net.output(net.linear("fc", net.node("joined", Concat(0), a, b)))
    stats = ranges(input_1=(-1, 1), a=(-5.0, 5.5), b=(0.0, 8.4), fc=(-1, 1))
    made = quantized(graph, stats)
    assert record(made, "joined").same_record(record(made, "a"))
    assert record(made, "joined").first_scale == 10.5 / 255
    losses = [entry for entry in find_losses(graph, stats) if entry.kind == "cut_off"]
    assert [str(entry)[:6] for entry in losses] == ["b: 34%"]


def test_a_concat_of_ranges_on_both_sides_of_zero_covers_both() -> None:
    net = Net(2, 6, 6)
    a, b = net.conv("a", net.x, pads=NONE), net.conv("b", net.x, pads=NONE)
    graph = net.output(net.linear("fc", net.node("joined", Concat(0), a, b)))
    made = quantized(graph, ranges(input_1=(-1, 1), a=(-5.0, 0.0), b=(0.0, 4.9), fc=(-1, 1)))
    assert record(made, "joined").first_scale == 9.9 / 255


def test_softmax_joined_with_int8_comes_through_a_quantize_node() -> None:
    net = Net(8)
    soft = net.node("softmax", Softmax(0), net.linear("fc", net.x))
    joined = net.node("joined", Concat(0), soft, net.linear("other", net.x))
    graph = net.output(joined)
    stats = ranges(input_1=(-1, 1), fc=(-4, 4), other=(-3, 3), softmax=(0, 1))
    made = quantized(graph, stats)
    assert "joined_qin0" in names(graph)
    assert record(made, "joined").dtype == "int8"
    assert record(made, "joined_qin0").same_record(record(made, "other"))


# -- conflicting records ---------------------------------------------------------------------------


def test_a_sigmoid_alone_behind_a_filter_sets_the_filter_range() -> None:
    net = Net(8)
    graph = net.output(net.node("gate", Sigmoid(), net.linear("fc", net.x)))
    made = quantized(graph, ranges(input_1=(-1, 1), fc=(-3, 3)))
    assert meaning(record(made, "fc")) == (8 / 127, 0)
    assert meaning(record(made, "gate")) == (1 / 127, 0)


def test_a_sigmoid_beside_a_sum_gets_a_quantize_node() -> None:
    net = Net(8)
    y = net.linear("fc", net.x)
    total = net.node("total", Add(), y, y)
    graph = net.output(total, net.node("gate", Sigmoid(), y))
    made = quantized(graph, ranges(input_1=(-1, 1), fc=(-3.5, 3), total=(-7, 6)))
    assert record(made, "fc").zero_point != 0  # two wishes: it keeps its own
    assert meaning(record(made, "gate_qin0")) == (8 / 127, 0)
    assert made["gate"].inputs[0].same_record(record(made, "gate_qin0"))
    assert made["total"].inputs[0].zero_point == 0


def hard_swish_by_hand() -> Graph:
    net = Net(2, 6, 6)
    y = net.conv("a", net.x, pads=NONE)
    gate = net.node("gate", HardSigmoid(float(np.float32(1 / 6)), 0.5), y)
    return net.output(net.linear("fc", net.node("mul", Mul(), y, gate)))


def test_gate_and_product_of_one_tensor_both_get_a_quantize_node() -> None:
    graph = hard_swish_by_hand()
    made = quantized(graph, ranges(input_1=(-1, 1), a=(-3.1, 4.0), mul=(-0.3, 4.0), fc=(-1, 1)))
    assert record(made, "a").zero_point == round(-128 + 3.1 / (7.1 / 255))
    assert meaning(record(made, "mul_qin0")) == (4 / 127, 0)
    assert record(made, "gate_qin0").first_scale == pytest.approx(6 / 127)
    assert record(made, "gate_qin0").dtype == "int8"


def test_quantizing_again_replaces_the_inserted_nodes() -> None:
    graph = hard_swish_by_hand()
    stats = ranges(input_1=(-1, 1), a=(-3.1, 4.0), mul=(-0.3, 4.0), fc=(-1, 1))
    quantize_graph(graph, stats)
    before = names(graph)
    quantize_graph(graph, stats)
    assert names(graph) == before
    remove_quantization(graph)
    assert names(graph) == [name for name in before if "_qin" not in name]
    assert not any(node.quantization for node in graph)


def test_a_product_alone_behind_a_filter_makes_it_symmetric() -> None:
    net = Net(2, 6, 6)
    y = net.conv("a", net.x, pads=NONE)
    graph = net.output(net.linear("fc", net.node("square", Mul(), y, y)))
    made = quantized(graph, ranges(input_1=(-1, 1), a=(-3.0, 4.0), square=(0, 16), fc=(-1, 1)))
    assert meaning(record(made, "a")) == (4 / 127, 0)
    assert not [name for name in names(graph) if "_qin" in name]


# -- stand-alone rectifiers ------------------------------------------------------------------------


def test_an_unfused_relu_pushes_its_range_back_as_a_fused_one_does() -> None:
    net = Net(2, 6, 6)
    y = net.node("pool", HALVING, net.conv("a", net.x, pads=NONE))
    graph = net.output(net.linear("fc", net.node("relu", Relu(), y)))
    made = quantized(graph, ranges(input_1=(-1, 1), a=(-9, 8), relu=(0, 5), fc=(-1, 1)))
    for key in ("a", "pool", "relu"):
        assert meaning(record(made, key)) == (5 / 255, -128)


@pytest.mark.parametrize(("low", "zero_point"), [(-2.15781, 0), (-2.2, 1), (-2.1, -2)])
def test_a_relu_of_a_filter_whose_zero_point_happens_to_be_zero_is_symmetric(
    low: float, zero_point: int
) -> None:
    net = Net(8)
    y = net.fused(net.x, ("fc", Linear()), ("relu", Relu()))
    graph = net.output(net.linear("fc2", y))
    high = 2.15686
    assert round(-128 - low * 255 / (high - low)) == zero_point
    stats = ranges(
        input_1=(-1, 1), fc_fusion__fc=(low, high), fc_fusion__relu=(0, high), fc2=(-1, 1)
    )
    expected = (high / 127, 0) if zero_point == 0 else (high / 255, -128)
    assert meaning(record(quantized(graph, stats), "fc_fusion")) == expected


def test_a_relu_beside_another_reader_gets_a_quantize_node() -> None:
    net = Net(2, 6, 6)
    y = net.conv("a", net.x, pads=NONE)
    relu = net.node("relu", Relu(), y)
    graph = net.output(net.linear("fc", relu), net.linear("fc2", y))
    stats = ranges(input_1=(-1, 1), a=(-5, 4), relu=(0, 4), fc=(-1, 1), fc2=(-1, 1))
    made = quantized(graph, stats)
    assert meaning(record(made, "a")) == (9 / 255, 14)
    assert meaning(record(made, "relu_qin0")) == (4 / 255, -128)
    assert meaning(record(made, "relu")) == (4 / 255, -128)


def test_a_clip_bounds_both_sides() -> None:
    net = Net(8)
    graph = net.output(net.node("clip", Clip(-1.0, 2.0), net.linear("fc", net.x)))
    made = quantized(graph, ranges(input_1=(-1, 1), fc=(-9, 9)))
    kernel = made["clip"].kernel
    assert (kernel.lower, kernel.upper) == (-63, 127)


# -- options ---------------------------------------------------------------------------------------


def test_asymmetric_outputs_can_be_switched_off_for_all_or_one() -> None:
    for options in (
        {"allow_asymmetric_out": False},
        {"nodes": {"conv*": {"allow_asymmetric_out": False}}},
    ):
        net = Net(2, 6, 6)
        y = net.fused(net.x, ("conv", conv_op()), ("relu", Relu()))
        graph = net.output(net.linear("fc", y))
        stats = ranges(input_1=(-1, 1), conv_fusion__relu=(0, 5), fc=(-1, 1))
        assert meaning(record(quantized(graph, stats, options), "conv_fusion")) == (5 / 127, 0)


def test_one_weight_scale_for_the_whole_tensor_gives_one_multiplier() -> None:
    net = Net(2, 6, 6)
    graph = net.output(net.conv("conv", net.x))
    stats = ranges(input_1=(-1, 1), conv=(-1, 1))
    made = quantized(graph, stats, {"quantized_dimension": "tensor"})
    assert made["conv"].kernel.multiplier.size == 1
    assert made["conv_weights"].outputs[0].scale.size == 1
    assert made["conv"].kernel.bias.size == 2


# -- statistics ------------------------------------------------------------------------------------


def test_ranges_are_found_with_and_without_the_fusion_prefix() -> None:
    for key in ("conv_fusion__relu", "relu", "other_fusion__relu", "conv_fusion"):
        net = Net(2, 6, 6)
        y = net.fused(net.x, ("conv", conv_op()), ("relu", Relu()))
        graph = net.output(net.linear("fc", y))
        made = quantized(graph, ranges(input_1=(-1, 1), fc=(-1, 1), **{key: (0.0, 5.1)}))
        assert record(made, "conv_fusion").first_scale == 5.1 / 255


def test_a_missing_range_names_the_node_and_what_to_type() -> None:
    net = Net(8)
    graph = net.output(net.linear("fc", net.x))
    with pytest.raises(QuantizationError, match=r"node fc.*aquant"):
        quantize_graph(graph, ranges(input_1=(-1, 1)))
    assert not any(node.quantization for node in graph)


def test_a_range_that_is_not_finite_leaves_the_graph_alone() -> None:
    net = Net(8)
    graph = net.output(net.linear("fc", net.x))
    with pytest.raises(QuantizationError, match="not finite"):
        quantize_graph(graph, ranges(input_1=(-1, 1), fc=(-1, float("inf"))))
    assert not graph.quantized


def test_all_zero_activations_quantize() -> None:
    net = Net(8)
    graph = net.output(net.linear("fc", net.x))
    made = quantized(graph, ranges(input_1=(0.0, 0.0), fc=(0.0, 0.0)))
    assert record(made, "input_1").first_scale == 1 / 255
    assert record(made, "fc").first_scale == 1 / 127
