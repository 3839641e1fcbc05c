"""Warnings about inputs that look wrong, and none about good ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnshell.inputs.checks import InputChecker
from nnshell.inputs.input_set import Batch
from nnshell.inputs.layout import InputSpec

SPEC = InputSpec("input_1", (3, 4, 4))


def batch(values: Any, labels: Any = None) -> Batch:
    array = np.asarray(values, np.float32)
    names = tuple(f"{place}.png" for place in range(len(array)))
    return Batch((array,), names, tuple(labels) if labels else (None,) * len(array))


def good(count: int = 6) -> Any:
    return np.random.default_rng(0).uniform(-2, 2, (count, 3, 4, 4))


def messages(*batches: Batch, spec: InputSpec = SPEC) -> str:
    checker = InputChecker([spec])
    for each in batches:
        checker.update(each)
    return "\n".join(str(warning) for warning in checker.warnings())


def test_good_inputs_give_no_warning() -> None:
    assert messages(batch(good(), [0, 1, 2, 0, 1, 2]), batch(good(3))) == ""


def test_a_forgotten_normalization_is_recognized() -> None:
    text = messages(batch((good() + 2) * 63.75))
    assert "outside -4 to 4" in text
    assert "pixels that were not normalized" in text
    assert "-D 255" in text


def test_the_range_is_that_of_all_batches() -> None:
    wide = good()
    wide[2, 1, 0, 0], wide[3, 0, 1, 1] = -9, 12.5
    text = messages(batch(good()), batch(wide), batch(good()))
    assert "-9 to 12.5" in text
    assert "not normalized" not in text


def test_values_divided_twice_are_recognized() -> None:
    assert "hardly different from 0" in messages(batch(good() / 255 / 2))


def test_a_constant_image_is_named() -> None:
    values = good()
    values[4] = 0.5
    text = messages(batch(good()), batch(values))
    assert "1 of 12 samples are constant, the first is 4.png" in text


def test_identical_images_are_noticed_across_batches() -> None:
    same = np.repeat(good(1), 4, axis=0)
    assert "all 8 samples are identical" in messages(batch(same), batch(same))
    assert messages(batch(same), batch(good())) == ""


@pytest.mark.parametrize(
    ("labels", "warned"), [([3, 3, 3, None, 3, 3], True), ([3] * 5 + [1], False)]
)
def test_one_class_only_is_noticed(labels: list[int | None], warned: bool) -> None:
    text = messages(batch(good(), labels))
    assert ("are of class 3" in text) == warned


def test_one_labelled_sample_is_no_reason_to_warn() -> None:
    assert messages(batch(good(1), [3])) == ""


def test_nan_is_named() -> None:
    values = good()
    values[3, 0, 0, 0] = np.nan
    text = messages(batch(values))
    assert "NaN or infinite values in 3.png" in text
    assert "outside" not in text


def test_raw_pixels_may_be_large() -> None:
    raw = InputSpec("input_1", (4, 4, 3), raw=True)
    assert messages(batch((good() + 2) * 63), spec=raw) == ""


def test_no_batches_give_no_warning() -> None:
    assert messages() == ""


@pytest.mark.parametrize(
    "kind", ["good", "alike", "constant", "one constant", "not finite", "wide", "again"]
)
@pytest.mark.parametrize("size", [1, 2, 5])
def test_warnings_do_not_depend_on_how_samples_come_in_batches(kind: str, size: int) -> None:
    values = good(7)
    if kind == "alike":
        values[:] = values[0]
    elif kind == "constant":
        values[[1, 2, 5]] = 0.5
    elif kind == "one constant":
        values[6] = 1.0
    elif kind == "not finite":
        values[4, 0, 0, 0] = np.nan
    elif kind == "wide":
        values[5] *= 40
    elif kind == "again":  # the last is the first, those between are not
        values[6] = values[0]
    names = tuple(f"{number}.png" for number in range(7))
    labels = (3,) * 7 if kind == "alike" else tuple(range(7))

    def part(first: int, last: int) -> Batch:
        array = np.asarray(values[first:last], np.float32)
        return Batch((array,), names[first:last], labels[first:last])

    together = messages(part(0, 7))
    assert messages(*(part(at, at + size) for at in range(0, 7, size))) == together
    assert bool(together) is (kind not in ("good", "again"))
