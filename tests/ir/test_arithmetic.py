"""Integer meaning by (operator, scheme): found by tables, not by branches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

import nnshell.ops  # noqa: F401 - fills the registry
from nnshell.execution.fast_engine import FastEngine
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.ir import arithmetic as module
from nnshell.ir.arithmetic import arithmetic, arithmetic_of, schemes
from nnshell.ir.examples import graph_of, random_inputs
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import OPERATORS, IntArray, Types
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import QuantizeRequest
from nnshell.ops.families.rectifier import Rectifier
from nnshell.ops.relu import Relu
from nnshell.ops.tanh import Tanh
from nnshell.quantization import calibrate_graph, quantize_graph
from nnshell.support.errors import QuantizationError


@dataclass(frozen=True)
class Negated:
    """A rectifier whose integers are those of SQ8 with the other sign."""

    op: Rectifier

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        return replace(self.op.quantize(request), scheme="NEGATED")

    def integer_multi(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray]
    ) -> tuple[IntArray, ...]:
        return (-self.op.integer(quantization, inputs) - 1,)

    def integer_on_chip(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray]
    ) -> tuple[IntArray, ...]:
        return self.integer_multi(quantization, inputs)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        (x,) = self.op.lower(quantization, build, inputs, outputs)
        minus = build.multiply(build.shifted(x, 1), build.integers(np.full((1, 1, 1, 1), -1)))
        return (minus,)


@pytest.fixture
def negated(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(module, "_SCHEMES", {name: dict(t) for name, t in module._SCHEMES.items()})
    arithmetic("NEGATED", Rectifier)(Negated)
    yield "NEGATED"


def test_every_operator_is_its_own_arithmetic_in_sq8() -> None:
    assert schemes()[0] == "SQ8"
    for kind in OPERATORS:
        for example in OPERATORS[kind].examples():
            assert arithmetic_of(example.op) is example.op


def test_another_scheme_is_another_table(negated: str) -> None:
    assert {"SQ8", negated} <= set(schemes())
    assert arithmetic_of(Relu(), negated) == Negated(Relu()), "by the nearest class"
    assert arithmetic_of(Relu()) == Relu()


def test_what_a_scheme_does_not_have_is_refused_by_name(negated: str) -> None:
    with pytest.raises(QuantizationError, match="'tanh' has no arithmetic in scheme NEGATED"):
        arithmetic_of(Tanh(), negated)
    with pytest.raises(QuantizationError, match="scheme POW3"):
        arithmetic_of(Relu(), "POW3")


def test_a_class_has_one_arithmetic_in_a_scheme(negated: str) -> None:
    with pytest.raises(AssertionError, match="two arithmetics of Rectifier"):
        arithmetic(negated, Rectifier)(Negated)


def test_engines_run_the_scheme_that_a_node_was_quantized_in(negated: str) -> None:
    graph = graph_of(Relu.examples()[0])
    batch = random_inputs(graph, 4)
    quantize_graph(graph, calibrate_graph(graph, [batch]))
    plain = IntegerEngine(graph).run(batch)["node"].astype(np.int64)
    node = graph["node"]
    assert node.quantization is not None
    node.quantization = replace(node.quantization, scheme=negated)
    assert np.array_equal(IntegerEngine(graph).run(batch)["node"], -plain - 1)
    fast = FastEngine(graph, ["node"])
    assert np.array_equal(fast.run(batch)["node"], -plain - 1)
    assert not fast.fallback_reason
