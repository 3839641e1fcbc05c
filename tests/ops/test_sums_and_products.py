"""Sums, differences, products, quotients and matrix products against real arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnshell.ops.add import Add
from nnshell.ops.div import Div
from nnshell.ops.matmul import MatMul
from nnshell.ops.mul import Mul
from nnshell.ops.sub import Sub

from .parts import image, integers, quantized, record

SCALES = st.floats(0.02, 0.4)
SHAPE = (4, 30)
X, Y = integers(1, *SHAPE), integers(1, *SHAPE, seed=5)


@given(SCALES, SCALES, SCALES, st.sampled_from([(Add(), 1), (Sub(), -1)]))
def test_a_sum_is_within_its_two_roundings(
    first: float, second: float, output: float, case: tuple[Add, int]
) -> None:
    op, sign = case
    records = [record(first), record(second)]
    made = op.integer(quantized(op, records, record(output), [image(*SHAPE)] * 2), [X, Y])
    ideal = np.clip((X * first + sign * Y * second) / output, -128, 127)
    small = min(first, second) / output  # the unit in which the two are added
    rescaled = 128 * max(first, second) / output
    factors = (rescaled + 128) / 256  # two of 8 bits: each is within half of 1/128
    assert np.abs(made - ideal).max() <= 0.5 + 0.5 * small + factors + 0.01


@given(SCALES, SCALES)
def test_a_product_is_within_its_rounding(first: float, second: float) -> None:
    op, output = Mul(), 128 * first * second
    records = [record(first), record(second)]
    made = op.integer(quantized(op, records, record(output), [image(*SHAPE)] * 2), [X, Y])
    ideal = np.clip(X * first * Y * second / output, -128, 127)
    assert np.abs(made - ideal).max() <= 0.85


@given(SCALES, SCALES)
def test_a_quotient_is_within_its_rounding(first: float, second: float) -> None:
    op, divisor = Div(), np.where(Y == 0, 1, Y)
    output = first / second
    records = [record(first), record(second)]
    made = op.integer(quantized(op, records, record(output), [image(*SHAPE)] * 2), [X, divisor])
    ideal = np.clip(X * first / (divisor * second) / output, -128, 127)
    assert np.abs(made - ideal).max() <= 1.1


@pytest.mark.parametrize("rows", [1, 5])
def test_a_matrix_product_is_within_its_rounding(rows: int) -> None:
    op = MatMul()
    a, b = integers(2, rows, 12), integers(2, 12, 6, seed=3)
    output = 0.1 * 0.05 * 128 * 4
    types = [image(rows, 12), image(12, 6)]
    made = op.integer(quantized(op, [record(0.1), record(0.05)], record(output), types), [a, b])
    ideal = np.clip((a @ b) * 0.1 * 0.05 / output, -128, 127)
    assert np.abs(made - ideal).max() <= 0.9
