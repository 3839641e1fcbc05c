"""Every registered operator, by discovery: shapes, float meaning, text, cost."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import nnshell.ops  # noqa: F401 - fills the registry
from nnshell.execution.float_engine import FloatEngine
from nnshell.ir.examples import graph_of, random_inputs
from nnshell.ir.operator import OPERATORS, Example, Operator
from nnshell.ir.verify import verify

NO_EXAMPLES = {"input", "output", "constant", "fusion", "fusion_input", "fusion_output"}
KINDS = [kind for kind in OPERATORS if kind not in NO_EXAMPLES]
CASES = [
    pytest.param(example, id=f"{kind} {number} {example.name}".strip())
    for kind in KINDS
    for number, example in enumerate(OPERATORS[kind].examples())
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_operator_has_examples(kind: str) -> None:
    assert OPERATORS[kind].examples()


@pytest.mark.parametrize("kind", KINDS)
def test_fields_do_not_hide_methods_of_the_contract(kind: str) -> None:
    fields = {field.name for field in dataclasses.fields(OPERATORS[kind])}
    assert not fields & {name for name in dir(Operator) if not name.startswith("_")}


@pytest.mark.parametrize("example", CASES)
def test_the_graph_of_an_example_is_valid(example: Example) -> None:
    verify(graph_of(example))


@pytest.mark.parametrize("example", CASES)
@pytest.mark.parametrize("samples", [1, 3])
def test_inferred_shapes_are_those_of_the_float_engine(example: Example, samples: int) -> None:
    graph = graph_of(example)
    results = FloatEngine(graph, threads=1).run(random_inputs(graph, samples))
    for node in graph.outputs:
        assert results[node.name].shape == (samples, *node.type.shape)
        assert results[node.name].dtype == np.dtype(node.type.dtype)


@pytest.mark.parametrize("example", CASES)
def test_samples_do_not_see_each_other(example: Example) -> None:
    graph = graph_of(example)
    engine = FloatEngine(graph, threads=1)
    batch = random_inputs(graph, 3)
    together = engine.run(batch)
    alone = [engine.run([array[i : i + 1] for array in batch]) for i in range(3)]
    for name, values in together.items():
        separate = np.concatenate([result[name] for result in alone])
        np.testing.assert_allclose(values, separate, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("example", CASES)
def test_work_and_macs_are_consistent(example: Example) -> None:
    graph = graph_of(example)
    node = graph["node"]
    types = graph.input_types(node)
    work = node.op.work(types, node.outputs)
    assert work.macs == node.op.macs(types, node.outputs)
    if work.kind != "none":
        assert work.output_bytes >= sum(t.size for t in node.outputs)
        assert len(work.input_bytes) == len(work.inputs)
    if len(node.outputs) == 1:
        assert work.output == node.type.chw


@pytest.mark.parametrize("example", CASES)
def test_descriptions_are_one_line(example: Example) -> None:
    graph = graph_of(example)
    node = graph["node"]
    text = node.op.describe(graph.input_types(node), node.outputs)
    assert "\n" not in text
    assert text == text.strip()
