"""Readers of one tensor that do the same become one; convolutions of it are done at once."""

from __future__ import annotations

import pytest

from nnshell.ops.add import Add
from nnshell.ops.leaky_relu import LeakyRelu
from nnshell.ops.relu import Relu, Relu6
from nnshell.ops.sub import Sub
from nnshell.passes.base import Pass
from nnshell.passes.fuse_conv import FuseConvPoolActivation
from nnshell.passes.parallel import MergeEqualOperations, MergeParallelConvolutions

from .nets import FloatCheck, Net, run_passes


def names(net: Net, *passes: Pass) -> list[str]:
    run_passes(net.graph, passes, check=FloatCheck(net.graph))
    return [node.name for node in net.graph if node.op.role not in ("constant", "output", "input")]


@pytest.mark.parametrize("op", [Relu(), Relu6(), LeakyRelu(0.1)])
def test_equal_activations_of_one_tensor_are_one(op) -> None:  # type: ignore[no-untyped-def]
    net = Net(2, 4, 4)
    first, second = net.node("first", op, net.x), net.node("second", op, net.x)
    net.output(net.conv(first, 2, 1, name="a"), net.conv(second, 3, 1, name="b"))
    assert names(net, MergeEqualOperations()) == ["first", "a", "b"]
    assert net.graph["b"].inputs[0].node == "first"


def test_activations_with_other_bounds_stay() -> None:
    net = Net(2, 4, 4)
    ops = (Relu(), Relu6(), LeakyRelu(0.1), LeakyRelu(0.2))
    net.output(*(net.node(f"act_{n}", op, net.x) for n, op in enumerate(ops)))
    assert len(names(net, MergeEqualOperations())) == 4


def test_sums_are_equal_in_any_order_and_differences_in_one() -> None:
    net = Net(2, 4, 4)
    y = net.input(2, 4, 4)
    sums = [net.node("sum", Add(), net.x, y), net.node("again", Add(), y, net.x)]
    differences = [net.node("sub", Sub(), net.x, y), net.node("other", Sub(), y, net.x)]
    net.output(*sums, *differences)
    assert names(net, MergeEqualOperations()) == ["sum", "sub", "other"]


def test_convolutions_of_one_tensor_are_one_and_its_result_is_cut() -> None:
    net = Net(3, 5, 5)
    parts = [net.conv(net.x, 4, pads=(1, 1, 1, 1), name=name) for name in "abc"]
    net.output(*(net.node(f"relu_{n}", Relu(), part) for n, part in enumerate(parts)))
    made = names(net, MergeParallelConvolutions(), FuseConvPoolActivation())  # split: not fused
    assert made == ["a", "a_split", "relu_0", "relu_1", "relu_2"]
    graph = net.graph
    assert graph["a"].type.shape == (12, 5, 5)
    assert graph.type_of(graph["a"].inputs[1]).shape == (12, 3, 3, 3)
    assert [graph[f"relu_{n}"].inputs[0].index for n in range(3)] == [0, 1, 2]


def test_convolutions_with_other_windows_or_channels_stay() -> None:
    net = Net(4, 5, 5)
    x = net.x
    net.output(
        net.conv(x, 4, name="plain"),
        net.conv(x, 5, name="more"),
        net.conv(x, 4, pads=(1, 1, 1, 1), name="padded"),
        net.conv(x, 4, strides=(2, 2), name="strided"),
        net.conv(x, 4, groups=2, name="grouped"),
        net.conv(x, 4, groups=2, name="twin"),
    )
    assert "plain_split" not in names(net, MergeParallelConvolutions())
    assert len(net.graph.consumers(x.node)) == 6
