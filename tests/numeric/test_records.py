"""Scales and zero points from ranges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nnshell.ir.requests import Range
from nnshell.numeric.records import (
    asymmetric_record,
    bias_record,
    fixed_record,
    power_of_two_record,
    symmetric_record,
    usable_range,
    weight_record,
)
from nnshell.numeric.weight_clipping import WEIGHT_CLIPS
from nnshell.support.errors import QuantizationError

BOUNDS = st.floats(-1e6, 1e6, allow_nan=False)


def test_pixels_over_128_have_the_exact_step() -> None:
    record = symmetric_record(Range(-1.0, 127 / 128))
    assert record.first_scale == 1 / 128
    assert record.zero_point == 0


def test_symmetric_scale_covers_both_ends() -> None:
    assert symmetric_record(Range(-1.0, 1.0)).first_scale == 1 / 127
    assert symmetric_record(Range(-8.0, 8.0)).first_scale == 8 / 127
    assert symmetric_record(Range(-128.0, 1.0)).first_scale == 1.0


def test_a_range_from_zero_has_its_zero_at_the_bottom() -> None:
    record = asymmetric_record(Range(0.0, 6.0))
    assert (record.first_scale, record.zero_point) == (6 / 255, -128)
    assert record.asymmetric


def test_a_range_above_zero_is_widened_to_zero() -> None:
    assert usable_range(Range(2.0, 5.0)) == Range(0.0, 5.0)
    assert usable_range(Range(-5.0, -2.0)) == Range(-5.0, 0.0)


def test_a_constant_tensor_has_a_usable_range() -> None:
    assert usable_range(Range(3.0, 3.0)) == Range(-3.0, 3.0)
    assert usable_range(Range(-3.0, -3.0)) == Range(-3.0, 3.0)
    assert usable_range(Range(0.0, 0.0)) == Range(0.0, 1.0)
    assert usable_range(Range(1e-12, 1e-12)) == Range(0.0, 1.0)


@given(st.floats(1e-6, 1e6), st.one_of(st.floats(0, 0.9), st.floats(1.1, 5)), st.booleans())
def test_ends_that_are_close_are_one_constant(value: float, part: float, below: bool) -> None:
    """Close as numpy's isclose says, which NNTool asks: within 1e-8 and 1e-5 of the upper end."""
    gap = part * (1e-8 + 1e-5 * value)
    low, high = (-value - gap, -value) if below else (value, value + gap)
    reach = max(abs(low), abs(high))
    from_zero = Range(low, 0.0) if below else Range(0.0, high)
    assert usable_range(Range(low, high)) == (Range(-reach, reach) if part < 1 else from_zero)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_range_that_is_not_finite_is_refused_by_name(value: float) -> None:
    with pytest.raises(QuantizationError, match="node conv"):
        symmetric_record(Range(-1.0, value), "node conv")


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(QuantizationError, match="empty"):
        asymmetric_record(Range(2.0, 1.0))


@given(BOUNDS, BOUNDS)
def test_every_value_of_the_range_is_within_a_step_of_an_integer(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    assume(high - low > 1e-6)
    for record in (symmetric_record(Range(low, high)), asymmetric_record(Range(low, high))):
        real = np.linspace(low, high, 50).astype(np.float32)
        back = record.dequantize(record.quantize(real))
        assert np.abs(back - real).max() <= 1.01 * record.first_scale + 1e-6 * abs(real).max()
        assert record.dequantize(record.quantize(np.zeros(1, np.float32)))[0] == 0.0


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("clip", WEIGHT_CLIPS)
def test_a_dead_channel_has_a_step_whatever_is_clipped(clip: str, bits: int) -> None:
    weights = np.array([[0.0, 0.0, 0.0], [1.0, -2.0, 3.0]], np.float32)
    record = weight_record(weights, 0, bits=bits, clip=clip)
    assert (record.scale > 0).all()
    assert record.quantize(weights)[0].tolist() == [0, 0, 0]


def test_softmax_input_scale_is_raised_to_a_power_of_two() -> None:
    given_record = fixed_record(0.06045, "int8")
    assert power_of_two_record(given_record).first_scale == 0.0625
    assert power_of_two_record(fixed_record(0.25, "int8")).first_scale == 0.25


def test_weight_scales_are_float32_per_output_channel() -> None:
    weights = np.array([[[0.5, -1.0]], [[0.25, 0.125]]], np.float32)
    record = weight_record(weights, 0)
    assert record.scale.dtype == np.float32
    assert record.scale.tolist() == [np.float32(1) / np.float32(127), np.float32(0.25) / 127]
    assert record.quantize(weights).tolist() == [[[64, -127]], [[127, 64]]]


def test_weights_may_use_minus_128_when_not_narrow() -> None:
    weights = np.array([[0.5, -1.0]], np.float32)
    record = weight_record(weights, 0, narrow=False)
    assert record.scale.tolist() == [1 / 128]
    assert record.quantize(weights).tolist() == [[64, -128]]


def test_a_channel_of_specks_counts_as_all_zero() -> None:
    weights = np.array([[9e-9, -9.4e-9], [1.5e-8, -9e-10]], np.float32)
    record = weight_record(weights, 0)
    assert record.scale[0] == np.float32(1) / np.float32(127)
    assert record.scale[1] == np.float32(1.5e-8) / np.float32(127)
    assert record.minimum[1] == 0.0


def test_one_scale_for_the_whole_tensor() -> None:
    weights = np.array([[0.5, -1.0], [2.0, 0.0]], np.float32)
    record = weight_record(weights, None)
    assert record.scale.tolist() == [np.float32(2) / np.float32(127)]
    assert record.axis is None


def test_weights_that_are_not_finite_are_refused() -> None:
    with pytest.raises(QuantizationError, match="node conv"):
        weight_record(np.array([[np.nan]], np.float32), 0, where="node conv")


def test_bias_scale_is_the_product_in_float64() -> None:
    weights = weight_record(np.array([[0.3], [0.7]], np.float32), 0)
    record = bias_record(fixed_record(0.1, "int8"), weights)
    assert record.scale.dtype == np.float64
    assert record.scale.tolist() == [0.1 * float(s) for s in weights.scale]
    assert record.dtype == "int32"
