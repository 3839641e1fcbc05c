"""Fixed-point arithmetic against exact integers and fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nnshell.numeric.fixed_point import (
    MAX_SHIFT,
    derive_multiplier,
    filter_available_bits,
    round_half_up,
    rounding_shift,
    saturate,
    scale_accumulator,
    wrap_int32,
)

INT32 = st.integers(-(2**31), 2**31 - 1)
FACTORS = st.floats(1e-9, 200.0, allow_nan=False)


@given(INT32, st.integers(0, 40))
def test_rounding_shift_divides_and_rounds_halves_up(value: int, shift: int) -> None:
    expected = math.floor(Fraction(value, 2**shift) + Fraction(1, 2))
    assert int(rounding_shift(value, shift)) == expected


@given(INT32, st.integers(1, 16))
def test_a_negative_shift_multiplies(value: int, shift: int) -> None:
    assert int(rounding_shift(value, -shift)) == value * 2**shift


def test_a_shift_beyond_the_register_gives_zero() -> None:
    shifts = np.array([33, 62, 100, 127])
    assert rounding_shift(np.full(4, 2**31 - 1), shifts).tolist() == [0, 0, 0, 0]


@given(st.integers(-(2**52), 2**52))
def test_wrapping_keeps_the_low_32_bits(value: int) -> None:
    wrapped = int(wrap_int32(value))
    assert -(2**31) <= wrapped < 2**31
    assert (wrapped - value) % 2**32 == 0


def test_a_product_wraps_around_before_the_shift() -> None:
    assert int(scale_accumulator(2**24, 128, 1)) == -(2**30)  # 2**31 is -2**31 in 32 bits
    assert int(scale_accumulator(2**24 - 1, 128, 7)) == 2**24 - 1


@given(st.floats(-1e6, 1e6))
def test_rounding_takes_halves_up(value: float) -> None:
    assert float(round_half_up(value)) == math.floor(value + 0.5)


def test_saturation_includes_both_limits() -> None:
    assert saturate([-300, -128, 5, 127, 128], (-128, 127)).tolist() == [-128, -128, 5, 127, 127]


@given(FACTORS, st.integers(0, 12))
def test_the_multiplier_fits_its_bits_and_is_odd(factor: float, available: int) -> None:
    found = derive_multiplier(factor, available)
    multiplier, shift = int(found.multiplier[0]), int(found.shift[0])
    assert multiplier <= 2 ** min(available, 8)
    assert shift <= 0 or multiplier % 2 == 1 or available == 0
    assert int(found.available_bits[0]) == available


@given(FACTORS)
@example(2e-06)  # 17 / 2**23: MAX_SHIFT left it fewer than eight bits
def test_eight_bits_come_within_half_a_step(factor: float) -> None:
    found = derive_multiplier(factor)
    assert abs(found.value[0] - factor) <= max(factor / 2**8, 0.5 / 2**MAX_SHIFT)


@given(FACTORS, FACTORS)
def test_factors_are_independent_of_their_neighbours(first: float, second: float) -> None:
    together = derive_multiplier([first, second])
    for index, factor in enumerate((first, second)):
        alone = derive_multiplier(factor)
        assert together.multiplier[index] == alone.multiplier[0]
        assert together.shift[index] == alone.shift[0]


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (1.0, (1, 0)),
        (0.5, (1, 1)),
        (2.0, (2, 0)),
        (127 / 32768, (127, 15)),  # Q15 to a scale of 1/127
        (256.0, (128, -1)),
        (255.9, (128, -1)),  # rounds to 256 and has no right shift to give up
        (0.7, (179, 8)),
        (0.75, (3, 2)),
        (1 - 2.0**-30, (1, 0)),  # rounds to 256, which does not fit
    ],
)
def test_known_multipliers(factor: float, expected: tuple[int, int]) -> None:
    found = derive_multiplier(factor)
    assert (int(found.multiplier[0]), int(found.shift[0])) == expected


def test_without_bits_only_the_power_of_two_remains() -> None:
    found = derive_multiplier([0.3, 2.0**-28], [0, 0])
    assert found.multiplier.tolist() == [1, 1]
    assert found.shift.tolist() == [1, 27]


def test_a_nearly_dead_channel_shifts_beyond_24() -> None:
    found = derive_multiplier(1e-9)
    assert found.multiplier.tolist() == [1]
    assert found.shift.tolist() == [29]


def test_multipliers_apply_along_an_axis() -> None:
    scaling = derive_multiplier([1.0, 0.5])
    applied = scaling.apply(np.full((1, 2, 3), 10), axis=1)
    assert applied.tolist() == [[[10] * 3, [5] * 3]]


def test_large_layers_and_large_biases_leave_fewer_bits() -> None:
    bits = filter_available_bits(4096, [0.0, 1.0, 2.0**26, 2.0**30 + 1])
    assert bits.tolist() == [5, 5, 5, 0]
    assert filter_available_bits(9, [0.0]).tolist() == [13]
