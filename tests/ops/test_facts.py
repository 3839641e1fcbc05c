"""What operators say of themselves, checked by numbers on every registered example."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nnshell.ops  # noqa: F401 - fills the registry
from nnshell.execution.float_engine import FloatEngine
from nnshell.ir.examples import graph_of, random_inputs
from nnshell.ir.facts import EVERYTHING, POOLS, Border
from nnshell.ir.graph import Graph, Node
from nnshell.ir.moments import Moments
from nnshell.ir.operator import OPERATORS, Example, Operator
from nnshell.ir.permutations import Perm
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import QuantizeRequest, Range
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import ElementBytes
from nnshell.numeric.kernels.windows import taps
from nnshell.numeric.records import asymmetric_record
from nnshell.quantization import calibrate_graph, quantize_graph

NO_EXAMPLES = {"input", "output", "constant", "fusion", "fusion_input", "fusion_output"}
KINDS = sorted(set(OPERATORS) - NO_EXAMPLES)
CASES = [
    pytest.param(example, id=f"{kind} {number} {example.name}".strip())
    for kind in KINDS
    for number, example in enumerate(OPERATORS[kind].examples())
]
SAMPLES = 5
EXACT = {"rtol": 1e-5, "atol": 1e-5}

Arrays = list[NDArray[Any]]


class Case:
    """An example with the values of its constants and a way to compute it."""

    def __init__(self, example: Example) -> None:
        self.op, self.example = example.op, example
        self.graph = graph_of(example)
        self.node: Node = self.graph["node"]
        self.inputs = self.graph.input_types(self.node)
        self.outputs = self.node.outputs
        self.constants = [self.graph.constant(ref) for ref in self.node.inputs]

    def batch(self, samples: int = SAMPLES) -> Arrays:
        return random_inputs(self.graph, samples, seed=3)

    def run(self, batch: Arrays) -> Arrays:
        return run(self.graph, batch)

    @property
    def floats(self) -> bool:
        return all(kind.dtype == "float32" for kind in self.inputs)


def run(graph: Graph, batch: Sequence[NDArray[Any]]) -> Arrays:
    results = FloatEngine(graph, threads=1).run(list(batch))
    return [results[node.name] for node in graph.outputs]


def variant(case: Case, op: Operator, inputs: Sequence[TensorType], constants: Any) -> Graph:
    return graph_of(Example(op, tuple(inputs), tuple(constants)))


def by_axis(vector: NDArray[Any], axis: int, rank: int) -> NDArray[Any]:
    shape = [1] * rank
    shape[axis] = -1
    return vector.reshape(shape)


def cases() -> Callable[[Any], Any]:
    return pytest.mark.parametrize("example", CASES)


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


# -- values --------------------------------------------------------------------------------


@cases()
def test_zeros_stay_zeros(example: Example) -> None:
    case = Case(example)
    if case.op.keeps_zero and all(value is None for value in case.constants):
        for values in case.run([np.zeros_like(array) for array in case.batch()]):
            assert not values.any()


@cases()
def test_what_commutes_with_max_never_decreases(example: Example) -> None:
    case = Case(example)
    if case.op.commutes_with_max:
        one, other = case.batch()[0], case.batch()[0][::-1].copy()
        expected = np.maximum(case.run([one])[0], case.run([other])[0])
        assert np.array_equal(case.run([np.maximum(one, other)])[0], expected)


@cases()
def test_factors_of_channels_pass_through(example: Example) -> None:
    case = Case(example)
    array = case.batch()[0]
    for axis in range(len(case.inputs[0].shape)):
        if not case.op.scales_along(axis):
            continue
        factors = np.float32(2.0) ** np.arange(-2, array.shape[axis + 1] - 2)
        before = case.run([array])[0]
        after = case.run([array * by_axis(factors, axis + 1, array.ndim)])[0]
        assert before.shape[axis + 1] == array.shape[axis + 1]
        expected = before * by_axis(factors, axis + 1, before.ndim)
        np.testing.assert_allclose(after, expected, **EXACT)


MANY = 4000


@cases()
def test_moments_are_those_of_many_samples(example: Example) -> None:
    case = Case(example)
    random = np.random.default_rng(5)
    batch, known = [], []
    for kind, value in zip(case.inputs, case.constants, strict=True):
        if value is not None or not kind.shape or kind.dtype != "float32":
            known.append(None)
            if value is None:
                batch.append(random_inputs(case.graph, MANY)[len(batch)])
            continue
        mean = random.normal(0.0, 1.0, kind.shape[0])
        deviation = random.uniform(0.3, 1.5, kind.shape[0])
        if case.op.role == "normalization":
            mean, deviation = (np.asarray(v, np.float64) for v in case.constants[3:])
            deviation = np.sqrt(deviation + 1e-3)
        shape = (MANY, *kind.shape)
        values = random.standard_normal(shape)
        spread = (by_axis(v, 1, len(shape)) for v in (deviation, mean))
        batch.append((values * next(spread) + next(spread)).astype(np.float32))
        known.append(Moments(mean, deviation**2))
    moments = case.op.channel_moments(known, case.inputs, case.constants)
    if moments is None:
        return
    result = case.run(batch)[0].astype(np.float64)
    assert moments.channels == case.outputs[0].shape[0]
    assert moments.variance.min() >= 0
    axes = tuple(axis for axis in range(result.ndim) if axis != 1)
    deviation = result.std(axis=axes)
    np.testing.assert_allclose(moments.mean, result.mean(axis=axes), atol=0.05 * deviation.max())


# -- filters, windows, tiles, bytes --------------------------------------------------------


@cases()
def test_a_filter_is_linear_in_its_weights_and_bias(example: Example) -> None:
    case = Case(example)
    if case.op.role != "filter":
        return
    weights, bias = case.constants[1:3]
    assert weights is not None and bias is not None
    batch = case.batch()
    factors = np.linspace(-2, 3, len(bias), dtype=np.float32)
    scaled = weights * by_axis(factors, 0, weights.ndim)
    graph = variant(case, case.op, case.inputs, (None, scaled, bias * factors + 1))
    before = case.run(batch)[0]
    expected = before * by_axis(factors, 1, before.ndim) + 1
    np.testing.assert_allclose(run(graph, batch)[0], expected, rtol=1e-4, atol=1e-4)
    assert not bias.size % case.op.filter_groups


@cases()
def test_only_filters_have_groups(example: Example) -> None:
    assert example.op.filter_groups == 1 or example.op.role == "filter"


@cases()
def test_the_window_says_the_size_of_the_output(example: Example) -> None:
    case = Case(example)
    window = case.op.sliding_window()
    if window is not None:
        _, rows, columns = case.outputs[0].chw
        assert window.output_size(*case.inputs[0].chw[1:]) == (rows, columns)
        assert case.op.with_window(window) == case.op


@cases()
def test_pools_are_maxima_or_means_of_what_their_window_sees(example: Example) -> None:
    case = Case(example)
    window = case.op.sliding_window()
    if case.op.role in POOLS and window is not None and not window.padded:
        (array,) = case.batch()
        views = np.stack([view for _, _, view in taps(array, window)])
        function = np.max if case.op.role == "max_pool" else np.mean
        np.testing.assert_allclose(case.run([array])[0], function(views, axis=0), **EXACT)


@cases()
def test_global_pools_are_maxima_or_means_of_channels(example: Example) -> None:
    case = Case(example)
    function = {"global_max": np.max, "global_mean": np.mean}.get(case.op.role)
    if function is not None:
        (array,) = case.batch()
        expected = function(array, axis=(2, 3)).reshape(SAMPLES, *case.outputs[0].shape)
        np.testing.assert_allclose(case.run([array])[0], expected, **EXACT)


@cases()
def test_padding_that_counts_is_a_border_of_zeros(example: Example) -> None:
    case = Case(example)
    window = case.op.sliding_window()
    if window is None or not case.op.padding_counts:
        return
    (array,) = case.batch()
    top, left, bottom, right = window.pads
    framed = np.pad(array, ((0, 0), (0, 0), (top, bottom), (left, right)))
    bare = case.op.with_window(replace(window, pads=(0, 0, 0, 0)))
    kinds = (replace(case.inputs[0], shape=framed.shape[1:]), *case.inputs[1:])
    found = run(variant(case, bare, kinds, case.constants), [framed])
    np.testing.assert_allclose(found[0], case.run([array])[0], **EXACT)


@cases()
def test_a_tile_of_local_operators_needs_the_same_tile(example: Example) -> None:
    case = Case(example)
    alike = {kind.shape for kind in case.inputs} == {case.outputs[0].shape}
    if not case.op.local_to_tile or not alike or any(v is not None for v in case.constants):
        return
    records = quantization_of(case)
    random = np.random.default_rng(1)
    inputs = [random.integers(*r.limits, (2, *case.inputs[0].shape)) for r in records.inputs]
    cut = (slice(None), slice(1, 2), *(slice(None, 3) for _ in case.outputs[0].shape[1:]))
    part = case.op.integer(records, [array[cut] for array in inputs])
    assert np.array_equal(part, case.op.integer(records, inputs)[cut])


def quantization_of(case: Case) -> NodeQuantization:
    if case.op.made_by_quantizer:  # not where nothing needs it
        record, output = (asymmetric_record(Range(-1.0, high)) for high in (2.0, 3.0))
        types = case.inputs, case.outputs
        return case.op.quantize(QuantizeRequest("node", (record,), (output,), *types, (None,)))
    batch = case.batch(16)
    quantize_graph(case.graph, calibrate_graph(case.graph, [batch]))
    quantization = case.graph["node"].quantization
    assert quantization is not None
    return quantization


@cases()
def test_bytes_follow_the_size_of_elements(example: Example) -> None:
    case = Case(example)
    one = case.op.work(case.inputs, case.outputs)
    wide = ElementBytes((2,) * len(case.inputs), (4,) * len(case.outputs))
    work = case.op.work(case.inputs, case.outputs, None, wide)
    assert work.input_bytes == tuple(2 * size for size in one.input_bytes)
    assert work.output_bytes == 4 * one.output_bytes
    assert work.weight_bytes == 2 * one.weight_bytes
    assert (work.kind, work.inputs, work.output, work.macs) == (
        one.kind,
        one.inputs,
        one.output,
        one.macs,
    )


# -- the facts themselves ------------------------------------------------------------------


class Silent(Operator):
    """An operator that states nothing."""

    kind = "silent"

    def infer(self, inputs: Any, body: Graph | None = None) -> tuple[TensorType, ...]:
        return tuple(inputs[:1])

    def to_onnx(self, build: Any, inputs: Any, types: Any, outputs: Any) -> tuple[str, ...]:
        return (build.node("Abs", inputs),)


def test_who_states_nothing_is_left_alone() -> None:
    op, kind = Silent(), TensorType((3, 4, 5), Layout.CHW)
    assert op.bounds([Range(0.0, 1.0)]) == EVERYTHING
    assert not op.identity_reason((kind,), (None,)) and not op.moves_only((kind,))
    assert op.reordered((1, 2, 0), (kind,), (kind,)) is None
    assert isinstance(op.with_border(BORDERS[0], EVERYTHING), str)
    assert op.channel_moments((Moments(np.ones(3), np.ones(3)),), (kind,), (None,)) is None
    assert not any((op.keeps_zero, op.commutes_with_max, op.scales_along(0), op.local_to_tile))
    absent = (op.permutation, op.joined_axis, op.cut_axis, op.works_along, op.port, op.known_value)
    assert absent == (None,) * len(absent)
    assert op.clips_to is None and not op.reads_flat and not op.padding_counts
    assert (op.border(), op.taken(), op.sliding_window(), op.role) == (None, None, None, "")
    assert not op.keeps_memory((kind,), (kind,)) and not op.reshapes


FACTS = (
    *("bounds", "identity_reason", "moves_only", "keeps_memory", "permutation", "reshapes"),
    *(
        "clips_to",
        "reads_flat",
        "joined_axis",
        "cut_axis",
        "taken",
        "border",
        "with_border",
        "reordered",
        "works_along",
    ),
    *("keeps_zero", "commutes_with_max", "scales_along", "channel_moments", "sliding_window"),
)


@pytest.mark.parametrize("fact", FACTS)
def test_some_operator_states_each_fact(fact: str) -> None:
    default = getattr(Operator, fact)
    assert any(getattr(OPERATORS[kind], fact) is not default for kind in KINDS)
