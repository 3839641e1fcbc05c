"""Rectifiers and clips on all int8 values, against their formula one by one."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nnshell.ops.clip import Clip
from nnshell.ops.leaky_relu import LeakyRelu
from nnshell.ops.relu import Relu, Relu6, ReluN

from .parts import image, quantized, record

ALL = np.arange(-128, 128)[np.newaxis]
KIND = image(256)
LIMITS = ((Relu(), 0.0, math.inf), (Relu6(), 0.0, 6.0), (ReluN(1.5), 0.0, 1.5))
LIMITS += ((Clip(-1.0, 2.0), -1.0, 2.0), (Clip(-3.0, -0.5), -3.0, -0.5))


@given(
    st.sampled_from(LIMITS),
    st.floats(0.02, 0.2),
    st.floats(0.02, 0.2),
    st.integers(-100, 100),
    st.integers(-100, 100),
)
def test_limits_hold_to_a_unit_of_input_and_output(
    case: tuple[Clip, float, float], before: float, after: float, zero: int, other: int
) -> None:
    op, low, high = case
    given_record, output = record(before, zero), record(after, other)
    made = op.integer(quantized(op, [given_record], output, [KIND]), [ALL])
    real = np.clip((ALL - zero) * before, low, high)
    ideal = np.clip(real / after + other, -128, 127)
    allowed = 1.5 + 0.5 * before / after + 256 * before / after / 512
    assert np.abs(made - ideal).max() <= allowed


@given(st.floats(0.02, 0.2), st.integers(-100, 100), st.sampled_from(LIMITS))
def test_the_same_record_keeps_what_lies_within_the_limits(
    scale: float, zero: int, case: tuple[Clip, float, float]
) -> None:
    op, low, high = case
    units = record(scale, zero)
    made = op.integer(quantized(op, [units], units, [KIND]), [ALL])
    real = (ALL - zero) * scale
    inside = (real >= low + scale) & (real <= high - scale)
    assert np.array_equal(made[inside], ALL[inside])


@given(st.floats(-1.5, 1.5), st.floats(0.02, 0.2), st.integers(-100, 100))
def test_a_leaky_relu_bends_at_zero(slope: float, scale: float, zero: int) -> None:
    op, output = LeakyRelu(slope), record(2 * scale)
    made = op.integer(quantized(op, [record(scale, zero)], output, [KIND]), [ALL])
    centred = ALL - zero
    steps = np.floor(slope * 128 + 0.5)  # Q7, as the kernel has it
    bent = np.where(centred < 0, np.floor(centred * steps / 128 + 0.5), centred)
    assert np.array_equal(made, np.clip(np.floor(bent / 2 + 0.5), -128, 127))
