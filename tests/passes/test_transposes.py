"""Transposes are put in where a kernel needs them, and removed wherever they can be."""

from __future__ import annotations

import numpy as np
import pytest

from nnshell.ir.basic_operators import Reshape
from nnshell.ir.graph import Graph, Ref
from nnshell.ir.operator import Operator
from nnshell.ir.permutations import after, inverse, permuted, through_reshape
from nnshell.ops.add import Add
from nnshell.ops.concat import Concat
from nnshell.ops.leaky_relu import LeakyRelu
from nnshell.ops.matmul import MatMul
from nnshell.ops.mul import Mul
from nnshell.ops.pad import Pad
from nnshell.ops.relu import Relu
from nnshell.ops.softmax import Softmax
from nnshell.ops.split import Split
from nnshell.ops.strided_slice import StridedSlice
from nnshell.ops.transpose import Transpose
from nnshell.passes.edit import FreezeOrder
from nnshell.passes.pipelines import adjust_passes

from .nets import FloatCheck, Net, lines, records_of, run_passes, text

LAST, FIRST = Transpose((1, 2, 0)), Transpose((2, 0, 1))


def adjusted(graph: Graph, **options: int) -> str:
    run_passes(graph, adjust_passes(graph, **options), check=FloatCheck(graph))  # type: ignore[arg-type]
    return text(graph)


def notes(graph: Graph) -> str:
    return "\n".join(n.text for record in records_of(graph) for n in record.notes)


def transposes(graph: Graph) -> list[str]:
    return [node.name for node in graph.steps() if node.kind == "transpose"]


def sandwich(net: Net, x: Ref, *ops: Operator) -> Ref:
    y = net.node("to_last", LAST, x)
    for op in ops:
        y = net.node(op.kind, op, y)
    return net.node("to_first", FIRST, y)


def test_network_that_is_channels_first_needs_nothing() -> None:
    net = Net(2, 6, 6)
    graph = net.output(net.conv(net.x, 3))
    adjusted(graph)
    expected = "activations are CHW already, as the kernels want: no transpose to insert"
    assert notes(graph) == expected


@pytest.mark.parametrize(
    "op",
    [
        Relu(),
        LeakyRelu(0.1),
        Pad(((1, 0), (0, 2), (1, 1)), 0.5),
        StridedSlice((0, 1, 0), (3, 3, 2), (1, 2, 1)),
    ],
)
def test_channels_last_sandwich_goes(op: Operator) -> None:
    net = Net(2, 3, 3)
    y = sandwich(net, net.conv(net.x, 2, 1), op)
    graph = net.output(net.conv(y, 2, 1, name="next"))
    shown = adjusted(graph)
    assert not transposes(graph), shown
    assert f"{op.kind} = {op.kind} conv" in shown


def test_sandwich_around_sums_products_and_concats_goes() -> None:
    net = Net(2, 3, 4)
    x, y = net.conv(net.x, 2, 1, name="a"), net.conv(net.x, 2, 1, name="b")
    a, b = net.node("a_last", LAST, x), net.node("b_last", LAST, y)
    total = net.node("sum", Add(), a, b)
    scaled = net.node("scaled", Mul(), total, net.constant("per_channel", net.normal(2)))
    joined = net.node("joined", Concat(2), scaled, a)
    graph = net.output(net.conv(net.node("to_first", FIRST, joined), 2, 1, name="next"))
    assert adjusted(graph).splitlines()[-5:-1] == [
        "sum = add a b : 2x3x4",
        "scaled = mul sum : 2x3x4",
        "joined = concat scaled a : 4x3x4",
        "next = conv2d joined : 2x3x4",
    ]
    assert graph["per_channel"].type.shape == (2, 1, 1)
    assert "removed transposes" in notes(graph)


def test_transpose_that_would_only_move_stays() -> None:
    net = Net(2, 3, 4)
    graph = net.output(net.node("relu", Relu(), net.node("to_last", LAST, net.conv(net.x, 2, 1))))
    adjusted(graph)
    assert transposes(graph) == ["to_last"]
    assert "kept transpose to_last: removing it would need others elsewhere" in notes(graph)


def test_linear_layer_sorts_its_weights_instead() -> None:
    net = Net(2, 3, 4)
    flat = net.node("flat", Reshape((24,)), net.node("to_last", LAST, net.x))
    graph = net.output(net.linear(flat, 5))
    assert adjusted(graph) == lines(
        """
        input_1 = input : 2x3x4
        linear = linear input_1 : 5
        output_1 = output linear : 5
        """
    )
    assert "sorted the weights of linear instead of transposing by to_last" in notes(graph)


def test_activation_between_transpose_and_linear_layer_does_not_hinder() -> None:
    net = Net(2, 3, 4)
    y = net.node("relu", Relu(), net.node("to_last", LAST, net.conv(net.x, 2, 1)))
    graph = net.output(net.linear(net.node("flat", Reshape((24,)), y), 5))
    adjusted(graph)
    assert not transposes(graph)


def test_transpose_of_size_one_axes_is_a_reshape() -> None:
    net = Net(5, 1, 1)
    graph = net.output(net.node("relu", Relu(), net.node("to_last", LAST, net.x)))
    assert "to_last = reshape input_1 : 1x1x5" in adjusted(graph)


def test_transposes_in_a_row_are_one_or_none() -> None:
    net = Net(2, 3, 4)
    y = net.node("second", Transpose((0, 2, 1)), net.node("first", LAST, net.x))
    z = net.node("back", FIRST, net.node("again", LAST, net.x))
    graph = net.output(y, net.node("relu", Relu(), z))
    adjusted(graph)
    assert transposes(graph) == ["second"]
    assert graph["second"].op == Transpose((1, 0, 2))
    assert graph["relu"].inputs == [Ref("input_1")]


def test_same_transpose_twice_is_shared() -> None:
    net = Net(2, 3, 4)
    x = net.conv(net.x, 2, 1)
    graph = net.output(*(net.node(name, LAST, x) for name in ("one", "two")))
    adjusted(graph)
    assert transposes(graph) == ["one"]


def test_graph_input_takes_channels_first() -> None:
    net = Net(6, 5, 3)
    graph = net.output(net.conv(net.node("to_first", FIRST, net.x), 2))
    assert adjusted(graph).splitlines()[:2] == [
        "input_1 = input : 3x6x5",
        "conv = conv2d input_1 : 2x4x3",
    ]
    wanted = "input_1 takes 3x6x5, channels first, instead of 6x5x3: removed transpose to_first"
    assert wanted in notes(graph)


def test_graph_input_that_is_channels_first_already_stays() -> None:
    net = Net(3, 6, 5)
    graph = net.output(net.conv(net.node("strange", FIRST, net.x), 2))
    adjusted(graph)
    assert graph["input_1"].type.shape == (3, 6, 5) and transposes(graph) == ["strange"]


def test_frozen_graph_input_keeps_its_order() -> None:
    net = Net(6, 5, 3)
    graph = net.output(net.conv(net.node("to_first", FIRST, net.x), 2))
    run_passes(graph, [FreezeOrder("input_1")])
    adjusted(graph)
    assert graph["input_1"].type.shape == (6, 5, 3) and transposes(graph) == ["to_first"]


def test_matrix_product_reads_the_transposed_matrix() -> None:
    net = Net(4, 6)
    other = net.node("swap", Transpose((1, 0)), net.input(5, 6))
    graph = net.output(net.node("product", MatMul(), net.x, other))
    adjusted(graph)
    assert graph["product"].op == MatMul(transpose_b=True) and not transposes(graph)


def test_softmax_runs_along_the_last_axis() -> None:
    net = Net(3, 4, 5)
    graph = net.output(net.node("softmax", Softmax(0), net.x))
    assert adjusted(graph) == lines(
        """
        input_1 = input : 3x4x5
        softmax_transpose_in = transpose input_1 : 4x5x3
        softmax = softmax softmax_transpose_in : 4x5x3
        softmax_transpose_out = transpose softmax : 3x4x5
        output_1 = output softmax_transpose_out : 3x4x5
        """
    )
    assert "its kernel works along the last axis, not 0" in notes(graph)


@pytest.mark.parametrize(("axis", "parts"), [(0, 6), (2, 4)])
def test_concat_along_the_first_or_last_axis_has_a_kernel(axis: int, parts: int) -> None:
    net = Net(3, 4, 5)
    graph = net.output(net.node("joined", Concat(axis), *[net.x] * parts))
    adjusted(graph)
    assert not transposes(graph)


@pytest.mark.parametrize(("axis", "parts"), [(1, 2), (2, 5)])
def test_other_concats_run_along_the_first_axis(axis: int, parts: int) -> None:
    net = Net(3, 4, 5)
    graph = net.output(net.node("joined", Concat(axis), *[net.x] * parts))
    adjusted(graph)
    assert graph["joined"].op == Concat(0)
    assert len(transposes(graph)) == 2  # one shared before, one after


def test_split_in_the_middle_runs_along_the_first_axis() -> None:
    net = Net(3, 4, 5)
    name = net.node("parts", Split(1, (1, 3)), net.x).node
    graph = net.output(Ref(name, 0), Ref(name, 1))
    adjusted(graph)
    assert graph["parts"].op == Split(0, (1, 3))


def test_without_postprocessing_transposes_are_only_inserted() -> None:
    net = Net(2, 3, 3)
    graph = net.output(net.conv(sandwich(net, net.x, Relu()), 2, 1))
    adjusted(graph, postprocess=False)
    assert transposes(graph) == ["to_last", "to_first"]


def test_steps_limit_what_is_eliminated() -> None:
    net = Net(2, 3, 4)
    y = net.node("d", FIRST, net.node("c", LAST, net.node("b", FIRST, net.node("a", LAST, net.x))))
    graph = net.output(net.node("relu", Relu(), y))
    run_passes(graph, adjust_passes(graph, steps=1))
    assert len(transposes(graph)) == 2
    run_passes(graph, adjust_passes(graph, steps=5))
    assert not transposes(graph)


@pytest.mark.parametrize(
    ("source", "target", "perm", "expected"),
    [
        ((2, 3, 4), (2, 12), (1, 2, 0), (1, 0)),  # height and width merged: they move together
        ((2, 3, 4), (6, 4), (1, 2, 0), None),  # channels and height merged: they are torn apart
        ((6, 4), (2, 3, 4), (1, 0), (2, 0, 1)),
        ((5, 1, 1), (5,), (1, 2, 0), (0,)),
        ((2, 6), (2, 1, 6), (1, 0), (2, 1, 0)),
        ((2, 3), (3, 2), (0, 1), (0, 1)),
        ((2, 3), (3, 2), (1, 0), None),
    ],
)
def test_orders_that_pass_a_reshape(
    source: tuple[int, ...],
    target: tuple[int, ...],
    perm: tuple[int, ...],
    expected: tuple[int, ...] | None,
) -> None:
    result = through_reshape(source, target, perm)
    assert result == expected
    if result is not None:
        x = np.arange(np.prod(source)).reshape(source)
        moved = x.transpose(perm).reshape(permuted(target, result))
        assert np.array_equal(moved, x.reshape(target).transpose(result))


def test_inverse_undoes_and_after_composes() -> None:
    x = np.arange(24).reshape(2, 3, 4)
    p, q = (2, 0, 1), (0, 2, 1)
    assert np.array_equal(x.transpose(p).transpose(inverse(p)), x)
    assert np.array_equal(x.transpose(p).transpose(q), x.transpose(after(p, q)))
