"""Node options of recurrent layers: states as inputs and outputs, and what arithmetic they have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnshell import flow
from nnshell.execution.engines import EngineName, make_engine
from nnshell.execution.fast_engine import FastEngine
from nnshell.execution.float_engine import FloatEngine
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.execution.streams import StreamEngine
from nnshell.exporters.onnx import export_bytes
from nnshell.inputs.input_set import Batch
from nnshell.ir.examples import graph_of
from nnshell.learning.outliers import activation_outliers
from nnshell.ops.families.recurrent import Recurrent, example_of
from nnshell.ops.gru import Gru
from nnshell.ops.lstm import Lstm
from nnshell.ops.rnn import Rnn
from nnshell.quantization import calibrate_graph
from nnshell.session import edits
from nnshell.session.project import Project
from nnshell.support.errors import UsageError

STEPS, WIDTH, SIZE = 6, 3, 4
LAYERS: tuple[Recurrent, ...] = (Rnn(), Gru(), Lstm())
STATES = {"rnn": ["i_state"], "gru": ["h_state"], "lstm": ["i_state", "c_state"]}


def opened(op: Recurrent, folder: Path, steps: int = STEPS) -> Project:
    """A project of one layer whose node is called ``node``; weights do not depend on ``steps``."""
    path = folder / f"{op.kind}_{steps}.onnx"
    path.write_bytes(export_bytes(graph_of(example_of(op, steps, WIDTH, SIZE, "options"))))
    return flow.open_graph(path)


def layer(project: Project) -> str:
    return next(node.name for node in project.graph if node.op.sequence_axis is not None)


def sequence(samples: int, steps: int = STEPS) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    random = np.random.default_rng(3)
    return random.uniform(-1, 1, (samples, steps, WIDTH)).astype(np.float32)


def options(project: Project, *names: str, value: str | None = "1") -> None:
    for name in names:
        edits.node_option(project, layer(project), name, value)


@pytest.mark.parametrize("op", LAYERS, ids=lambda op: op.kind)
def test_states_become_inputs_and_outputs(op: Recurrent, tmp_path: Path) -> None:
    project = opened(op, tmp_path)
    name = layer(project)
    shown = ["OUTPUT_H_STATE", "OUTPUT_C_STATE"][: len(op.states)]
    options(project, "RNN_STATES_AS_INPUTS", *shown)
    inputs = [node.name for node in project.graph.inputs]
    assert inputs == ["input_1", *(f"{slot}_{name}" for slot in STATES[op.kind])]
    assert [n.name for n in project.graph.outputs] == ["output_1", "output_2", "output_3"][
        : 1 + len(op.states)
    ]


@pytest.mark.parametrize("engine", ["float", "int8"])
@pytest.mark.parametrize("op", LAYERS, ids=lambda op: op.kind)
def test_two_halves_with_the_state_between_them_are_the_whole(
    op: Recurrent, engine: str, tmp_path: Path
) -> None:
    whole, half = opened(op, tmp_path), opened(op, tmp_path, STEPS // 2)
    statistics = calibrate_graph(whole.graph, [[sequence(8)]])
    for project in (whole, half):
        flow.quantize(project, statistics)
    shown = ["OUTPUT_H_STATE", "OUTPUT_C_STATE"][: len(op.states)]
    options(half, "RNN_STATES_AS_INPUTS", *shown)
    x = sequence(2)
    states = [np.zeros((2, SIZE), np.float32) for _ in op.states]
    parts = []
    for piece in (x[:, : STEPS // 2], x[:, STEPS // 2 :]):
        batch = [np.ascontiguousarray(piece), *states]
        if engine == "float":
            results = FloatEngine(half.graph).run(batch)
            states = [results[n.name][:, 0] for n in half.graph.outputs[1:]]
        else:
            reference = IntegerEngine(half.graph)
            results = reference.run(batch)
            ends = [n.name for n in half.graph.outputs[1:]]
            states = [reference.record(n).dequantize(results[n])[:, 0] for n in ends]
        parts.append(results["output_1"])
    runner = FloatEngine(whole.graph) if engine == "float" else IntegerEngine(whole.graph)
    expected = runner.run([x])["output_1"]
    found = np.concatenate(parts, axis=-3)
    if engine == "int8":
        np.testing.assert_array_equal(found.reshape(expected.shape), expected)
    else:
        np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("option", ["RNN_USE_HARDACT", "RNN_SAME_INOUT_SCALE"])
def test_options_before_and_after_quantizing_give_the_same(option: str, tmp_path: Path) -> None:
    before, after = opened(Lstm(), tmp_path), opened(Lstm(), tmp_path)
    statistics = calibrate_graph(before.graph, [[sequence(8)]])
    options(before, option)
    flow.quantize(before, statistics)
    flow.quantize(after, statistics)
    plain = IntegerEngine(after.graph).run([sequence(4)])["output_1"]
    options(after, option)
    results = [IntegerEngine(p.graph).run([sequence(4)])["output_1"] for p in (before, after)]
    assert np.array_equal(*results)
    assert not np.array_equal(results[0], plain)
    options(after, option, value=None)
    assert np.array_equal(IntegerEngine(after.graph).run([sequence(4)])["output_1"], plain)


def test_options_come_back_with_the_state(tmp_path: Path) -> None:
    project = opened(Lstm(), tmp_path)
    flow.quantize(project, calibrate_graph(project.graph, [[sequence(8)]]))
    options(project, "RNN_STATES_AS_INPUTS", "LSTM_OUTPUT_C_STATE", "RNN_USE_HARDACT")
    flow.save_state(project, tmp_path / "state.json")
    again = flow.open_graph(tmp_path / "state.json")
    assert list(again.graph.nodes) == list(project.graph.nodes)
    batch = [sequence(2), *(np.zeros((2, SIZE), np.float32) for _ in range(2))]
    expected = IntegerEngine(project.graph).run(batch)
    for key, values in IntegerEngine(again.graph).run(batch).items():
        assert np.array_equal(values, expected[key])


def test_states_go_back_to_zeros(tmp_path: Path) -> None:
    project = opened(Gru(), tmp_path)
    options(project, "RNN_STATES_AS_INPUTS", "OUTPUT_H_STATE")
    options(project, "RNN_STATES_AS_INPUTS", "OUTPUT_H_STATE", value="0")
    assert [node.name for node in project.graph.inputs] == ["input_1"]
    assert [node.name for node in project.graph.outputs] == ["output_1"]
    assert FloatEngine(project.graph).run([sequence(1)])


def test_a_value_that_is_neither_on_nor_off_is_refused(tmp_path: Path) -> None:
    project = opened(Gru(), tmp_path)
    with pytest.raises(UsageError, match="takes 0 or 1, not '2'"):
        options(project, "RNN_USE_HARDACT", value="2")


@pytest.mark.parametrize("engine", ["float", "int8", "reference"])
@pytest.mark.parametrize("op", LAYERS, ids=lambda op: op.kind)
def test_a_stream_of_pieces_is_the_whole(op: Recurrent, engine: EngineName, tmp_path: Path) -> None:
    whole, piece = opened(op, tmp_path), opened(op, tmp_path, STEPS // 3)
    statistics = calibrate_graph(whole.graph, [[sequence(8)]])
    for project in (whole, piece):
        flow.quantize(project, statistics)
    x = sequence(1)
    pieces = x.reshape(3, STEPS // 3, WIDTH)
    expected = make_engine(whole.graph, engine).run([x])["output_1"]
    stream = StreamEngine(piece.graph, engine, keys=["output_1"])
    parts = [stream.run([pieces[:1]])["output_1"], stream.run([pieces[1:]])["output_1"]]
    found = np.concatenate(parts).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 if engine == "float" else 0)
    apart = make_engine(piece.graph, engine).run([pieces])["output_1"]
    assert np.abs(apart.reshape(expected.shape) - expected).max() > 1e-3


def test_what_cannot_be_a_stream_is_refused(tmp_path: Path) -> None:
    backwards = opened(Gru(reverse=True), tmp_path)
    with pytest.raises(UsageError, match="backwards"):
        StreamEngine(backwards.graph, "float", keys=["output_1"])
    project = opened(Gru(), tmp_path)
    options(project, "RNN_STATES_AS_INPUTS")
    with pytest.raises(UsageError, match="is an input of the network"):
        StreamEngine(project.graph, "float", keys=["output_1"])


def test_a_network_without_feature_maps_has_no_outlying_channels(tmp_path: Path) -> None:
    project = opened(Gru(), tmp_path)
    batch = Batch((sequence(1),), ("one",), (None,))
    assert activation_outliers(project.graph, [batch]) == []


def test_an_engine_that_cannot_says_which_runs_instead(tmp_path: Path) -> None:
    project = opened(Gru(), tmp_path)
    flow.quantize(project, calibrate_graph(project.graph, [[sequence(8)]]))
    engine = FastEngine(project.graph)
    assert engine.implementation == "reference"
    assert "step by step" in engine.fallback_reason
