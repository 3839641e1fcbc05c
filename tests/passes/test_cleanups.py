"""Nodes that are not needed go, tensors that cannot share memory are copied."""

from __future__ import annotations

import numpy as np
import pytest

from nnshell.ir.basic_operators import Reshape
from nnshell.ir.graph import Graph, Ref
from nnshell.ir.operator import Operator
from nnshell.ir.work import Window
from nnshell.ops.add import Add
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.clip import Clip
from nnshell.ops.concat import Concat
from nnshell.ops.copy import Copy
from nnshell.ops.div import Div
from nnshell.ops.hard_sigmoid import HardSigmoid
from nnshell.ops.hard_swish import HardSwish
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.mul import Mul
from nnshell.ops.pad import Pad
from nnshell.ops.quantize import Quantize
from nnshell.ops.relu import Relu, Relu6, ReluN
from nnshell.ops.sigmoid import Sigmoid
from nnshell.ops.split import Split
from nnshell.ops.strided_slice import StridedSlice
from nnshell.ops.tanh import Tanh
from nnshell.ops.transpose import Transpose
from nnshell.passes.base import Pass
from nnshell.passes.concats import (
    CombineConcats,
    RemoveConcatSplit,
    RemoveSplitConcat,
    SliceInsteadOfConcat,
    SplitToSlice,
)
from nnshell.passes.hard_sigmoid import (
    FuseHardSwish,
    MatchCloseHardSigmoid,
    MatchFarHardSigmoid,
)
from nnshell.passes.memory import DuplicateConstants, InsertCopies
from nnshell.passes.move_activations import MoveActivationBeforeSplit
from nnshell.passes.remove_noops import RemoveCopies, RemoveNoOps, RemoveQuantize
from nnshell.passes.remove_relus import RemoveRelus
from nnshell.passes.reshapes import RemoveReshapes, RemoveReshapesBeforeLinear
from nnshell.passes.slices_to_split import SlicesToSplit

from .nets import FloatCheck, Net, lines, records_of, run_passes, text


def run(graph: Graph, *passes: Pass) -> str:
    run_passes(graph, passes, check=FloatCheck(graph))
    return text(graph)


def notes(graph: Graph) -> str:
    return "\n".join(n.text for record in records_of(graph) for n in record.notes)


def cut(net: Net, x: Ref, axis: int, start: int, end: int, name: str = "slice") -> Ref:
    shape = net.shape(x)
    starts, ends = [0] * len(shape), list(shape)
    starts[axis], ends[axis] = start, end
    return net.node(name, StridedSlice(tuple(starts), tuple(ends), (1,) * len(shape)), x)


@pytest.mark.parametrize(
    "op",
    [
        Reshape((2, 3, 4)),
        Transpose((0, 1, 2)),
        Pad(((0, 0), (0, 0), (0, 0))),
        StridedSlice((0, 0, 0), (2, 3, 4), (1, 1, 1)),
        Concat(1),
        MaxPool(Window()),
        AveragePool(Window()),
    ],
)
def test_nodes_that_change_nothing_go(op: Operator) -> None:
    net = Net(2, 3, 4)
    graph = net.output(net.node("relu", Relu(), net.node("nothing", op, net.x)))
    assert "nothing" not in run(graph, RemoveNoOps())


@pytest.mark.parametrize(("op", "value"), [(Add(), 0.0), (Mul(), 1.0), (Div(), 1.0)])
def test_neutral_constants_go(op: Operator, value: float) -> None:
    net = Net(2, 3, 4)
    y = net.node("nothing", op, net.x, net.constant("c", np.full((2, 1, 1), value)))
    assert "nothing" not in run(net.output(y), RemoveNoOps())


def test_neutral_constant_that_broadcasts_stays() -> None:
    net = Net(2, 1, 1)
    y = net.node("grow", Add(), net.x, net.constant("zeros", np.zeros((2, 3, 3))))
    assert "grow" in run(net.output(y), RemoveNoOps())


def test_slice_backwards_stays() -> None:
    net = Net(4)
    y = net.node("reverse", StridedSlice((3,), (-1,), (-1,)), net.x)
    assert "reverse" in run(net.output(y), RemoveNoOps())


def test_copies_and_quantize_nodes_of_the_model_go() -> None:
    net = Net(4)
    y = net.node("quantize", Quantize(), net.node("copy", Copy(), net.x))
    graph = net.output(net.node("relu", Relu(), y))
    assert run(graph, RemoveCopies(), RemoveQuantize()).splitlines()[1] == "relu = relu input_1 : 4"


def test_reshapes_in_a_row_are_one() -> None:
    net = Net(2, 3, 4)
    y = net.node("first", Reshape((6, 4)), net.x)
    z = net.node("second", Reshape((24,)), y)
    graph = net.output(net.node("tanh", Tanh(), z), net.node("relu", Relu(), y))
    run(graph, RemoveReshapes())
    assert graph["second"].inputs == [Ref("input_1")] and "first" in graph


def test_linear_layer_reads_a_feature_map() -> None:
    net = Net(2, 3, 4)
    y = net.node("matrix", Reshape((6, 4)), net.x)
    graph = net.output(net.linear(net.node("flat", Reshape((24,)), y), 3))
    assert run(graph, RemoveReshapesBeforeLinear()) == lines(
        """
        input_1 = input : 2x3x4
        linear = linear input_1 : 3
        output_1 = output linear : 3
        """
    )
    wanted = "the linear kernel reads its input (2x3x4) as one vector of 24, in this order"
    assert f"removed reshape matrix before linear: {wanted}" in notes(graph)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Relu(), Relu()),
        (Relu6(), Relu()),
        (Relu6(), Relu6()),
        (ReluN(2.0), Relu6()),
        (HardSigmoid(), Relu6()),
        (Tanh(), Clip(-1.0, 1.0)),
    ],
)
def test_relu_behind_something_within_its_bounds_goes(first: Operator, second: Operator) -> None:
    net = Net(2, 4, 4)
    y = net.node("pool", MaxPool(), net.node("first", first, net.x))
    assert "second" not in run(net.output(net.node("second", second, y)), RemoveRelus())


@pytest.mark.parametrize(
    ("first", "second"),
    [(Relu(), Relu6()), (Tanh(), Relu()), (Relu6(), ReluN(5.0)), (Sigmoid(), Relu())],
)
def test_relu_that_still_clips_stays(first: Operator, second: Operator) -> None:
    net = Net(2, 4, 4)
    graph = net.output(net.node("second", second, net.node("first", first, net.x)))
    assert "second" in run(graph, RemoveRelus())


def test_relu_of_a_sum_of_relus_goes_and_relu6_of_it_stays() -> None:
    for last, stays in ((Relu(), False), (Relu6(), True)):
        net = Net(2, 4, 4)
        a, b = net.node("a", Relu(), net.x), net.node("b", Relu6(), net.x)
        total = net.node("total", Add(), a, net.node("product", Mul(), a, b))
        assert ("last" in run(net.output(net.node("last", last, total)), RemoveRelus())) is stays


def test_concat_of_concat_is_one_concat() -> None:
    net = Net(2, 3, 3)
    a, b, c = net.x, net.input(2, 3, 3), net.input(1, 3, 3)
    inner = net.node("inner", Concat(0), b, c)
    graph = net.output(net.node("outer", Concat(0), a, inner, a))
    expected = "outer = concat input_1 input_2 input_3 input_1 : 7x3x3"
    assert expected in run(graph, CombineConcats())


def test_concat_that_others_read_stays() -> None:
    net = Net(2, 3, 3)
    inner = net.node("inner", Concat(0), net.x, net.x)
    graph = net.output(net.node("outer", Concat(0), inner, net.x), inner)
    run(graph, CombineConcats())
    assert "did not join concat inner with outer: its output has two consumers" in notes(graph)


def test_split_of_a_concat_into_its_parts_goes() -> None:
    net = Net(2, 3, 3)
    joined = net.node("joined", Concat(0), net.x, net.input(1, 3, 3))
    name = net.node("parts", Split(0, (2, 1)), joined).node
    a, b = net.node("a", Relu(), Ref(name, 0)), net.node("b", Tanh(), Ref(name, 1))
    assert run(net.output(a, b), RemoveConcatSplit()) == lines(
        """
        input_1 = input : 2x3x3
        a = relu input_1 : 2x3x3
        output_1 = output a : 2x3x3
        input_2 = input : 1x3x3
        b = tanh input_2 : 1x3x3
        output_2 = output b : 1x3x3
        """
    )


def test_constant_part_of_a_concat_stays_in_it() -> None:
    net = Net(2, 3, 3)
    joined = net.node("joined", Concat(0), net.x, net.constant("part", net.normal(2, 3, 3)))
    name = net.node("parts", Split(0, (2, 2)), joined).node
    ends = [net.node("relu", Relu(), Ref(name, 1)), cut(net, joined, 0, 2, 3)]
    before = text(net.output(*ends))
    assert run(net.graph, RemoveConcatSplit(), SliceInsteadOfConcat()) == before
    assert "left split parts of concat joined: a part of it is constant" in notes(net.graph)


def test_concat_of_all_parts_of_a_split_goes() -> None:
    net = Net(3, 3, 3)
    name = net.node("parts", Split(0, (2, 1)), net.x).node
    joined = net.node("joined", Concat(0), Ref(name, 0), Ref(name, 1))
    swapped = net.node("swapped", Concat(0), Ref(name, 1), Ref(name, 0))
    graph = net.output(net.node("relu", Relu(), joined), swapped)
    shown = run(graph, RemoveSplitConcat())
    assert "relu = relu input_1 : 3x3x3" in shown and "swapped" in shown


def test_slice_of_a_concat_reads_the_part_it_lies_in() -> None:
    net = Net(2, 3, 3)
    joined = net.node("joined", Concat(0), net.x, net.input(3, 3, 3))
    inside, across = cut(net, joined, 0, 3, 5, "inside"), cut(net, joined, 0, 1, 3, "across")
    graph = net.output(inside, across)
    shown = run(graph, SliceInsteadOfConcat())
    assert "inside = strided_slice input_2 : 2x3x3" in shown
    assert "across = strided_slice joined : 2x3x3" in shown


def test_split_of_which_one_part_is_read_is_a_slice() -> None:
    net = Net(5, 2, 2)
    name = net.node("parts", Split(0, (2, 3)), net.x).node
    graph = net.output(net.node("relu", Relu(), Ref(name, 1)))
    assert "parts = strided_slice input_1 : 3x2x2" in run(graph, SplitToSlice())


def test_slices_that_take_all_of_a_tensor_are_a_split() -> None:
    net = Net(5, 2, 2)
    ends = [cut(net, net.x, 0, 2, 5, "b"), cut(net, net.x, 0, 0, 2, "a")]
    ends.append(net.node("tanh", Tanh(), cut(net, net.x, 0, 0, 2, "again")))
    assert run(net.output(*ends), SlicesToSplit()) == lines(
        """
        input_1 = input : 5x2x2
        input_1_split = split input_1 : 2x2x2 3x2x2
        output_2 = output input_1_split : 2x2x2
        tanh = tanh input_1_split : 2x2x2
        output_3 = output tanh : 2x2x2
        output_1 = output input_1_split.1 : 3x2x2
        """
    )


def test_slices_with_a_gap_stay() -> None:
    net = Net(5, 2, 2)
    graph = net.output(cut(net, net.x, 0, 0, 2, "a"), cut(net, net.x, 0, 3, 5, "b"))
    run(graph, SlicesToSplit())
    assert "did not make a split of slices a, b: they overlap or leave gaps" in notes(graph)


def hard_sigmoid(net: Net, x: Ref, *, far: bool, divide: bool) -> Ref:
    y = net.node("plus", Add(), x, net.constant("three", 3.0))
    y = net.node("clip", Relu6(), y)
    if far:
        y = net.node("gated", Mul(), x, y)
    op, factor = (Div(), 6.0) if divide else (Mul(), 1 / 6)
    return net.node("scaled", op, y, net.constant("sixth", factor))


@pytest.mark.parametrize("divide", [False, True])
def test_close_hard_sigmoid_is_one_node(divide: bool) -> None:
    net = Net(2, 3, 3)
    graph = net.output(hard_sigmoid(net, net.x, far=False, divide=divide))
    assert run(graph, MatchCloseHardSigmoid()) == lines(
        """
        input_1 = input : 2x3x3
        clip = hsigmoid input_1 : 2x3x3
        output_1 = output clip : 2x3x3
        """
    )


@pytest.mark.parametrize("divide", [False, True])
def test_far_hard_sigmoid_leaves_the_product(divide: bool) -> None:
    net = Net(2, 3, 3)
    graph = net.output(hard_sigmoid(net, net.x, far=True, divide=divide))
    assert run(graph, MatchFarHardSigmoid()) == lines(
        """
        input_1 = input : 2x3x3
        clip = hsigmoid input_1 : 2x3x3
        gated = mul input_1 clip : 2x3x3
        output_1 = output gated : 2x3x3
        """
    )
    run_passes(graph, [FuseHardSwish()], check=FloatCheck(graph))
    assert graph["gated"].op == HardSwish()


def test_clip_that_others_read_is_no_hard_sigmoid() -> None:
    net = Net(2, 3, 3)
    scaled = hard_sigmoid(net, net.x, far=False, divide=False)
    graph = net.output(scaled, Ref("clip"))
    run(graph, MatchCloseHardSigmoid(), MatchFarHardSigmoid())
    assert graph["clip"].op == Relu6() and "did not make a hard sigmoid" in notes(graph)


def test_activation_behind_all_parts_of_a_split_moves_in_front() -> None:
    net = Net(4, 2, 2)
    name = net.node("parts", Split(0, (1, 3)), net.x).node
    ends = [net.node(f"relu_{i}", Relu(), Ref(name, i)) for i in (0, 1)]
    graph = net.output(*ends)
    assert run(graph, MoveActivationBeforeSplit()).splitlines()[1:3] == [
        "relu_0 = relu input_1 : 4x2x2",
        "parts = split relu_0 : 1x2x2 3x2x2",
    ]


def test_each_reader_gets_its_own_constant() -> None:
    net = Net(4)
    shared = net.constant("shared", 2.0)
    y = net.node("second", Mul(), net.node("first", Mul(), net.x, shared), shared)
    graph = net.output(y)
    run(graph, DuplicateConstants())
    assert [graph[n].inputs[1].node for n in ("first", "second")] == ["shared", "shared_1"]


def test_part_of_a_split_is_copied_into_a_graph_output() -> None:
    net = Net(2)
    name = net.node("parts", Split(0, (1, 1)), net.x).node
    scalar = net.node("scalar", Reshape(()), Ref(name, 0))
    active = net.node("sigmoid", Sigmoid(), Ref(name, 1))
    assert run(net.output(scalar, active), InsertCopies()) == lines(
        """
        input_1 = input : 2
        input_1_copy = copy input_1 : 2
        parts = split input_1_copy : 1 1
        scalar = reshape parts : scalar
        scalar_copy = copy scalar : scalar
        output_1 = output scalar_copy : scalar
        sigmoid = sigmoid parts.1 : 1
        output_2 = output sigmoid : 1
        """
    )


def test_tensor_that_lies_in_two_places_is_copied_into_the_second() -> None:
    net = Net(2, 3, 3)
    y = net.node("relu", Relu(), net.x)
    joined = net.node("joined", Concat(0), y, y)
    other = net.node("other", Concat(1), y, net.x)
    graph = net.output(y, net.x, joined, other)
    shown = run(graph, InsertCopies())
    assert "joined = concat relu_copy_1 relu_copy : 4x3x3" in shown
    assert "output_1 = output relu_copy_0" in shown
    assert "output_2 = output input_1_copy" in shown
    assert "output_3 = output joined_copy" in shown  # the caller owns a graph output
    assert "other = concat relu input_1 : 2x6x3" in shown  # has a kernel, takes any tensor


def test_copies_that_memory_needs_survive_a_second_run() -> None:
    net = Net(2)
    graph = net.output(net.x)
    first = run(graph, InsertCopies())
    assert run(graph, RemoveCopies(), InsertCopies()) == first
