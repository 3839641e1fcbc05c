"""Recurrent layers in all forms that ONNX has, against ONNX Runtime on the same file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from nnshell.execution.float_engine import FloatEngine
from nnshell.importers.onnx.importer import import_onnx
from nnshell.ir.graph import Graph
from nnshell.support.errors import ModelError

from .parts import Parts, ints, node, numbers

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
STEPS, WIDTH, SIZE = 6, 5, 4
OPERATORS = list(GATES)
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}


def layer(
    op: str,
    direction: str = "forward",
    *,
    outputs: tuple[str, ...] = ("y",),
    inputs: tuple[str, ...] = ("b", "", "h"),
    x: list[Any] | None = None,
    lengths: int = 0,
    opset: int = 21,
    steps: int = STEPS,
    batch: int = 1,
    **attributes: Any,
) -> Parts:
    """A model of one layer whose input is (batch, steps, width), or ``x``."""
    count, rows = DIRECTIONS[direction], GATES[op] * SIZE
    constants = {
        "w": numbers(count, rows, WIDTH, seed=1),
        "r": numbers(count, rows, SIZE, seed=2),
        "b": numbers(count, 2 * rows, seed=3),
        "h": numbers(count, batch, SIZE, seed=4) / 3,
        "c": numbers(count, batch, SIZE, seed=5),
        "n": np.full(batch, lengths, np.int32),
    }
    constants["h"][:] = constants["h"][:, :1]
    constants["c"][:] = constants["c"][:, :1]
    given = [*inputs, "c"] if op == "LSTM" and "h" in inputs else list(inputs)
    used = {name: constants[name] for name in ("w", "r", *given) if name}
    if direction != "forward":
        attributes["direction"] = direction
    nodes = [node(op, "t", "w", "r", *given, outputs=outputs, hidden_size=SIZE, **attributes)]
    if x is None:
        nodes.insert(0, node("Transpose", "x", outputs=("t",), perm=[1, 0, 2]))
    names = [name for name in outputs if name]
    entry = {"t": x} if x is not None else {"x": ["N" if batch == 1 else batch, steps, WIDTH]}
    return {
        "nodes": nodes,
        "inputs": entry,
        "outputs": names,
        "constants": used,
        "opset": opset,
    }


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize(
    "outputs", [("y",), ("y", "yh"), ("", "yh"), ("y", "")], ids=["Y", "Y and Y_h", "Y_h", "Y, ''"]
)
def test_outputs_of_all_directions(
    compare: Callable[..., Graph], op: str, direction: str, outputs: tuple[str, ...]
) -> None:
    compare(samples=1, **layer(op, direction, outputs=outputs))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    "outputs", [("y", "", "yc"), ("", "yh", "yc"), ("y", "yh", "yc"), ("", "", "yc")]
)
def test_cells_of_an_lstm(
    compare: Callable[..., Graph], direction: str, outputs: tuple[str, ...]
) -> None:
    compare(samples=1, **layer("LSTM", direction, outputs=outputs))


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("opset", [7, 9, 11, 13, 14, 17, 22])
def test_opsets(compare: Callable[..., Graph], op: str, opset: int) -> None:
    compare(samples=1, **layer(op, "bidirectional", outputs=("y", "yh"), opset=opset))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_gru_that_resets_before_or_after_its_product(
    compare: Callable[..., Graph], direction: str
) -> None:
    for form in (0, 1):
        compare(samples=1, **layer("GRU", direction, linear_before_reset=form))


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("inputs", [(), ("b",), ("", "", "h"), ("b", "", "")])
def test_inputs_that_are_left_out(
    compare: Callable[..., Graph], op: str, inputs: tuple[str, ...]
) -> None:
    compare(samples=1, **layer(op, inputs=inputs))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("outputs", [("y", "yh"), ("", "yh")])
def test_sequences_that_end_early(
    compare: Callable[..., Graph], op: str, direction: str, outputs: tuple[str, ...]
) -> None:
    for lengths in (1, 4, STEPS):
        parts = layer(
            op, direction, outputs=outputs, inputs=("b", "n", "h"), lengths=lengths, batch=1
        )
        parts["inputs"] = {"x": [1, STEPS, WIDTH]}
        compare(samples=1, **parts)


@pytest.mark.parametrize("op", OPERATORS)
def test_time_comes_first_in_the_file(compare: Callable[..., Graph], op: str) -> None:
    graph = compare(samples=1, **layer(op, "bidirectional", x=[STEPS, 1, WIDTH]))
    assert graph.inputs[0].type.shape == (STEPS, 1, WIDTH)


@pytest.mark.parametrize("op", OPERATORS)
def test_batches(compare: Callable[..., Graph], op: str) -> None:
    parts = layer(op, "bidirectional", outputs=("z", "zh"), batch=3)
    parts["nodes"].append(node("Transpose", "z", outputs=("y",), perm=[2, 0, 1, 3]))
    parts["nodes"].append(node("Transpose", "zh", outputs=("yh",), perm=[1, 0, 2]))
    compare(samples=3, **{**parts, "outputs": ["y", "yh"]})


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("op", OPERATORS)
def test_states_that_are_inputs(compare: Callable[..., Graph], op: str, direction: str) -> None:
    parts = layer(op, direction, outputs=("y", "yh"))
    for name in ("h", "c"):
        if name in parts["constants"]:
            parts["inputs"][name] = list(parts["constants"].pop(name).shape)
    parts["inputs"]["x"] = [1, STEPS, WIDTH]
    compare(samples=1, **parts)


@pytest.mark.parametrize("op", OPERATORS)
def test_batch_first_is_time_first_with_other_axes(
    save: Callable[..., Path], compare: Callable[..., Graph], op: str
) -> None:
    """ONNX Runtime does not run layout 1: the same layer with time first says what is right."""
    outputs = ("y", "yh", "yc")[: 3 if op == "LSTM" else 2]
    parts = layer(op, "bidirectional", outputs=outputs)
    first = compare(samples=1, **parts)
    parts["nodes"][0] = node("Identity", "x", outputs=("t",))
    parts["nodes"][1].attribute.append(onnx.helper.make_attribute("layout", 1))
    for name in {"h", "c"} & set(parts["constants"]):
        parts["constants"][name] = parts["constants"][name].transpose(1, 0, 2)
    second = import_onnx(save(**parts)).graph
    batch = [numbers(2, STEPS, WIDTH)]
    expected, found = (FloatEngine(graph, threads=1).run(batch) for graph in (first, second))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-5)
    assert [n.type.shape for n in first.outputs] == [n.type.shape for n in second.outputs]


LAST = {
    "gather -1": [node("Gather", "y3", "minus", outputs=("last",), axis=0)],
    "gather": [node("Gather", "y3", "place", outputs=("last",), axis=0)],
    "slice": [
        node("Slice", "y3", "minus1", "end", "axis", outputs=("cut",)),
        node("Squeeze", "cut", "axis", outputs=("last",)),
    ],
}


@pytest.mark.parametrize("form", LAST)
@pytest.mark.parametrize("op", OPERATORS)
def test_the_last_step_is_the_last(compare: Callable[..., Graph], op: str, form: str) -> None:
    parts = layer(op, outputs=("y4",))
    parts["nodes"].append(node("Squeeze", "y4", "one", outputs=("y3",)))
    parts["nodes"] += LAST[form]
    parts["nodes"].append(node("Gemm", "last", "weights", outputs=("y",)))
    parts["constants"] |= {
        "one": ints(1),
        "axis": ints(0),
        "minus": np.array(-1),
        "minus1": ints(-1),
        "end": ints(1 << 62),
        "place": np.array(STEPS - 1),
        "weights": numbers(SIZE, 3),
    }
    compare(samples=1, **{**parts, "outputs": ["y"]})


@pytest.mark.parametrize(
    ("op", "attributes", "reason"),
    [
        ("RNN", {"activations": ["Relu"]}, "activations = Relu"),
        ("GRU", {"activations": ["HardSigmoid", "Tanh"]}, "activations = HardSigmoid, Tanh"),
        ("GRU", {"clip": 3.0}, "clip = 3.0"),
        ("LSTM", {"clip": 3.0}, "clip = 3.0"),
        ("LSTM", {"input_forget": 1}, "input_forget = 1"),
        ("LSTM", {"activations": ["Sigmoid", "Tanh", "Relu"]}, "activations = Sigmoid, Tanh, Relu"),
    ],
)
def test_what_no_kernel_computes_is_refused(
    save: Callable[..., Path], op: str, attributes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ModelError, match=reason):
        import_onnx(save(**layer(op, **attributes)))


def test_peepholes_are_refused(save: Callable[..., Path]) -> None:
    parts = layer("LSTM")
    parts["nodes"][1].input.append("p")
    parts["constants"]["p"] = numbers(1, 3 * SIZE)
    with pytest.raises(ModelError, match="peepholes"):
        import_onnx(save(**parts))


def test_lengths_that_differ_are_refused(save: Callable[..., Path]) -> None:
    parts = layer("GRU", inputs=("b", "n", "h"), batch=2)
    parts["constants"]["n"] = np.array([3, 5], np.int32)
    with pytest.raises(ModelError, match="sequence_lens"):
        import_onnx(save(**parts))


def test_an_open_number_of_steps_is_refused(save: Callable[..., Path]) -> None:
    path = save(**layer("GRU", x=["T", 1, WIDTH]))
    with pytest.raises(ModelError, match="left open"):
        import_onnx(path)
    assert import_onnx(path, input_shapes={"t": [7, 1, WIDTH]}).graph.inputs


def test_names_are_those_of_nntool(save: Callable[..., Path]) -> None:
    parts = layer("GRU", "bidirectional")
    parts["nodes"][1].name = "/r/GRU"
    graph = import_onnx(save(**parts)).graph
    names = ["_r_GRU", "_r_GRU_rev", "_r_GRU_bidir", "_r_GRU_trans"]
    assert [name for name in names if name in graph] == names
    assert "_r_GRU_w_2_z_w" in graph and "_r_GRU_rev_h_state" in graph
