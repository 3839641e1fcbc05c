"""Integer softmax against the real function."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nnshell.numeric import softmax as softmax_module
from nnshell.numeric.softmax import exp_of_negative, softmax

LOGITS = st.lists(st.integers(-128, 127), min_size=1, max_size=20)


def test_the_exponential_follows_the_function() -> None:
    distance = np.arange(0, 20 * 32768, 111)
    real = np.exp(-distance / 32768)
    assert np.abs(exp_of_negative(distance) / 32768 - real).max() < 2e-4


def test_beyond_the_table_the_exponential_is_zero() -> None:
    assert exp_of_negative(np.array([12 * 32768, 1 << 50])).tolist() == [0, 0]


@given(LOGITS, st.integers(-8, 0))
def test_softmax_follows_the_function(logits: list[int], exponent: int) -> None:
    x = np.array([logits], np.int64)
    real = np.exp((x - x.max()) * 2.0**exponent)
    real /= real.sum()
    found = softmax(x, exponent, 1)
    assert np.abs(found / 32768 - real).max() < 1e-3
    assert found.max() <= 32767


@given(LOGITS)
def test_eight_bits_are_the_sixteen_bits_rounded(logits: list[int]) -> None:
    x = np.array([logits], np.int64)
    wide, narrow = softmax(x, -4, 1), softmax(x, -4, 1, output_bits=8)
    assert np.abs(narrow - wide / 256).max() <= 1.0
    assert narrow.max() <= 127


def test_softmax_works_along_any_axis_of_any_sample() -> None:
    x = np.random.default_rng(0).integers(-128, 128, (3, 4, 5))
    assert np.array_equal(
        softmax(x, -3, 1), softmax(x.transpose(0, 2, 1), -3, 2).transpose(0, 2, 1)
    )


def test_equal_logits_share_equally_what_the_kernel_takes_for_one() -> None:
    assert softmax(np.zeros((1, 4), np.int64), -4, 1).tolist() == [[32767 // 4] * 4]


def test_a_huge_scale_does_not_overflow() -> None:
    assert softmax(np.array([[1, 0]]), 60, 1).tolist() == [[32767, 0]]


def test_tables_hold_what_their_comments_say() -> None:
    """Whole and fraction part of e**n, the fraction in Q15; Q15 of 1/n!."""
    for number, (whole, fraction) in enumerate(
        zip(softmax_module._EXP_INTEGER, softmax_module._EXP_FRACTION, strict=True)
    ):
        assert whole == int(math.exp(number))
        assert fraction == round((math.exp(number) - whole) * (1 << 15))
    for number, coefficient in enumerate(softmax_module._TAYLOR, start=1):
        exact = (1 << 15) / math.factorial(number)
        assert abs(coefficient - exact) <= 1.0, number
