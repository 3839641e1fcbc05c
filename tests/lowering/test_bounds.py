"""Bounds of lowered tensors hold for every integer: every operator, by discovery.

Whether a sum is exact in float32 is decided by these bounds; one that is too narrow is a wrong
result on the first input that reaches further. All tensors are looked at, those between the nodes
of an operator too, on inputs at both ends of their type.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import nnshell.ops  # noqa: F401 - fills the registry
from nnshell.execution import fast_engine
from nnshell.execution.fast_engine import FastEngine, open_exact_session
from nnshell.ir.basic_operators import Constant
from nnshell.ir.examples import graph_of, random_inputs
from nnshell.ir.graph import Graph
from nnshell.ir.integer_graph import IntegerTensor
from nnshell.ir.operator import OPERATORS, Example
from nnshell.quantization import calibrate_graph, quantize_graph

CASES = [
    pytest.param(example, id=f"{kind} {number} {example.name}".strip())
    for kind in sorted(OPERATORS)
    for number, example in enumerate(OPERATORS[kind].examples())
]


@pytest.fixture
def stated(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[IntegerTensor]]:
    """Every tensor that is made while a graph is lowered."""
    tensors: list[IntegerTensor] = []
    plain = IntegerTensor.__init__

    def noted(self: IntegerTensor, *values: Any, **named: Any) -> None:
        plain(self, *values, **named)
        tensors.append(self)

    monkeypatch.setattr(IntegerTensor, "__init__", noted)
    # its tensors are multiplied and shifted by what makes its rounding exact
    monkeypatch.setattr(fast_engine, "quantize_linear_is_exact", lambda: False)
    yield tensors


def extremes(graph: Graph) -> list[NDArray[Any]]:
    """Samples at the ends of what inputs hold, of one sign and of mixed ones, and random ones."""
    arrays = []
    for array in random_inputs(graph, 12, 1):
        if array.dtype.kind in "iu":
            limits = np.iinfo(array.dtype)
            ends = [np.full_like(array[:1], limits.min), np.full_like(array[:1], limits.max)]
            arrays.append(np.concatenate([*ends, array[2:]]))
            continue
        far = np.float32(50.0)
        signs = np.where(array[2:6] < 0, -far, far)
        low, high = np.full_like(array[:1], -far), np.full_like(array[:1], far)
        arrays.append(np.concatenate([low, high, signs, array[6:]]))
    return arrays


def dead_ends(graph: Graph) -> None:
    """Constants with both signs and both ends in them, where they are not so already."""
    for node in graph:
        if isinstance(node.op, Constant) and node.op.value.dtype == np.float32:
            value = node.op.value.copy()
            value.reshape(-1)[:: max(1, value.size // 3)] *= -1.5
            node.op = Constant(value)


@pytest.mark.parametrize("target", ["simulation", "chip"])
@pytest.mark.parametrize("example", CASES)
def test_bounds_of_all_lowered_tensors_hold(
    example: Example, target: str, stated: list[IntegerTensor]
) -> None:
    graph = graph_of(example)
    if example.op.kind not in ("batch_norm", "div"):  # a variance and a divisor keep their sign
        dead_ends(graph)
    batch = random_inputs(graph, 12)
    quantize_graph(graph, calibrate_graph(graph, [batch]))
    stated.clear()
    engine = FastEngine(graph, target=target, threads=1)
    if example.op.sequence_axis is not None:
        assert "step by step" in engine.fallback_reason
        return
    assert engine.fallback_reason == ""
    values = _everything(engine, extremes(graph))
    bounded = [tensor for tensor in stated if tensor.name in values]
    assert bounded
    for tensor in bounded:
        array = values[tensor.name]
        assert tensor.low <= array.min(), tensor
        assert array.max() <= tensor.high, tensor


def _everything(engine: FastEngine, batch: list[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Every tensor of the engine's ONNX graph by name."""
    assert engine._lowered is not None
    model = onnx.load_from_string(engine._lowered.model())
    names = [name for node in model.graph.node for name in node.output]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = open_exact_session(model.SerializeToString(), 1)
    feeds = {
        entry.name: array.astype(np.float32)  # pixels, too
        for entry, array in zip(session.get_inputs(), batch, strict=True)
    }
    values = dict(zip(names, session.run(names, feeds), strict=True))
    return {name: array for name, array in values.items() if array.size}
