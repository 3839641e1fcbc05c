"""Numbers quantized by hand: the arithmetic of a worked example, and who cuts what."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnshell.experiments.quantized_values import CLIP_TYPES, FORMS, quantize_values
from nnshell.support.errors import UsageError

EXAMPLE = (-0.16, -0.04, 0.07, -0.08, 0.0, -0.09, 0.1, 0.15, 0.02, -0.05)


def test_the_largest_value_becomes_the_largest_of_127_steps() -> None:
    (row,) = quantize_values(EXAMPLE, levels=255, clip_types=["none"], forms=["symmetric"])
    assert row.scale == pytest.approx(0.16 / 127) and row.zero_point == 0
    assert row.integers == (-127, -32, 56, -64, 0, -71, 79, 119, 16, -40)
    assert row.clipped == 0 and row.clipping_error == 0


def test_unsigned_integers_are_the_asymmetric_ones_moved_by_128() -> None:
    two, three = quantize_values(EXAMPLE, clip_types=["none"], forms=["asymmetric", "unsigned"])
    assert two.scale == three.scale == pytest.approx(0.31 / 255)
    assert [q + 128 for q in two.integers] == list(three.integers)


@given(
    st.lists(st.floats(-100, 100, allow_subnormal=False), min_size=1, max_size=40),
    st.integers(2, 9),
)
def test_errors_are_those_of_the_integers_and_add_up(numbers: list[float], bits: int) -> None:
    for row in quantize_values(numbers, bits=min(bits, 8)):
        real = row.scale * (np.array(row.integers) - row.zero_point)
        assert np.allclose(real, row.reals)
        error = np.abs(np.array(numbers) - real).mean()
        assert row.mean_error == pytest.approx(error, abs=1e-9)
        assert min(row.integers) >= row.limits[0] and max(row.integers) <= row.limits[1]


def test_an_outlier_is_cut_off_by_some_and_why_others_keep_it_is_said() -> None:
    rows = {r.clip_type: r for r in quantize_values((*EXAMPLE, 15.0), forms=["symmetric"])}
    assert rows["none"].clipped == 0 and rows["none"].why_nothing == ""
    assert rows["entropy"].clipped == 1 and rows["entropy"].rounding_error < 0.01
    assert rows["entropy"].clipping_error > 1
    assert "less than one" in rows["percentile"].why_nothing
    assert all(row.clipped or row.why_nothing for name, row in rows.items() if name != "none")


def test_all_calibrators_and_forms_are_tried_by_default() -> None:
    assert len(quantize_values(EXAMPLE)) == len(CLIP_TYPES) * len(FORMS)


@pytest.mark.parametrize(
    ("numbers", "options"),
    [((), {}), ((float("nan"),), {}), ((1.0,), {"bits": 1}), ((1.0,), {"levels": 300})],
)
def test_what_cannot_be_quantized_is_refused(numbers: tuple[float, ...], options: dict) -> None:
    with pytest.raises(UsageError):
        quantize_values(numbers, **options)


def test_zeros_stay_zeros() -> None:
    assert all(set(row.reals) == {0.0} for row in quantize_values((0.0, 0.0)))
