"""Every operator's examples in the scheme POW2: engines agree, errors are those of the bits."""

from __future__ import annotations

import numpy as np
import pytest

import nnshell.ops  # noqa: F401 - fills the registry
from nnshell.execution.fast_engine import FastEngine
from nnshell.execution.float_engine import FloatEngine
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.ir.arithmetic import arithmetic_of
from nnshell.ir.basic_operators import Constant, Output
from nnshell.ir.examples import graph_of, random_inputs
from nnshell.ir.graph import Graph, all_nodes
from nnshell.ir.operator import OPERATORS, Example
from nnshell.ir.requests import POW2
from nnshell.quantization import QuantizationOptions, quantize_graph
from nnshell.quantization.ranges.statistics import Statistics, TensorStatistics
from nnshell.support.errors import QuantizationError

ENDS = {"input", "output", "constant", "fusion", "fusion_input", "fusion_output"}
OTHER_ENGINE = {"hswish": "products of 31 bits"}
COARSE = {  # kernels that are no better than this, in dB at 16 bits
    "sigmoid": 30.0,  # a table without interpolation
    "tanh": 30.0,
    "leaky": 30.0,  # a slope of 7 bits
    "bilinear_resizer": -20.0,  # positions of the kernel, not of the model
    "nearest_neighbor_resizer": -20.0,
}


def _has_arithmetic(example: Example) -> bool:
    try:
        arithmetic_of(example.op, POW2)
    except QuantizationError:
        return False
    return not example.op.made_by_quantizer


CASES = [
    pytest.param(example, id=f"{kind} {number} {example.name}".strip())
    for kind in OPERATORS
    if kind not in ENDS
    for number, example in enumerate(OPERATORS[kind].examples())
    if _has_arithmetic(example)
]


def quantized(graph: Graph, bits: int) -> Graph:
    """In POW2, by the ranges that random inputs give."""
    nodes = [(key, node) for key, node, _ in all_nodes(graph)]
    keys = [
        key if index == 0 else f"{key}[{index}]"
        for key, node in nodes
        if not isinstance(node.op, Constant | Output)
        for index in range(len(node.outputs))
    ]
    values = FloatEngine(graph, keys, threads=1).run(random_inputs(graph, 4))
    seen = {key: TensorStatistics(float(v.min()), float(v.max())) for key, v in values.items()}
    for key, node in nodes:
        if isinstance(node.op, Output):
            seen[key] = seen[node.inputs[0].node]
    quantize_graph(graph, Statistics(seen), QuantizationOptions(scheme=POW2, bits=bits))
    return graph


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("example", CASES)
def test_fast_engine_computes_what_the_reference_does(example: Example, bits: int) -> None:
    graph = quantized(graph_of(example), bits)
    batch = random_inputs(graph, 3, seed=5)
    for target in ("simulation", "chip"):
        reference = IntegerEngine(graph, target)
        fast = FastEngine(graph, reference.keys, target)
        assert fast.fallback_reason == "" or example.op.kind in OTHER_ENGINE, fast.fallback_reason
        expected, found = reference.run(batch), fast.run(batch)
        for key, values in expected.items():
            assert found[key].dtype == values.dtype, key
            np.testing.assert_array_equal(found[key], values, key)


def _is_exact(example: Example) -> bool:
    """Whether the kernel means what the model does: a max pool's border is 0, not -infinity."""
    window = example.op.sliding_window()
    return example.op.role != "max_pool" or window is None or not window.padded


@pytest.mark.parametrize("example", [case for case in CASES if _is_exact(case.values[0])])
def test_16_bits_are_nearly_exact(example: Example) -> None:
    if example.name in ("bw16", "rgb16"):
        pytest.skip("its integers are pixels, whatever the calibrated range says")
    graph = quantized(graph_of(example), 16)
    batch = random_inputs(graph, 4)
    results = IntegerEngine(graph, "chip").run(batch, ["node"])["node"]
    record = graph["node"].quantization
    assert record is not None
    error = record.output.dequantize(results) - FloatEngine(graph, ["node"]).run(batch)["node"]
    signal = FloatEngine(graph, ["node"]).run(batch)["node"]
    ratio = 10 * np.log10(float((signal**2).sum()) / max(float((error**2).sum()), 1e-30))
    assert ratio > COARSE.get(example.op.kind, 60.0)


def test_records_and_kernels_are_of_the_scheme() -> None:
    example = OPERATORS["conv2d"].examples()[0]
    graph = quantized(graph_of(example), 16)
    record = graph["node"].quantization
    assert record is not None
    assert record.scheme == POW2
    assert [r.dtype for r in (*record.inputs, *record.outputs)] == ["int16"] * 4
    assert all(r.scale == 2.0**-r.fraction_bits for r in record.inputs if r.fraction_bits)
