"""Operators that move elements: numpy's own function on the same integers, exactly."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnshell.ops.concat import Concat
from nnshell.ops.copy import Copy
from nnshell.ops.pad import Pad
from nnshell.ops.split import Split
from nnshell.ops.strided_slice import StridedSlice
from nnshell.ops.transpose import Transpose

from .parts import image, integers, quantized, record

SHAPE = (3, 4, 5)
UNITS = record(0.1, 9)
X = integers(2, *SHAPE)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_transpose_moves_axes(order: tuple[int, int, int]) -> None:
    op = Transpose(order)
    made = op.integer(quantized(op, [UNITS], UNITS, [image(*SHAPE)]), [X])
    assert np.array_equal(made, X.transpose(0, *(axis + 1 for axis in order)))


@given(st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 3), st.floats(-9, 9))
def test_a_border_is_its_value_in_units_of_the_record(
    pads: tuple[tuple[int, int], ...], value: float
) -> None:
    op = Pad(pads, value)
    made = op.integer(quantized(op, [UNITS], UNITS, [image(*SHAPE)]), [X])
    units = int(np.clip(np.floor(np.float32(value) / 0.1 + 0.5) + 9, -128, 127))
    assert np.array_equal(made, np.pad(X, ((0, 0), *pads), constant_values=units))


@given(st.integers(0, 2), st.data())
def test_parts_of_a_split_joined_again_are_the_whole(axis: int, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, SHAPE[axis] - 1))
    split, join = Split(axis, (cut, SHAPE[axis] - cut)), Concat(axis)
    parts = split.integer_multi(quantized(split, [UNITS], UNITS, [image(*SHAPE)]), [X])
    first, second = np.split(X, [cut], axis + 1)
    assert np.array_equal(parts[0], first) and np.array_equal(parts[1], second)
    types = [image(*part.shape[1:]) for part in parts]
    whole = join.integer(quantized(join, [UNITS, UNITS], UNITS, types), list(parts))
    assert np.array_equal(whole, X)


SLICES = st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from((1, 2, 3)))


@given(st.tuples(SLICES, SLICES, SLICES))
def test_a_slice_is_numpys(cuts: tuple[tuple[int, int, int], ...]) -> None:
    starts = tuple(start for start, _, _ in cuts)
    ends = tuple(min(start + size, n) for (start, size, _), n in zip(cuts, SHAPE, strict=True))
    op = StridedSlice(starts, ends, tuple(step for _, _, step in cuts))
    made = op.integer(quantized(op, [UNITS], UNITS, [image(*SHAPE)]), [X])
    taken = (slice(s, e, step) for s, e, (_, _, step) in zip(starts, ends, cuts, strict=True))
    assert np.array_equal(made, X[(slice(None), *taken)])


def test_a_copy_is_what_it_copies() -> None:
    op = Copy()
    made = op.integer(quantized(op, [UNITS], UNITS, [image(*SHAPE)]), [X])
    assert np.array_equal(made, X)
