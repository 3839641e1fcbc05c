"""The fast engine gives the reference's integers, on every operator and on random networks."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import nnshell.ops  # noqa: F401 - fills the registry
from nnshell.execution.engines import tensor_keys
from nnshell.execution.fast_engine import FastEngine
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.ir.examples import graph_of, random_inputs
from nnshell.ir.graph import Graph
from nnshell.ir.operator import OPERATORS, Example
from nnshell.passes.manager import run_passes
from nnshell.passes.pipelines import ADJUST, SCALE8
from nnshell.quantization import QuantizationOptions, calibrate_graph, quantize_graph
from nnshell.quantization.options import DIMENSIONS
from nnshell.support.errors import InputError, QuantizationError
from tests.passes.nets import random_graph, stretched

NO_EXAMPLES = {"input", "output", "constant", "fusion", "fusion_input", "fusion_output"}
CASES = [
    pytest.param(example, id=f"{kind} {number} {example.name}".strip())
    for kind in sorted(set(OPERATORS) - NO_EXAMPLES)
    for number, example in enumerate(OPERATORS[kind].examples())
]
SLOW = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def assert_same(graph: Graph, batch: list[NDArray[Any]], target: str = "simulation") -> FastEngine:
    """Equal integers and types, of all tensors together and of the outputs alone."""
    keys = tensor_keys(graph)
    wanted = IntegerEngine(graph, target).run(batch, keys)
    everything = FastEngine(graph, keys, target, threads=1)
    outputs = FastEngine(graph, target=target, threads=1)
    for engine in (everything, outputs):
        found = engine.run(batch)
        assert list(found) == engine.keys
        for key, values in found.items():
            assert values.dtype == wanted[key].dtype, key
            np.testing.assert_array_equal(values, wanted[key], err_msg=key)
    return outputs


@pytest.mark.parametrize("example", CASES)
def test_every_operator_gives_the_integers_of_the_reference(example: Example) -> None:
    graph = graph_of(example)
    batch = random_inputs(graph, 16)
    quantize_graph(graph, calibrate_graph(graph, [batch]))
    wild = [array if array.dtype.kind != "f" else array * 5 for array in random_inputs(graph, 8, 1)]
    recurrent = example.op.sequence_axis is not None
    for given_batch in (batch, wild):
        for target in ("simulation", "chip"):
            reason = assert_same(graph, given_batch, target).fallback_reason
            assert ("step by step" in reason) if recurrent else (reason == "")


@SLOW
@given(st.integers(0, 2**32), st.booleans(), st.booleans(), st.sampled_from(DIMENSIONS))
def test_random_networks_give_the_integers_of_the_reference(
    seed: int, fused: bool, extreme: bool, dimension: str
) -> None:
    random = Random(seed)
    graph = random_graph(random, 14)
    if extreme:
        stretched(graph, random)
    if fused:
        run_passes(graph, (*ADJUST, *SCALE8))
    batch = random_inputs(graph, 3, seed % 1000)
    try:
        statistics = calibrate_graph(graph, [batch])
        quantize_graph(graph, statistics, QuantizationOptions(quantized_dimension=dimension))
    except (QuantizationError, InputError):
        return  # nothing to compare
    wild = [array * np.float32(random.choice((1.0, 4.0))) for array in batch]
    assert_same(graph, wild)
