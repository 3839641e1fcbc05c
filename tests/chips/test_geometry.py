"""Loop nests of layers: rows with their halo by counting, and every byte moved once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnshell.chips import Layer, Network
from nnshell.chips.model.geometry import Geometry, geometry
from nnshell.chips.model.plan import Budget, lifetimes, make_plan
from nnshell.ir.work import Window, Work

from .conftest import conv_work, linear_work, vector_work


def _total_bytes(nest: Geometry, role: str) -> float:
    """Bytes of all operands of a role, when the layer is one tile."""
    rows = {"output": nest.height, "input": nest.input_height, "none": 1}
    total = 0.0
    for operand in nest.operands:
        if operand.role == role:
            size = operand.unit_bytes * rows[operand.extent]
            size *= nest.out if operand.by_out else 1
            total += size * (nest.depth if operand.by_in else 1)
    return total * nest.groups


def _several_inputs() -> Work:
    """A linear layer of two feature maps, of which the second has two bytes an element."""
    shape = (10, 1, 1)
    return Work(
        "linear", ((4, 3, 1), (8, 1, 1)), shape, shape, macs=200,
        input_bytes=(12, 16), output_bytes=10, weight_bytes=200, constant_bytes=73,
    )  # fmt: skip


def _pool() -> Work:
    output = (6, 5, 4)
    return Work(
        "pool", ((6, 10, 8),), output, output, Window((2, 2), (2, 2)),
        input_bytes=(480,), output_bytes=120, constant_bytes=13, pool_kind="max",
    )  # fmt: skip


def _global_pool() -> Work:
    output = (6, 1, 1)
    return Work(
        "global_pool", ((6, 10, 8),), output, output,
        input_bytes=(480,), output_bytes=6, constant_bytes=13, pool_kind="average",
    )  # fmt: skip


WORKS = {
    "convolution": conv_work((8, 10, 9), 12),
    "pointwise": conv_work((8, 10, 9), 12, 1),
    "depthwise": conv_work((8, 10, 9), 8, depthwise=True),
    "grouped": conv_work((8, 10, 9), 12, groups=4),
    "sum": vector_work("elementwise", (8, 10, 9), 2),
    "activation": vector_work("activation", (8, 10, 9)),
    "linear": linear_work(90, 14),
    "linear of two": _several_inputs(),
    "pool": _pool(),
    "global pool": _global_pool(),
}


@pytest.mark.parametrize("matrix", [False, True])
@pytest.mark.parametrize("name", WORKS)
def test_every_byte_of_a_layer_is_moved_once(name: str, matrix: bool) -> None:
    work = WORKS[name]
    nest = geometry(work, matrix=matrix)
    assert _total_bytes(nest, "input") == pytest.approx(sum(work.input_bytes))
    assert _total_bytes(nest, "weights") == pytest.approx(work.weight_bytes)
    assert _total_bytes(nest, "output") == pytest.approx(work.output_bytes)


WINDOWS = st.builds(
    Window,
    st.tuples(st.integers(1, 5), st.just(1)),
    st.tuples(st.integers(1, 3), st.just(1)),
    st.tuples(st.integers(1, 3), st.just(1)),
    st.just((0, 0, 0, 0)),
)
POOLS = st.one_of(
    st.none(),
    st.builds(
        Window,
        st.tuples(st.integers(1, 4), st.just(1)),
        st.tuples(st.integers(1, 3), st.just(1)),
    ),
)


def _touched(window: Window, rows: range) -> range:
    """Rows that a window reads for some rows of its output."""
    read = [
        row * window.strides[0] + tap * window.dilations[0]
        for row in rows
        for tap in range(window.kernel[0])
    ]
    return range(min(read), max(read) + 1)


@settings(max_examples=60)
@given(WINDOWS, POOLS, st.integers(1, 6), st.integers(1, 4))
def test_rows_with_their_halo_are_those_that_are_read(
    window: Window, pool: Window | None, height: int, count: int
) -> None:
    """Where no border cuts them off: of the filter's output, and of its input."""
    filtered = _touched(pool, range(height)) if pool else range(height)
    read = _touched(window, filtered)
    output, filter_output = (2, height, 1), (2, len(filtered), 1)
    work = Work(
        "conv", ((3, len(read), 1),), output, filter_output, window, macs=1,
        input_bytes=(3 * len(read),), output_bytes=math.prod(output), weight_bytes=6,
        pool=pool, pool_kind="max" if pool else None,
    )  # fmt: skip
    nest = geometry(work, matrix=False)
    rows = min(count, height)
    of_filter = _touched(pool, range(rows)) if pool else range(rows)
    assert nest.filter_rows(np.array([rows])).tolist() == [len(of_filter)]
    assert nest.input_rows(np.array([rows])).tolist() == [len(_touched(window, of_filter))]
    first = height - rows
    of_filter = _touched(pool, range(first, height)) if pool else range(first, height)
    ends = _touched(window, of_filter)
    assert nest.input_span(first, height) == (ends.start, ends.stop)


def _layer(name: str, inputs: tuple[str, ...], size: int) -> Layer:
    work = Work(
        "elementwise", ((1, 1, 1),) * len(inputs), (size, 1, 1), (size, 1, 1),
        input_bytes=(1,) * len(inputs), output_bytes=size,
    )  # fmt: skip
    return Layer(name, "add", work, inputs, name)


def test_outputs_of_the_network_live_to_its_end() -> None:
    layers = (_layer("early", ("input",), 5), _layer("b", ("input",), 5), _layer("c", ("b",), 5))
    lives = lifetimes(Network("net", layers, ("input",), ("early", "c")))
    assert (lives["early"].first, lives["early"].last) == (0, 2)
    assert (lives["b"].first, lives["b"].last) == (1, 2)
    assert lives["input"].last == 1


def test_what_streams_through_l2_takes_two_buffers_of_it() -> None:
    """c has to go for d's sake; read again beside b, it needs 2 x 300 of 1000, and b 500."""
    layers = (
        _layer("c", ("input",), 300),
        _layer("d", ("input",), 800),
        _layer("x", ("d",), 1),
        _layer("b", ("x",), 500),
        _layer("y", ("c", "b"), 1),
    )
    network = Network("net", layers, ("input",), ("y",))
    spilled = make_plan(network, Budget(1000, 10, 10**6, False), [0.0] * 5).spilled
    assert spilled >= {"c", "b"}
    ample = make_plan(network, Budget(1100, 10, 10**6, False), [0.0] * 5).spilled
    assert "b" not in ample
