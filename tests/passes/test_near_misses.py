"""Patterns and everything one step beside them: the function stays, whether a pass acts or not.

Each family is a pattern that some pass looks for, with every attribute that the pass must look at
varied. The check runs the graph before and after every pass; a pass that forgets to look at one of
the attributes changes the function of some of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations, product

import numpy as np
import pytest

from nnshell.ir.graph import Graph, Ref
from nnshell.ir.operator import Operator
from nnshell.ir.work import Window
from nnshell.ops.add import Add
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.clip import Clip
from nnshell.ops.concat import Concat
from nnshell.ops.hard_sigmoid import HardSigmoid
from nnshell.ops.leaky_relu import LeakyRelu
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.mul import Mul
from nnshell.ops.pad import Pad
from nnshell.ops.relu import Relu, Relu6, ReluN
from nnshell.ops.resize import NearestNeighborResizer
from nnshell.ops.split import Split
from nnshell.ops.strided_slice import StridedSlice
from nnshell.ops.sub import Sub
from nnshell.ops.tanh import Tanh
from nnshell.ops.transpose import Transpose
from nnshell.passes.manager import run_passes
from nnshell.passes.pipelines import ADJUST, POW2, SCALE8

from .nets import FloatCheck, Net

Family = Iterator[tuple[str, Graph]]
SIZE = 4


def slice_of(axis: int, start: int, end: int, stride: int = 1) -> StridedSlice:
    starts, ends, strides = [0, 0, 0], [SIZE] * 3, [1, 1, 1]
    starts[axis], ends[axis], strides[axis] = start, end, stride
    return StridedSlice(tuple(starts), tuple(ends), tuple(strides))


def split_and_concat() -> Family:
    """Both axes, and the order in which the parts are joined."""
    for axis, other, order in product(range(3), range(3), permutations(range(2))):
        net = Net(SIZE, SIZE, SIZE)
        split = net.node("split", Split(axis, (2, 2)), net.x).node
        parts = [Ref(split, index) for index in order]
        if axis != other or order != (0, 1):
            yield f"{axis} {other} {order}", net.output(net.node("join", Concat(other), *parts))
    for axis, parts_taken in product(range(3), ((0, 0), (1, 1), (0,))):
        net = Net(SIZE, SIZE, SIZE)
        split = net.node("split", Split(axis, (2, 2)), net.x).node
        refs = [Ref(split, index) for index in parts_taken]
        yield f"{axis} of {parts_taken}", net.output(net.node("join", Concat(axis), *refs))


def concat_and_cut() -> Family:
    """Where a split or slice of a concat cuts, and along which axis."""
    for axis, other, cut in product(range(3), range(3), (1, 2, 3)):
        net = Net(SIZE, SIZE, SIZE)
        second = net.input(SIZE, SIZE, SIZE)
        joined = net.node("join", Concat(axis), net.x, second)
        sizes = (cut, net.shape(joined)[other] - cut)
        split = net.node("split", Split(other, sizes), joined).node
        yield f"split {axis} {other} {cut}", net.output(Ref(split), Ref(split, 1))
    for start, end, stride in product((0, 2, 4), (3, 4, 6, 8), (1, 2)):
        if start < end:
            net = Net(SIZE, SIZE, SIZE)
            joined = net.node("join", Concat(0), net.x, net.input(SIZE, SIZE, SIZE))
            cut = StridedSlice((start, 0, 0), (end, SIZE, SIZE), (stride, 1, 1))
            yield f"slice {start}:{end}:{stride}", net.output(net.node("cut", cut, joined))
    net = Net(SIZE, SIZE, SIZE)
    joined = net.node("join", Concat(1), net.x, net.input(SIZE, SIZE, SIZE))
    back = StridedSlice((0, 7, 0), (SIZE, -1, SIZE), (1, -1, 1))
    yield "slice backwards", net.output(net.node("cut", back, joined))


def several_slices() -> Family:
    """Slices that overlap, leave gaps, step, repeat or lie along two axes."""
    for name, cuts in {
        "whole": ((0, 0, 2), (0, 2, 4)),
        "reversed": ((0, 2, 4), (0, 0, 2)),
        "overlap": ((0, 0, 3), (0, 2, 4)),
        "gap": ((0, 0, 1), (0, 2, 4)),
        "end missing": ((0, 0, 1), (0, 1, 3)),
        "twice": ((0, 0, 2), (0, 0, 2), (0, 2, 4)),
        "two axes": ((0, 0, 2), (1, 2, 4)),
        "stride": ((0, 0, 4, 2), (0, 1, 4, 2)),
        "columns": ((2, 0, 1), (2, 1, 4)),
    }.items():
        net = Net(SIZE, SIZE, SIZE)
        x = net.conv(net.x, SIZE, 1)
        yield name, net.output(*(net.node("cut", slice_of(*cut), x) for cut in cuts))


def padded_sums() -> Family:
    """Which axes are padded, with what, what follows."""
    pads = [((0, 2), (0, 0), (0, 0)), ((1, 1), (0, 0), (0, 0)), ((0, 0), (1, 1), (0, 0))]
    followers: tuple[Operator | None, ...] = (None, Relu(), Relu6())
    for pad, value, after in product(pads, (0.0, 0.5, -1.0), followers):
        for first in (True, False):
            net = Net(2, SIZE, SIZE)
            padded = net.node("pad", Pad(pad, value), net.conv(net.x, 2, 1))
            other = net.input(*net.shape(padded))
            y = net.node("sum", Add(), *((padded, other) if first else (other, padded)))
            y = y if after is None else net.node("after", after, y)
            yield f"{pad} {value} {after} {first}", net.output(y)


def padded_windows() -> Family:
    """A border before a convolution or a pool that has or has not a padding of its own."""
    border = ((0, 0), (1, 1), (1, 1))
    plain, own = Window((3, 3)), Window((3, 3), pads=(1, 1, 1, 1))
    for value, window in product((0.0, 0.5, -2.0), (plain, own)):
        pools = (MaxPool(window), AveragePool(window), AveragePool(window, True))
        for pool in pools if window.padded else pools[:2]:
            net = Net(2, SIZE, SIZE)
            padded = net.node("pad", Pad(border, value), net.node("relu", Relu(), net.x))
            yield f"{value} {pool}", net.output(net.node("pool", pool, padded))
        net = Net(2, SIZE, SIZE)
        padded = net.node("pad", Pad(border, value), net.x)
        yield f"{value} conv {window}", net.output(net.conv(padded, 2, pads=window.pads))
    for pad in (((1, 0), (0, 0), (0, 0)), ((0, 0), (2, 0), (0, 1))):
        net = Net(2, SIZE, SIZE)
        yield f"conv {pad}", net.output(net.conv(net.node("pad", Pad(pad), net.x), 2))


def limits_after_limits() -> Family:
    """Activations that are superfluous, or nearly so, after what is known of their input."""
    makers: tuple[Operator, ...] = (Relu(), Relu6(), Clip(1.0, 2.0), Clip(-2.0, -0.5), Tanh())
    makers += (HardSigmoid(1 / 6, 0.5), LeakyRelu(0.1), LeakyRelu(-1.0), ReluN(0.5))
    pads = (1, 1, 1, 1)
    between: tuple[Operator | None, ...] = (
        None,
        MaxPool(Window((2, 2))),
        AveragePool(Window((2, 2))),
        AveragePool(Window((3, 3), pads=pads), True),
        Pad(((0, 0), (1, 0), (0, 1)), 0.0),
        Pad(((0, 0), (1, 0), (0, 1)), 8.0),
        NearestNeighborResizer((8, 8), "asymmetric"),
    )
    afters: tuple[Operator, ...] = (Relu(), Relu6(), Clip(0.0, 1.0), Clip(1.0, 3.0), ReluN(0.5))
    afters += (LeakyRelu(0.1), Clip(-1.0, -0.25))
    for maker, middle, after in product(makers, between, afters):
        net = Net(2, SIZE, SIZE)
        y = net.node("maker", maker, net.node("scaled", Mul(), net.x, net.constant("four", [4.0])))
        y = y if middle is None else net.node("middle", middle, y)
        yield f"{maker} {middle} {after}", net.output(net.node("after", after, y))


def sums_and_products_after_filters() -> Family:
    """Constants that are per channel, and that only look so."""
    shapes = ((1, 1, 1), (2, 1, 1), (1, SIZE, 1), (1, 1, SIZE), (2, SIZE, SIZE), (SIZE,))
    for op, shape, first, used in product((Add(), Sub(), Mul()), shapes, (True, False), (1, 2)):
        net = Net(2, SIZE, SIZE)
        filtered = net.conv(net.x, 2, 1)
        constant = net.constant("constant", net.normal(*shape))
        y = net.node("op", op, *((constant, filtered) if first else (filtered, constant)))
        yield f"{op} {shape} {first} {used}", net.output(*(y, filtered)[:used])


def poolings_after_activations() -> Family:
    """An activation moves after a pool only where it keeps the order."""
    windows = (Window((2, 2), (2, 2)), Window((3, 3), pads=(1, 1, 1, 1)))
    activations = (Relu(), LeakyRelu(-1.0), LeakyRelu(0.1), Tanh(), Clip(-1.0, -0.5))
    for activation, window, average in product(activations, windows, (True, False)):
        pool = AveragePool(window) if average else MaxPool(window)
        net = Net(2, SIZE, SIZE)
        y = net.node("activation", activation, net.conv(net.x, 2, 1))
        yield f"{activation} {pool}", net.output(net.node("pool", pool, y))


def transposes_around() -> Family:
    """Transposes that cancel around an operator with an axis, and that do not."""
    orders = tuple(permutations(range(3)))
    for before, after, axis in product(orders, orders, range(3)):
        if sum(before[:2]) % 2 == 0:  # a part of all, with every axis and both neighbours in it
            net = Net(SIZE, SIZE, SIZE)
            y = net.node("before", Transpose(before), net.x)
            y = net.node("join", Concat(axis), y, net.node("relu", Relu(), y))
            yield f"{before} {axis} {after}", net.output(net.node("after", Transpose(after), y))


FAMILIES = (
    split_and_concat,
    concat_and_cut,
    several_slices,
    padded_sums,
    padded_windows,
    limits_after_limits,
    sums_and_products_after_filters,
    poolings_after_activations,
    transposes_around,
)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_passes_keep_the_function_of_patterns_and_of_what_is_beside_them(family) -> None:  # type: ignore[no-untyped-def]
    for name, graph in family():
        before = FloatCheck(graph, seed=1)
        expected = before(graph)
        for pipeline in (ADJUST, SCALE8):
            run_passes(graph, pipeline)
        for key, value in before(graph).items():
            np.testing.assert_allclose(value, expected[key], rtol=1e-4, atol=1e-5, err_msg=name)


def test_single_passes_keep_it_too() -> None:
    """In a pipeline one pass may hide what another would do wrong."""
    passes = {type(step).__name__: step for step in (*SCALE8, *POW2)}.values()
    for family in (split_and_concat, padded_sums, several_slices, concat_and_cut):
        for name, graph in family():
            check = FloatCheck(graph, seed=1)
            expected = check(graph)
            for step in passes:
                twin = graph.copy()
                if run_passes(twin, (step,))[0].changed:
                    for key, value in check(twin).items():
                        np.testing.assert_allclose(
                            value, expected[key], rtol=1e-4, atol=1e-5, err_msg=f"{step} {name}"
                        )


def test_only_zeros_before_and_after_the_channels_are_left_to_the_kernel_of_a_padded_sum() -> None:
    """It copies where one of the two has no channel; its C knows no other border."""
    fused = 0
    for name, graph in padded_sums():
        run_passes(graph, SCALE8)
        for node in graph:
            if node.body is not None and "padded_add" in str(getattr(node.op, "name", "")):
                (pad,) = [inner.op for inner in node.body if isinstance(inner.op, Pad)]
                assert pad.value == 0 and pad.pads[1:] == ((0, 0), (0, 0)), name
                fused += 1
    assert fused
