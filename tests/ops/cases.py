"""Registered examples with their constants and a way to compute them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from numpy.typing import NDArray

import nnshell.ops  # noqa: F401 - fills the registry
from nnshell.execution.float_engine import FloatEngine
from nnshell.ir.examples import graph_of, random_inputs
from nnshell.ir.graph import Graph, Node
from nnshell.ir.operator import OPERATORS, Example, Operator
from nnshell.ir.types import TensorType

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
