"""The fast engine at the limits: wrap-around, wide sums, what cannot be lowered, bad inputs."""

from __future__ import annotations

import logging
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nnshell.execution import fast_engine
from nnshell.execution.fast_engine import FastEngine
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.ir.basic_operators import Input
from nnshell.ir.graph import Graph
from nnshell.ir.integer_graph import CannotLower
from nnshell.ir.types import TensorType
from nnshell.numeric.fixed_point import Multiplier
from nnshell.ops.add import Add
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.relu import Relu, Relu6
from nnshell.quantization import calibrate_graph, quantize_graph
from nnshell.support.errors import InputError, QuantizationError
from tests.passes.nets import Net

SLOW = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def filter_graph(kind: str, seed: int = 0) -> tuple[Graph, list[NDArray[np.float32]]]:
    """A quantized network of a filter and what follows it."""
    net = Net(4, 6, 6, seed=seed)
    if kind == "linear":
        net.output(net.node("relu", Relu(), net.linear(net.x, 5)))
    else:
        groups = 4 if kind == "depthwise" else 1
        made = net.conv(net.x, 4, pads=(1, 1, 1, 1), groups=groups)
        pooled = net.node("pool", MaxPool(), made) if kind == "pooled" else made
        net.output(net.node("relu", Relu6(), pooled), made)
    batch = [net.normal(3, 4, 6, 6)]
    quantize_graph(net.graph, calibrate_graph(net.graph, [batch]))
    return net.graph, batch


def distort(graph: Graph, random: Random) -> None:
    """Other biases, multipliers and shifts, far beyond what quantization makes."""
    for node in graph:
        made = node.quantization
        kernel = made.kernel if made is not None else None
        if made is None or not hasattr(kernel, "weights"):
            continue
        count = kernel.bias.size
        largest = 2 ** random.choice((4, 12, 18, 24, 30, 31)) - 1
        bias = np.array([random.randint(-largest, largest) for _ in range(count)], np.int32)
        multiplier = np.array([random.choice((1, 127, 128, 201, 255)) for _ in range(count)])
        low, high = random.choice(((0, 12), (14, 20), (20, 40), (-6, 3)))
        shift = np.array([random.randint(low, high) for _ in range(count)])
        scaling = Multiplier(
            kernel.scaling.scale,
            multiplier.astype(np.uint8),
            shift.astype(np.int8),
            np.zeros(count, np.int64),
        )
        node.quantization = replace(made, kernel=replace(kernel, bias=bias, scaling=scaling))


def assert_same(graph: Graph, batch: list[NDArray[Any]]) -> FastEngine:
    engine = FastEngine(graph, threads=1)
    wanted = IntegerEngine(graph).run(batch, engine.keys)
    for key, values in engine.run(batch).items():
        np.testing.assert_array_equal(values, wanted[key], err_msg=key)
    return engine


@SLOW
@given(
    st.integers(0, 2**32), st.sampled_from(("conv", "depthwise", "pooled", "linear", "pointwise"))
)
def test_any_bias_multiplier_and_shift_is_computed_exactly(seed: int, kind: str) -> None:
    graph, batch = filter_graph(kind, seed % 7)
    distort(graph, Random(seed))
    engine = assert_same(graph, [batch[0] * np.float32(3)])
    assert engine.fallback_reason == ""


@pytest.mark.parametrize("inputs", [1200, 9000])
def test_sums_beyond_24_bits_are_split_or_made_in_float64(inputs: int) -> None:
    net = Net(inputs, 2, 1, seed=1)
    weights = np.full((3, inputs, 1, 1), 0.01, np.float32)
    filters = [net.constant("weights", weights), net.constant("bias", [0.0, 1.0, -2.0])]
    made = net.node("conv", Conv2D(), net.x, *filters)
    net.output(made, net.linear(net.x, 2))
    batch = [np.abs(net.normal(2, inputs, 2, 1)) + np.float32(1)]
    quantize_graph(net.graph, calibrate_graph(net.graph, [batch]))
    assert assert_same(net.graph, batch).fallback_reason == ""


def test_a_relu_behind_a_filter_that_gives_one_negative_number() -> None:
    net = Net(2, 3, 3)
    filters = [net.constant("w", np.zeros((1, 2, 1, 1))), net.constant("b", [-1.5])]
    net.output(net.node("relu", Relu(), net.node("conv", Conv2D(), net.x, *filters)))
    batch = [net.normal(2, 2, 3, 3)]
    quantize_graph(net.graph, calibrate_graph(net.graph, [batch]))
    assert_same(net.graph, batch)


def test_inputs_may_be_called_as_onnx_nodes_are() -> None:
    net = Net()
    refs = [net.node(name, Input(TensorType((4,)), i)) for i, name in enumerate(("Cast", "Div"))]
    net.output(net.node("sum", Add(), *refs))
    batch = [net.normal(3, 4), net.normal(3, 4)]
    quantize_graph(net.graph, calibrate_graph(net.graph, [batch]))
    assert assert_same(net.graph, batch).fallback_reason == ""


def test_without_quantize_linear_the_integers_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fast_engine, "quantize_linear_is_exact", lambda: False)
    graph, batch = filter_graph("conv")
    assert assert_same(graph, batch).fallback_reason == ""


def test_quantize_linear_is_exact_here() -> None:
    assert fast_engine.quantize_linear_is_exact()


def test_many_samples_are_run_in_parts_and_joined_in_order() -> None:
    graph, _ = filter_graph("conv")
    batch = [np.random.default_rng(0).normal(size=(2500, 4, 6, 6)).astype(np.float32)]
    assert_same(graph, batch)


def test_what_cannot_be_lowered_runs_in_the_reference(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    graph, batch = filter_graph("conv")

    def refuse(*_: Any) -> None:
        raise CannotLower("a reason")

    monkeypatch.setattr(Conv2D, "lower", refuse)
    with caplog.at_level(logging.DEBUG, logger="nnshell"):
        engine = assert_same(graph, batch)
    assert engine.fallback_reason == "node conv: a reason"
    assert "a reason" in caplog.text


def test_bad_batches_are_refused_as_the_reference_does() -> None:
    graph, batch = filter_graph("conv")
    engine = FastEngine(graph, threads=1)
    bad = [
        [],
        [batch[0], batch[0]],
        [batch[0][:, :2]],
        [np.where(batch[0] > 1, np.float32(np.nan), batch[0])],
    ]
    for given_batch in bad:
        with pytest.raises(InputError) as expected:
            IntegerEngine(graph).run(given_batch)
        with pytest.raises(InputError) as found:
            engine.run(given_batch)
        assert str(found.value) == str(expected.value)


def test_unknown_keys_and_float_graphs_are_refused() -> None:
    graph, _ = filter_graph("conv")
    with pytest.raises(InputError, match="nowhere"):
        FastEngine(graph, ["nowhere"])
    graph.clear_quantization()
    with pytest.raises(QuantizationError):
        FastEngine(graph)
