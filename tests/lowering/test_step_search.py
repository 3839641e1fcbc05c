"""QuantizeLinear's scales, gains and biases: proved by steps, true for every integer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nnshell.lowering.step_search import Factors, Room, Staircase, find_rescaling
from nnshell.numeric.fixed_point import IntArray, derive_multiplier

INT8 = (-128, 127)


def factors(ratios: list[float], limits: tuple[int, int] = INT8, zero_point: int = 0) -> Factors:
    made = derive_multiplier(ratios)
    shift = made.shift.astype(np.int64)
    return Factors(made.multiplier.astype(np.int64), shift, zero_point, limits, "int8")


def stairs(made: Factors, low: int, high: int) -> Staircase:
    count = made.shift.size
    return Staircase.between(np.full(count, low), np.full(count, high), made)


def room(count: int, reach: int, base: int = 0) -> Room:
    def rescale(gain: IntArray, bias: IntArray) -> str:
        raise AssertionError("the search does not make tensors")

    return Room(np.full(count, reach), np.full(count, base), rescale)


def quantize_linear(x: NDArray[Any], scale: Any, zero_point: Any, made: Factors) -> NDArray[Any]:
    units = np.rint(x.astype(np.float32) / np.float32(scale)) + zero_point
    return np.clip(units, *made.limits)


@pytest.mark.parametrize("low", [0, -40_000])
@pytest.mark.parametrize("zero_point", [0, 7])
def test_what_is_proved_by_steps_holds_for_every_integer(low: int, zero_point: int) -> None:
    made = factors(list(np.geomspace(1e-4, 3.0, 40)), zero_point=zero_point)
    found, exact = find_rescaling(stairs(made, low, 40_000), room(40, 40_000))
    everything = np.arange(low, 40_001)
    wanted = made.apply(np.broadcast_to(everything, (40, everything.size)))
    assert exact.mean() > 0.9
    for row in np.flatnonzero(exact):
        moved = found.gain[row] * everything + found.bias[row]
        assert np.abs(moved).max() < 1 << 24
        result = quantize_linear(moved, found.scale[row], found.zero_point[row], made)
        np.testing.assert_array_equal(result, wanted[row])


def test_without_room_only_the_scale_is_free() -> None:
    made = factors([1 / 300, 1 / 1000, 1 / 7])
    found, exact = find_rescaling(stairs(made, 0, 30_000), None)
    assert exact.all()
    assert found.plain


def test_halves_on_both_sides_of_zero_need_a_gain_or_a_bias() -> None:
    made = factors([1 / 32])  # multiplier 1: every odd multiple of 16 is a half
    assert not find_rescaling(stairs(made, -4096, 4096), None)[1].any()
    found, exact = find_rescaling(stairs(made, -4096, 4096), room(1, 4096))
    assert exact.all()
    assert not found.plain


def test_sums_stay_below_what_float32_holds() -> None:
    made = factors([1e-3] * 8)
    found, exact = find_rescaling(stairs(made, -200_000, 200_000), room(8, 150_000, 50_000))
    assert exact.any()
    sums = found.gain * 150_000 + np.abs(found.gain * 50_000 + found.bias)
    assert sums[exact].max() < 1 << 24


def test_zero_points_fit_the_element_type() -> None:
    made = factors(list(np.geomspace(1e-4, 1e-2, 30)))
    found, exact = find_rescaling(stairs(made, -100_000, 100_000), room(30, 100_000))
    assert found.zero_point[exact].min() >= -128
    assert found.zero_point[exact].max() <= 127
