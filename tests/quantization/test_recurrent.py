"""Recurrent layers in integers: every formula once more, number by number, on random networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnshell.execution.integer_engine import IntegerEngine
from nnshell.ir.examples import graph_of
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.operator import Example
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.requests import Range
from nnshell.numeric.lookup import SIGMOID_TABLE
from nnshell.ops.families.recurrent import STATE_RANGE, Recurrent, example_of
from nnshell.ops.gru import Gru
from nnshell.ops.lstm import Lstm
from nnshell.ops.relu import Relu
from nnshell.ops.rnn import Rnn
from nnshell.quantization import calibrate_graph, quantize_graph
from nnshell.quantization.ranges.statistics import Statistics, TensorStatistics

SETTINGS = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
KINDS: tuple[Recurrent, ...] = (Rnn(), Gru(), Gru(linear_before_reset=False), Lstm())


# -- the formulas, one number at a time ----------------------------------------------------------


def wrapped(value: int) -> int:
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


def rs(value: int, shift: int) -> int:
    return value if shift == 0 else wrapped(value + (1 << (shift - 1))) >> shift


def sat8(value: int) -> int:
    return max(-128, min(127, value))


def pair(scale: float) -> tuple[int, int]:
    """The search for a multiplier, as the reference text has it."""
    fraction, exponent = math.frexp(scale)
    mantissa, bits = float(np.float32(fraction)), 8
    while True:
        multiplier, shift = math.floor(mantissa * 2**bits + 0.5), bits - exponent
        poor = multiplier >= 256 or shift > 24 or multiplier % 2 == 0
        if not (poor and shift > 0 and bits > 0):
            return multiplier, shift
        bits -= 1


def ms(value: int, scale: float) -> int:
    multiplier, shift = pair(scale)
    product = wrapped(value * multiplier)
    return rs(product, shift) if shift >= 0 else wrapped(product << -shift)


def table(x: int, shift: int) -> int:
    k = (3 * abs(x)) >> shift
    return 65535 if k >= 255 else int(SIGMOID_TABLE[k])


def limited(x: int) -> int:
    return max(-(1 << 17), min((1 << 17) - 1, x))


def sigmoid(x: int) -> int:
    v = table(limited(x), 9)
    return (v if x > 0 else 65536 - v) >> 1


def tanh(x: int) -> int:
    v = table(limited(x), 8)
    return v - 32768 if x > 0 else 32768 - v


def hsig(x: int, q: int) -> int:
    return rs(max(0, min(6 << q, x + (3 << q))) * math.floor(2**q / 6 + 0.5), q)


def htanh(x: int, q: int) -> int:
    return max(-(1 << q), min(1 << q, x))


def dot(rows: Any, values: Sequence[int], row: int) -> int:
    return wrapped(sum(int(w) * v for w, v in zip(rows[row], values, strict=True)))


class Layer:
    """Integers and scales of a quantized layer by slot."""

    def __init__(self, op: Recurrent, quantization: NodeQuantization) -> None:
        self.op = op
        self.records = dict(zip(("x", *op.slots), quantization.inputs, strict=True))
        self.values = dict(zip(("x", *op.slots), quantization.constants, strict=True))
        self.output: QParams = quantization.output

    def s(self, slot: str) -> float:
        return self.records[slot].first_scale

    def w(self, slot: str) -> Any:
        return self.values[slot]

    def first(self, slot: str) -> list[int]:
        return [int(n) for n in self.values[slot]]


def rnn(layer: Layer, x: Sequence[int], h: list[int], c: list[int]) -> None:
    state, weights = layer.s("i_state"), layer.s("i_2_i_w")
    results = []
    for n in range(len(h)):
        total = ms(dot(layer.w("i_2_i_w"), x, n), layer.s("x") / state)
        total = wrapped(total + int(layer.w("i_b")[n]) + dot(layer.w("r_2_i_w"), h, n))
        if layer.op.hard:
            low, high = (max(-128, min(127, math.floor(v / state + 0.5))) for v in (-1, 1))
            results.append(sat8(max(low, min(high, ms(total, weights)))))
        else:
            value = tanh(ms(total, state * weights / 2.0**-12))
            results.append(sat8(ms(value, 2.0**-15 / layer.output.first_scale)))
    h[:] = results


def gru(layer: Layer, x: Sequence[int], h: list[int], c: list[int]) -> None:
    state, hard = 2.0**-7, layer.op.hard
    assert isinstance(layer.op, Gru)

    def scales(g: str) -> tuple[float, float]:
        recurrent = layer.s(f"r_2_{g}_w")
        ratio = (layer.s(f"w_2_{g}_w") * layer.s("x")) / (recurrent * state)
        return ratio, recurrent * state / 2.0**-12

    def gate(g: str, n: int) -> int:
        ratio, inner = scales(g)
        total = ms(dot(layer.w(f"w_2_{g}_w"), x, n), ratio)
        total = wrapped(total + dot(layer.w(f"r_2_{g}_w"), h, n) + int(layer.w(f"{g}_b")[n]))
        value = ms(total, inner)
        return hsig(value, 12) if hard else rs(sigmoid(value), 3)

    gates = [(gate("z", n), gate("r", n)) for n in range(len(h))]
    reset = [value * r for value, (_, r) in zip(h, gates, strict=True)]
    results = []
    for n, (z, r) in enumerate(gates):
        ratio, inner = scales("h")
        given_part = ms(wrapped(dot(layer.w("w_2_h_w"), x, n) + int(layer.w("w_h_b")[n])), ratio)
        bias = int(layer.w("r_h_b")[n])
        if layer.op.linear_before_reset:
            kept = wrapped(dot(layer.w("r_2_h_w"), h, n) + bias)
            k = rs(wrapped(r * kept), 12) + given_part
        else:
            k = rs(dot(layer.w("r_2_h_w"), reset, n), 12) + bias + given_part
        value = ms(wrapped(k), inner)
        new = htanh(value, 12) if hard else rs(tanh(value), 3)
        results.append(sat8(rs((4096 - z) * new + z * (h[n] << 5), 17)))
    h[:] = results


def lstm(layer: Layer, x: Sequence[int], h: list[int], c: list[int]) -> None:
    hard, state, cell = layer.op.hard, layer.s("i_state"), layer.s("c_state")
    whole = math.floor(cell * 127 * (1 + 1e-12))
    bits = 1 if whole == 0 else math.floor(math.log2(whole)) + 2
    q = min(16 - bits, 10) if hard else 12

    def argument(g: str, n: int) -> int:
        recurrent = layer.s(f"r_2_{g}_w")
        ratio = (layer.s(f"i_2_{g}_w") * layer.s("x")) / (recurrent * state)
        total = ms(dot(layer.w(f"i_2_{g}_w"), x, n), ratio) + int(layer.w(f"{g}_b")[n])
        return ms(wrapped(total + dot(layer.w(f"r_2_{g}_w"), h, n)), recurrent * state / 2.0**-q)

    arguments = [{g: argument(g, n) for g in "ifco"} for n in range(len(h))]
    for n, a in enumerate(arguments):
        if hard:
            i, f, o = (hsig(a[g], q) for g in "ifo")
            kept = ms(wrapped(c[n] * f), cell * 2.0**-q / 2.0 ** (-2 * q))
            total = wrapped(kept + wrapped(htanh(a["c"], q) * i))
            given_part = wrapped(o * htanh(total, 2 * q))
            h[n] = sat8(ms(given_part, 2.0 ** (-3 * q) / state))
            c[n] = sat8(ms(total, 2.0 ** (-2 * q) / cell))
        else:
            i, f, o = (sigmoid(a[g]) for g in "ifo")
            kept = ms(wrapped(c[n] * f), cell * 2.0**-15 / 2.0**-12)
            total = wrapped(kept + rs(tanh(a["c"]) * i, 18))
            h[n] = sat8(ms((o * tanh(total)) >> 15, 2.0**-15 / state))
            c[n] = sat8(ms(total, 2.0**-12 / cell))


STEPS: dict[str, Callable[[Layer, Sequence[int], list[int], list[int]], None]] = {
    "rnn": rnn,
    "gru": gru,
    "lstm": lstm,
}


def run_by_hand(
    op: Recurrent, quantization: NodeQuantization, sequence: Any
) -> tuple[list[list[int]], list[int], list[int]]:
    """The state after each step in order of time, the last state and the last cell."""
    layer = Layer(op, quantization)
    h = layer.first(op.states[0])
    c = layer.first(op.states[1]) if len(op.states) > 1 else []
    count = len(sequence)
    results: list[list[int]] = [[]] * count
    for step in reversed(range(count)) if op.reverse else range(count):
        STEPS[op.kind](layer, [int(v) for v in sequence[step]], h, c)
        results[step] = list(h)
    return results, h, c


# -- random networks -----------------------------------------------------------------------------


def layer_graph(op: Recurrent, shape: tuple[int, int, int], seed: int, reach: float) -> Graph:
    """A layer with random weights and states; ``reach`` is how far its numbers spread."""
    random = np.random.default_rng(seed)
    example = example_of(op, *shape, "random")
    constants = [
        None if value is None else random.normal(0, reach, value.shape).astype(np.float32)
        for value in example.constants
    ]
    return graph_of(Example(op, example.inputs, tuple(constants)))


@SETTINGS
@given(
    st.sampled_from(KINDS),
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
    st.tuples(*[st.booleans()] * 3),
    st.sampled_from((0.1, 0.7, 3.0)),
    st.sampled_from((0.05, 1.0, 20.0)),
    st.integers(0, 1 << 20),
)
def test_every_number_follows_from_the_formulas(
    kind: Recurrent,
    shape: tuple[int, int, int],
    flags: tuple[bool, bool, bool],
    reach: float,
    spread: float,
    seed: int,
) -> None:
    reverse, hard, same = flags
    op = replace(kind, reverse=reverse, hard=hard, same_scale=same, last_h=True)
    if isinstance(op, Lstm):
        op = replace(op, last_c=True)
    graph = layer_graph(op, shape, seed, reach)
    random = np.random.default_rng(seed)
    batch = [random.normal(0, spread, (3, *shape[:2])).astype(np.float32)]
    quantize_graph(graph, calibrate_graph(graph, [batch]))
    results = IntegerEngine(graph).run([batch[0] * 2])  # beyond what was calibrated
    quantization = graph["node"].quantization
    assert quantization is not None
    for sample in range(3):
        sequence = results["input_1"][sample]
        steps, h, c = run_by_hand(op, quantization, sequence)
        assert results["node"][sample, 0].tolist() == steps
        assert results["node[1]"][sample, 0].tolist() == h
        if isinstance(op, Lstm):
            assert results["node[2]"][sample, 0].tolist() == c


# -- records -------------------------------------------------------------------------------------


def quantized(op: Recurrent, spread: float = 1.0, reach: float = 0.5) -> NodeQuantization:
    graph = layer_graph(op, (5, 4, 6), 1, reach)
    batch = [np.random.default_rng(2).uniform(-spread, spread, (8, 5, 4)).astype(np.float32)]
    quantize_graph(graph, calibrate_graph(graph, [batch]))
    result = graph["node"].quantization
    assert result is not None
    return result


@pytest.mark.parametrize(("spread", "same"), [(1.0, True), (6.0, False)])
def test_an_rnn_merges_scales_that_differ_by_no_more_than_a_hundredth(
    spread: float, same: bool
) -> None:
    result = quantized(Rnn(), spread)
    scales = {round(r.first_scale, 9) for r in (result.input, result.inputs[4], result.output)}
    assert (len(scales) == 1) is same
    assert bool(result.kernel.scalings["i_2_a"].scale[0] == 1.0) is same


def test_a_gru_has_2_to_the_minus_7_whatever_it_is_read_by() -> None:
    result = quantized(Gru(last_h=True))
    assert [r.first_scale for r in (*result.outputs, result.inputs[-1])] == [2.0**-7] * 3


@pytest.mark.parametrize(("ratio", "merged"), [(1.15, True), (1.3, False)])
def test_an_lstm_merges_only_where_its_weights_are_alike(ratio: float, merged: bool) -> None:
    op = Lstm()
    example = example_of(op, 5, 4, 4, "alike")
    constants = [
        value
        if value is None or value.ndim < 2
        else value / np.abs(value).max() * np.float32(ratio if slot[:2] == "i_" else 1.0)
        for slot, value in zip(("x", *op.slots), example.constants, strict=True)
    ]
    graph = graph_of(Example(op, example.inputs, tuple(constants)))
    batch = [np.random.default_rng(2).uniform(-1, 1, (8, 5, 4)).astype(np.float32)]
    seen = calibrate_graph(graph, [batch])
    tensors = {**seen.tensors, "input_1": seen["node"]}  # input and output in one range
    quantize_graph(graph, Statistics(tensors))
    result = graph["node"].quantization
    assert result is not None
    assert result.kernel.one_scale is merged
    assert (result.inputs[1].first_scale == result.inputs[5].first_scale) is merged


def test_biases_of_a_gru_far_from_its_state_s_scale_are_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    quantized(Gru(), 4.0)
    assert "adds biases in the scale of its input" in caplog.text
    caplog.clear()
    quantized(Gru(), 1.0)
    assert caplog.text == ""


@pytest.mark.parametrize(("reader", "warned"), [("relu", True), ("none", False)])
def test_a_state_in_a_reader_s_scale_is_warned_of(
    reader: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    graph = layer_graph(Lstm(), (5, 4, 6), 1, 0.5)
    if reader == "relu":
        kind = graph["node"].type
        graph.add(Node("relu", Relu(), [Ref("node")], (kind,)))
        graph["output_1"].inputs = [Ref("relu")]
    batch = [np.random.default_rng(2).uniform(-1, 1, (8, 5, 4)).astype(np.float32)]
    statistics = calibrate_graph(graph, [batch])
    inside = {**statistics["node"].inside, STATE_RANGE: Range(-0.9, 0.3)}
    low = TensorStatistics(-0.9, 0.3, inside=inside)
    tensors = {**statistics.tensors, "node": low, "relu": TensorStatistics(0.0, 0.3)}
    quantize_graph(graph, Statistics(tensors))
    assert ("its state is kept in the scale" in caplog.text) is warned
