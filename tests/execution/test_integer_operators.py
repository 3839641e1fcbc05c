"""Every registered operator in integers, by discovery: close to float, samples independent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nnshell.ops  # noqa: F401 - fills the registry
from nnshell.execution.float_engine import FloatEngine
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.execution.metrics import compare_arrays
from nnshell.ir.examples import graph_of, random_inputs
from nnshell.ir.graph import Graph
from nnshell.ir.operator import OPERATORS, Example
from nnshell.quantization import calibrate_graph, quantize_graph

NO_EXAMPLES = {"input", "output", "constant", "fusion", "fusion_input", "fusion_output"}
CASES = [
    pytest.param(example, id=f"{kind} {number} {example.name}".strip())
    for kind in sorted(set(OPERATORS) - NO_EXAMPLES)
    for number, example in enumerate(OPERATORS[kind].examples())
]

# Padding of a max pool is 0 and not minus infinity; a quotient explodes near 0.
POSITIVE = {"max_pool", "div"}
# 16-bit pixels lose their low bits, and the record is that of the range, not of the pixels.
UNRELATED = {("image_format", "bw16"), ("image_format", "rgb16")}

# Half a unit of the input decides by how much they are off; test_ideal judges their integers.
STEEP = {"sign", "floor", "ceil", "round", "reciprocal", "log", "inverse_root", "pow"}

LEAST_QSNR_DB = 25.0


def batch_for(example: Example, graph: Graph, samples: int = 16) -> list[NDArray[Any]]:
    batch = random_inputs(graph, samples)
    if example.op.kind in POSITIVE:
        return [np.abs(array) + np.float32(0.5) for array in batch]
    return batch


def quantized(example: Example) -> tuple[Graph, list[NDArray[Any]]]:
    graph = graph_of(example)
    batch = batch_for(example, graph)
    quantize_graph(graph, calibrate_graph(graph, [batch]))
    return graph, batch


@pytest.mark.parametrize("example", CASES)
def test_integers_stand_for_about_the_float_results(example: Example) -> None:
    if (example.op.kind, example.name) in UNRELATED:
        pytest.skip("its integers are pixels, whatever the calibrated range says")
    if example.op.kind == "function" and example.name in STEEP:
        pytest.skip("it is steep: the rounding of its input shows")
    graph, batch = quantized(example)
    engine = IntegerEngine(graph)
    found, real = engine.run(batch), FloatEngine(graph, threads=1).run(batch)
    for node in graph.outputs:
        approximate = engine.record(node.name).dequantize(found[node.name])
        comparison = compare_arrays(real[node.name], approximate)
        assert comparison.qsnr_db > LEAST_QSNR_DB, comparison


@pytest.mark.parametrize("example", CASES)
def test_integers_have_the_type_of_their_record_and_fit_it(example: Example) -> None:
    graph, batch = quantized(example)
    engine = IntegerEngine(graph)
    for key, values in engine.run(batch).items():
        record = engine.record(key)
        low, high = record.limits
        assert values.dtype == np.dtype(record.dtype)
        assert low <= values.min() <= values.max() <= high


@pytest.mark.parametrize("example", CASES)
def test_samples_do_not_see_each_other(example: Example) -> None:
    graph, batch = quantized(example)
    engine = IntegerEngine(graph)
    together = engine.run([array[:3] for array in batch])
    alone = [engine.run([array[i : i + 1] for array in batch]) for i in range(3)]
    for key, values in together.items():
        assert np.array_equal(values, np.concatenate([result[key] for result in alone]))
