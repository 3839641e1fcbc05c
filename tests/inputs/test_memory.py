"""Samples in memory: every form gives the same batches, and what fits no input is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nnshell
from nnshell.inputs.layout import InputSpec
from nnshell.inputs.memory import is_single, memory_batches
from nnshell.support.errors import InputError

ONE = [InputSpec("x", (2, 3))]
TWO = [InputSpec("x", (2, 3)), InputSpec("y", (4,), aliases=("input.2",))]
STACK = np.arange(42, dtype=np.float32).reshape(7, 2, 3)
OTHER = np.arange(28, dtype=np.float32).reshape(7, 4)

FORMS = {
    "a stack": lambda: STACK,
    "a list with a stack": lambda: [STACK],
    "samples": lambda: list(STACK),
    "a generator of samples": lambda: (row for row in STACK),
    "a generator of stacks": lambda: iter([STACK[:4], STACK[4:]]),
    "by name": lambda: {"x": STACK},
    "lists by name": lambda: [{"x": row} for row in STACK],
    "integers": lambda: STACK.astype(np.int64),
}


@pytest.mark.parametrize("size", [1, 3, 7, 64])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_batches(form: str, size: int) -> None:
    batches = list(memory_batches(FORMS[form](), ONE, size))
    assert np.array_equal(np.concatenate([batch.arrays[0] for batch in batches]), STACK)
    assert all(len(batch) <= size and batch.arrays[0].dtype == np.float32 for batch in batches)
    assert [name for batch in batches for name in batch.names] == [f"sample {n}" for n in range(7)]


@pytest.mark.parametrize(
    "data",
    [[STACK, OTHER], {"x": STACK, "input.2": OTHER}, list(zip(STACK, OTHER, strict=True))],
)
def test_several_inputs_get_an_array_each(data: Any) -> None:
    batches = list(memory_batches(data, TWO, 4))
    assert np.array_equal(np.concatenate([batch.arrays[1] for batch in batches]), OTHER)


def test_a_sample_has_no_leading_axis() -> None:
    assert (
        is_single(STACK[0], ONE) and is_single([STACK[0]], ONE) and is_single({"x": STACK[0]}, ONE)
    )
    assert not is_single(STACK[:1], ONE) and not is_single(list(STACK), ONE)


@pytest.mark.parametrize(
    ("data", "specs", "message"),
    [
        (STACK[:, :1], ONE, r"shape \[7, 1, 3\]; x takes numbers of shape \[2, 3\]"),
        (np.array(["a"]), ONE, "x takes numbers"),
        (5, ONE, "cannot be a int"),
        ([STACK, OTHER[:3]], TWO, "different numbers of samples"),
        ({"z": STACK}, ONE, "no array is called x"),
        (iter([STACK[0]]), TWO, "1 arrays for 2 graph inputs"),
    ],
)
def test_what_fits_no_input_is_refused(data: Any, specs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(memory_batches(data, specs, 4))


def test_memory_does_not_grow_with_a_generator() -> None:
    alive: list[int] = []

    def samples() -> Any:
        for number in range(100):
            alive.append(number)
            yield STACK[0]

    batches = memory_batches(samples(), ONE, 8)
    next(batches)
    assert len(alive) <= 9


def test_calibration_takes_what_run_takes() -> None:
    project = nnshell.open_graph("sample:lenet")
    stack = np.random.default_rng(0).uniform(-1, 1, (5, 3, 32, 32)).astype(np.float32)
    seen = [nnshell.calibrate(project, data) for data in (stack, list(stack), iter(stack))]
    assert seen[0].to_json() == seen[1].to_json() == seen[2].to_json()
