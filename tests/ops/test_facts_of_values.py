"""What operators say of themselves, of values, filters, tiles and bytes: checked by numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import nnshell.ops  # noqa: F401 - fills the registry
from nnshell.ir.examples import random_inputs
from nnshell.ir.facts import EVERYTHING, POOLS, Border
from nnshell.ir.graph import Graph
from nnshell.ir.moments import Moments
from nnshell.ir.operator import OPERATORS, Example, Operator
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import QuantizeRequest, Range
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import ElementBytes
from nnshell.numeric.kernels.windows import taps
from nnshell.numeric.records import asymmetric_record
from nnshell.quantization import calibrate_graph, quantize_graph
from tests.ops.cases import EXACT, KINDS, SAMPLES, Case, by_axis, cases, run, variant

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
    assert isinstance(op.with_border(Border(((0, 0), (1, 0), (0, 1))), EVERYTHING), str)
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
