"""Sigmoid and tanh tables against the real functions."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nnshell.numeric.lookup import SIGMOID_TABLE, sigmoid_q15, tanh_q15

ARGUMENTS = np.arange(-(1 << 17), 1 << 17, 7)


def test_the_table_is_the_published_one_where_it_was_printed() -> None:
    assert SIGMOID_TABLE.size == 256
    assert SIGMOID_TABLE[[0, 1, 64, 255]].tolist() == [32768, 33451, 61279, 65535]


def test_the_table_never_falls() -> None:
    assert (np.diff(SIGMOID_TABLE) >= 0).all()


def test_sigmoid_is_within_a_table_step_of_the_function() -> None:
    real = 1 / (1 + np.exp(-ARGUMENTS / 4096))
    assert np.abs(sigmoid_q15(ARGUMENTS) / 32768 - real).max() < 0.25 / 24 + 1e-4


def test_tanh_is_within_a_table_step_of_the_function() -> None:
    real = np.tanh(ARGUMENTS / 4096)
    assert np.abs(tanh_q15(ARGUMENTS) / 32768 - real).max() < 1 / 24 + 1e-3


@given(st.integers(1, 1 << 31))
def test_both_are_odd_around_their_centre(x: int) -> None:
    assert int(tanh_q15(-x)) == -int(tanh_q15(x))
    assert int(sigmoid_q15(x)) + int(sigmoid_q15(-x)) in (32767, 32768)


def test_far_arguments_saturate() -> None:
    far = np.array([-(1 << 31), (1 << 31) - 1])
    assert sigmoid_q15(far).tolist() == [0, 32767]
    assert tanh_q15(far).tolist() == [-32767, 32767]
    assert tanh_q15(0).tolist() == 0
