"""The arithmetic that `explain` prints: by hand as in the engine, for every operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nnshell
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.ir.examples import graph_of, random_inputs
from nnshell.ir.flat import flatten
from nnshell.ir.graph import Graph
from nnshell.ir.operator import OPERATORS, Example
from nnshell.quantization import QuantizationOptions, calibrate_graph, quantize_graph
from nnshell.reports.distributions import constant_values
from nnshell.reports.formulas import dataflow_text, formula_text
from nnshell.reports.scales import scales_text
from nnshell.reports.worked import random_sample, work_through
from nnshell.session.project import Project
from nnshell.support.errors import UsageError

EXAMPLES = [
    pytest.param(example, id=f"{kind} {example.name or number}")
    for kind, operator in sorted(OPERATORS.items())
    for number, example in enumerate(operator.examples())
]


def quantized(example: Example) -> Graph:
    graph = graph_of(example)
    quantize_graph(graph, calibrate_graph(graph, [random_inputs(graph, 6)]))
    return graph


@pytest.fixture(scope="module")
def lenet() -> Project:
    project = nnshell.open_graph("sample:lenet")
    nnshell.adjust(project)
    nnshell.fuse(project, "scale8")
    images = nnshell.load_inputs("sample:calibration", norm="x: x/128-1")
    nnshell.quantize(project, nnshell.calibrate(project, images))
    return project


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_value_of_every_operator_can_be_worked_through(example: Example) -> None:
    graph = quantized(example)
    sample = random_sample(graph)
    integers = IntegerEngine(graph).run([array[np.newaxis] for array in sample])
    generator = np.random.default_rng(0)
    computing = [item for item in flatten(graph).items if item.inputs and not item.node.op.boundary]
    for item in computing:
        shape = item.node.outputs[0].shape
        for _ in range(3):
            place = tuple(int(generator.integers(extent)) for extent in shape)
            worked = work_through(graph, item.path, sample, place)
            assert worked.integer == int(integers[item.path][0][place])
            assert worked.computed.get(item.path, worked.integer) == worked.integer
            assert worked.lines[-1].startswith(f"result: {worked.integer} ")


@pytest.mark.parametrize("example", EXAMPLES)
def test_scales_formula_and_dataflow_of_every_operator_can_be_explained(example: Example) -> None:
    graph = quantized(example)
    for item in flatten(graph).items:
        if item.inputs and not item.node.op.boundary:
            assert item.path in scales_text(graph, item.path)
            assert len(formula_text(graph, item.path).splitlines()) > 1
            assert len(dataflow_text(graph, item.path).splitlines()) > 1


def test_the_value_that_wins_a_pool_is_followed(lenet: Project) -> None:
    sample = random_sample(lenet.graph, 3)
    worked = work_through(lenet.graph, "_conv1_Conv_fusion", sample, (2, 4, 6))
    assert list(worked.computed) == ["_conv1_Conv_fusion/_conv1_Conv"]
    assert max(worked.computed["_conv1_Conv_fusion/_conv1_Conv"], -128) == worked.integer
    assert len(worked.inputs) == len(worked.weights) == 75
    total = sum(x * w for x, w in zip(worked.inputs, worked.weights, strict=True))
    assert total == worked.products_sum
    assert worked.accumulator == total + (worked.bias or 0)


@pytest.mark.parametrize(
    ("options", "rules"),
    [
        ({}, ["max|w|/127", "(max - min)/255"]),
        ({"weight_bits": 4, "act_bits": 4, "weight_clip": "none"}, ["max|w|/7", "(max - min)/15"]),
        ({"weight_clip": "std2"}, ["reach/127, weight_clip std2 keeps 97.4 % of max|w|"]),
        ({"allow_asymmetric_out": False}, ["max(|max|/127, |min|/128)"]),
        ({"act_bits": 32}, ["sO  = float, not rounded"]),
        ({"weight_bits": 32}, ["sW  float, not rounded"]),
    ],
)
def test_the_rule_that_is_named_is_the_one_that_was_used(
    lenet: Project, options: dict[str, Any], rules: list[str]
) -> None:
    project = lenet.copy()
    assert project.statistics is not None
    chosen = QuantizationOptions(**options)
    nnshell.quantize(project, project.statistics, chosen)
    text = scales_text(project.graph, "_conv1_Conv_fusion", 0, chosen.kernel.weight_clip)
    assert all(rule in text for rule in rules), text


def test_the_scales_of_a_chain_are_one_product(lenet: Project) -> None:
    *_, last = formula_text(lenet.graph).splitlines()
    product, record = last.rpartition(" = ")[2].split("; the record says ")
    assert float(product) == pytest.approx(float(record), rel=1e-6)
    assert "(sO4)" in formula_text(lenet.graph)


def test_a_place_outside_is_refused_with_the_shape(lenet: Project) -> None:
    with pytest.raises(UsageError, match="6,14,14"):
        work_through(lenet.graph, "_conv1_Conv_fusion", random_sample(lenet.graph), (6, 0, 0))
    with pytest.raises(UsageError, match="computes nothing"):
        work_through(lenet.graph, "_conv1_Conv_weights", random_sample(lenet.graph))


def test_values_of_a_constant_are_those_of_the_file_and_of_the_kernel(lenet: Project) -> None:
    (_, floats), *_ = constant_values(lenet.graph, {"_conv1_Conv_weights"})
    (_, integers), *_ = constant_values(lenet.graph, {"_conv1_Conv_weights"}, integers=True)
    record = lenet["_conv1_Conv_weights"].quantization
    assert record is not None
    assert np.abs(record.output.dequantize(integers) - floats).max() <= record.output.scale.max()
    assert integers.dtype == np.int8 and floats.dtype == np.float32
