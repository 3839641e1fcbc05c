"""Pools of any window against loops over its positions."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nnshell.ir.work import Window
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.global_pool import GlobalAveragePool, GlobalMaxPool
from nnshell.ops.max_pool import MaxPool

from .parts import Integers, image, integers, quantized, record, saturated

PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
PADS = st.tuples(*[st.integers(0, 2)] * 4)
SIZE = (5, 6)


def seen(x: Integers, window: Window, row: int, column: int) -> list[int]:
    """Real elements under a window."""
    top, left, _, _ = window.pads
    places = product(range(window.kernel[0]), range(window.kernel[1]))
    found = []
    for i, j in places:
        at = row * window.strides[0] - top + i * window.dilations[0]
        across = column * window.strides[1] - left + j * window.dilations[1]
        if 0 <= at < x.shape[0] and 0 <= across < x.shape[1]:
            found.append(int(x[at, across]))
    return found


@given(PAIRS, PAIRS, PADS, st.integers(-128, 127), st.sampled_from(("max", "real", "counted")))
def test_a_pool_is_its_formula_at_every_position(
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    zero: int,
    form: str,
) -> None:
    """Padding of a mean stands for 0, which the zero point is; that of a maximum as well."""
    window = Window(kernel, strides, (1, 1), pads)
    assume(all(pad < extent for pad, extent in zip(pads, kernel * 2, strict=True)))
    op = MaxPool(window) if form == "max" else AveragePool(window, form == "counted")
    x, units = integers(1, 1, *SIZE), record(0.1, zero)
    made = op.integer(quantized(op, [units], units, [image(1, *SIZE)]), [x])[0, 0]
    for row, column in np.ndindex(*made.shape):
        found = seen(x[0, 0], window, row, column)
        padding = kernel[0] * kernel[1] - len(found)
        if form == "max":
            expected = max([*found, *[zero] * min(padding, 1)])
        else:
            count = len(found) + (padding if form == "counted" else 0)
            total = sum(found) + (zero * padding if form == "counted" else 0)
            expected = saturated((total * (65536 // count) + 32768) >> 16)
        assert made[row, column] == expected, (row, column)


@pytest.mark.parametrize("zero", [-128, 0, 31])
def test_global_pools_take_all_of_a_channel(zero: int) -> None:
    x, units, kind = integers(2, 3, *SIZE, seed=1), record(0.05, zero), image(3, *SIZE)
    largest = GlobalMaxPool()
    made = largest.integer(quantized(largest, [units], units, [kind]), [x])
    assert np.array_equal(made, x.max(axis=(2, 3), keepdims=True))
    mean = GlobalAveragePool()
    made = mean.integer(quantized(mean, [record(0.05)], record(0.05), [kind]), [x])
    assert np.abs(made - x.mean(axis=(2, 3), keepdims=True)).max() <= 1.0
