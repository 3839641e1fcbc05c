"""Padding: what the AutoTiler makes of a window is what the model asks for, or it is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnshell.ir.work import Window
from nnshell.targets.autotiler.padding import BALANCED_LEFT, LEFT, RIGHT, Axis, choose, pad_types

SMALL = st.integers(1, 5)


def made_by_autotiler(axis: Axis, kind: int) -> tuple[int, int]:
    """(first pad, output size) that a generator computes, step by step."""
    extent = axis.dilation * (axis.kernel - 1) + 1
    if axis.size % axis.stride == 0:
        total = max(extent - axis.stride, 0)
    else:
        total = max(extent - axis.size % axis.stride, 0)
    first = [total, 0, math.ceil(total / 2), math.floor(total / 2)][kind]
    return first, (axis.size + total - extent) // axis.stride + 1


@given(st.integers(1, 40), SMALL, st.integers(1, 3), st.integers(1, 3), SMALL, SMALL)
def test_an_allowed_type_gives_the_models_output(
    size: int, kernel: int, stride: int, dilation: int, before: int, after: int
) -> None:
    axis = Axis(size, kernel, stride, dilation, before, after)
    for kind in range(4):
        same = made_by_autotiler(axis, kind) == (before, axis.output)
        assert (kind in axis.types()) == same


@pytest.mark.parametrize(
    ("window", "size", "chosen"),
    [
        (Window((3, 3), pads=(1, 1, 1, 1)), (8, 8), BALANCED_LEFT),
        (Window((3, 3), (2, 2), pads=(1, 1, 1, 1)), (32, 32), BALANCED_LEFT),
        (Window((3, 3), (2, 2), pads=(1, 1, 1, 1)), (33, 33), BALANCED_LEFT),
        (Window((2, 2), pads=(0, 0, 1, 1)), (8, 8), RIGHT),
        (Window((2, 2), pads=(1, 1, 0, 0)), (8, 8), BALANCED_LEFT),
        (Window((3, 3), pads=(2, 2, 0, 0)), (8, 8), LEFT),
        (Window((1, 3), pads=(0, 1, 0, 1)), (8, 8), BALANCED_LEFT),
        (Window((3, 3), dilations=(2, 2), pads=(2, 2, 2, 2)), (8, 8), BALANCED_LEFT),
        (Window((3, 3)), (8, 8), BALANCED_LEFT),
    ],
)
def test_the_default_is_kept_where_it_fits(
    window: Window, size: tuple[int, int], chosen: int
) -> None:
    assert choose(pad_types(window, *size)) == chosen


@pytest.mark.parametrize(
    "window",
    [
        Window((5, 5), pads=(1, 1, 1, 1)),  # less than 'same'
        Window((1, 1), pads=(1, 1, 1, 1)),  # more
        Window((3, 3), pads=(1, 0, 1, 0)),  # one axis only
        Window((3, 3), dilations=(2, 2), pads=(1, 1, 1, 1)),  # 'same' of the undilated kernel
        Window((3, 3), pads=(2, 0, 0, 2)),  # opposite sides
    ],
)
def test_other_padding_has_no_type(window: Window) -> None:
    assert not pad_types(window, 8, 8)
