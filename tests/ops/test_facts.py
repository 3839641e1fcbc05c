"""What operators say of themselves, checked by numbers on every registered example."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nnshell.ops  # noqa: F401 - fills the registry
from nnshell.ir.facts import EVERYTHING, Border
from nnshell.ir.operator import Example
from nnshell.ir.permutations import Perm
from nnshell.ir.requests import Range
from nnshell.ir.types import TensorType
from tests.ops.cases import EXACT, SAMPLES, Case, cases, run, variant

# -- what comes out of what ----------------------------------------------------------------

RANGES = (EVERYTHING, Range(0.5, 2.0), Range(-3.0, -0.25), Range(-0.1, 9.0), Range(0.0, 0.0))


@cases()
def test_outputs_stay_within_the_bounds(example: Example) -> None:
    for limits in RANGES:
        check_bounds(Case(example), limits)


def check_bounds(case: Case, limits: Range) -> None:
    batch = [np.clip(a, limits.minimum, limits.maximum).astype(a.dtype) for a in case.batch()]
    known = [
        limits if value is None else Range(float(value.min()), float(value.max()))
        for value in case.constants
    ]
    bounds = case.op.bounds(known)
    for values in case.run(batch):
        finite = values[np.isfinite(values)]
        slack = 1e-5 * max(1.0, float(np.abs(finite).max(initial=0.0)))
        assert bounds.minimum - slack <= finite.min(initial=np.inf)
        assert finite.max(initial=-np.inf) <= bounds.maximum + slack


@cases()
def test_identity_has_a_reason_only_where_nothing_changes(example: Example) -> None:
    case = Case(example)
    if not case.op.identity_reason(case.inputs, case.constants):
        return
    batch = case.batch()
    if len(case.outputs) == 1 and case.outputs[0].shape == batch[0].shape[1:]:
        assert np.array_equal(case.run(batch)[0], batch[0])


@cases()
def test_what_only_moves_commutes_with_functions_of_elements(example: Example) -> None:
    case = Case(example)
    if case.op.moves_only(case.inputs):
        batch = case.batch()
        moved = case.run([np.cos(array) for array in batch])
        for after, before in zip(moved, case.run(batch), strict=True):
            assert np.array_equal(after, np.cos(before))


@cases()
def test_what_keeps_memory_keeps_the_order_of_elements(example: Example) -> None:
    case = Case(example)
    if case.op.keeps_memory(case.inputs, case.outputs):
        batch = case.batch()
        (result,) = case.run(batch)
        assert len(batch) == 1
        assert np.array_equal(result.reshape(SAMPLES, -1), batch[0].reshape(SAMPLES, -1))


@cases()
def test_a_permutation_is_a_transpose(example: Example) -> None:
    case = Case(example)
    order = case.op.permutation
    if order is not None:
        (array,) = case.batch()
        expected = array.transpose(0, *(axis + 1 for axis in order))
        assert np.array_equal(case.run([array])[0], expected)


@cases()
def test_what_reshapes_only_changes_the_shape(example: Example) -> None:
    case = Case(example)
    if case.op.reshapes:
        (array,) = case.batch()
        result = case.run([array])[0]
        assert np.array_equal(result, array.reshape(SAMPLES, *case.outputs[0].shape))


@cases()
def test_joined_inputs_follow_one_another(example: Example) -> None:
    case = Case(example)
    axis = case.op.joined_axis
    if axis is not None:
        batch = case.batch()
        left = iter(batch)
        parts = [
            next(left) if value is None else np.stack([value] * SAMPLES) for value in case.constants
        ]
        assert np.array_equal(case.run(batch)[0], np.concatenate(parts, axis + 1))


@cases()
def test_cut_outputs_follow_one_another(example: Example) -> None:
    case = Case(example)
    axis = case.op.cut_axis
    if axis is not None:
        (array,) = case.batch()
        assert np.array_equal(np.concatenate(case.run([array]), axis + 1), array)


@cases()
def test_what_is_taken_are_slices(example: Example) -> None:
    case = Case(example)
    slices = case.op.taken()
    if slices is not None:
        (array,) = case.batch()
        assert np.array_equal(case.run([array])[0], array[(slice(None), *slices)])


@cases()
def test_a_border_is_around_the_input(example: Example) -> None:
    case = Case(example)
    border = case.op.border()
    if border is not None:
        (array,) = case.batch()
        pads = ((0, 0), *border.pads)
        expected = np.pad(array, pads, constant_values=np.float32(border.value))
        assert np.array_equal(case.run([array])[0], expected)


BORDERS = [
    Border(((0, 0), (1, 0), (0, 1))),
    Border(((0, 0), (0, 1), (0, 0)), -2.0),
    Border(((0, 0), (1, 1), (0, 0)), 0.5),
    Border(((1, 0), (0, 0), (0, 0))),
]


@cases()
def test_a_border_becomes_padding_that_does_the_same(example: Example) -> None:
    for border, known in itertools.product(BORDERS, RANGES):
        check_padding(Case(example), border, known)


def check_padding(case: Case, border: Border, known: Range) -> None:
    given = case.inputs[0]
    padding = case.op.with_border(border, known)
    if isinstance(padding, str):
        assert padding and "\n" not in padding
        return
    pads = ((0, 0), *border.pads)
    array = np.clip(case.batch()[0], known.minimum, known.maximum)
    framed = np.pad(array, pads, constant_values=np.float32(border.value))
    shape = framed.shape[1:]
    larger = replace(given, shape=shape)
    expected = run(
        variant(case, case.op, (larger, *case.inputs[1:]), case.constants),
        [framed],
    )
    found = run(variant(case, padding, case.inputs, case.constants), [array])
    np.testing.assert_allclose(found[0], expected[0], **EXACT)


@cases()
def test_what_clips_is_a_clip(example: Example) -> None:
    case = Case(example)
    limits = case.op.clips_to
    if limits is not None:
        (array,) = case.batch()
        expected = np.clip(array, np.float32(limits.minimum), np.float32(limits.maximum))
        assert np.array_equal(case.run([array])[0], expected)


@cases()
def test_what_reads_flat_takes_any_shape(example: Example) -> None:
    case = Case(example)
    if case.op.reads_flat:
        (array,) = case.batch()
        kinds = (TensorType((case.inputs[0].size,)), *case.inputs[1:])
        flat = run(variant(case, case.op, kinds, case.constants), [array.reshape(SAMPLES, -1)])
        assert np.array_equal(flat[0], case.run([array])[0])


ARITHMETIC = {
    "sum": np.add,
    "difference": np.subtract,
    "product": np.multiply,
    "quotient": np.divide,
}


@cases()
def test_arithmetic_is_what_its_role_says(example: Example) -> None:
    case = Case(example)
    function = ARITHMETIC.get(case.op.role)
    if function is not None:
        batch = case.batch()
        left = iter(batch)
        rank = len(case.outputs[0].shape)
        operands = [v if v is not None else at_rank(next(left), rank) for v in case.constants]
        np.testing.assert_allclose(case.run(batch)[0], function(*operands), **EXACT)


def at_rank(array: NDArray[Any], rank: int) -> NDArray[Any]:
    return array.reshape(len(array), *(1,) * (rank + 1 - array.ndim), *array.shape[1:])


# -- axes ----------------------------------------------------------------------------------


def orders(rank: int) -> list[Perm]:
    return list(itertools.permutations(range(rank)))[:24]


def turned(array: NDArray[Any], order: Perm, rank: int, *, constant: bool) -> NDArray[Any]:
    """Operands of lower rank are given all axes first."""
    if array.size == 1:
        return array
    if constant:
        return array.reshape((1,) * (rank - array.ndim) + array.shape).transpose(order)
    return array.transpose(0, *(axis + 1 for axis in order))


@cases()
@pytest.mark.parametrize("of_output", [False, True])
def test_in_another_order_of_axes_the_elements_are_the_same(
    example: Example, of_output: bool
) -> None:
    case = Case(example)
    batch = case.batch()
    plain = case.run(batch)
    rank = len((case.outputs if of_output else case.inputs)[0].shape)
    for order in orders(rank):
        form = case.op.reordered(order, case.inputs, case.outputs, of_output=of_output)
        if form is None:
            continue
        given = len(form.given)
        entries = zip(case.inputs, case.constants, strict=True)
        activations = [kind for kind, value in entries if value is None]
        if any(kind.size > 1 and len(kind.shape) != given for kind in activations):
            continue  # an operand of lower rank: no transpose of it does
        constants = [
            None if value is None else turned(value, form.given, given, constant=True)
            for value in case.constants
        ]
        arrays = [turned(array, form.given, given, constant=False) for array in batch]
        left = iter(arrays)
        types = [
            TensorType(next(left).shape[1:]) if v is None else TensorType(v.shape)
            for v in constants
        ]
        found = run(variant(case, form.op, types, constants), arrays)
        for before, after in zip(plain, found, strict=True):
            expected = before.transpose(0, *(axis + 1 for axis in form.made))
            np.testing.assert_allclose(after, expected, **EXACT)


@cases()
def test_along_says_which_axis(example: Example) -> None:
    axis = example.op.works_along
    if axis is not None:
        assert example.op.along(axis) == example.op
        assert example.op.along(axis + 1).works_along == axis + 1
