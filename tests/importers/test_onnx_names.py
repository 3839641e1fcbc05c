"""Names, steps and origins of imported nodes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnshell.execution.float_engine import FloatEngine
from nnshell.importers.onnx.importer import import_onnx
from nnshell.ir.basic_operators import Constant
from nnshell.ir.graph import Graph
from nnshell.ir.types import Layout
from nnshell.passes.explain import explain

from .parts import node, zeros

Save = Callable[..., Path]


def imported(save: Save, nodes: list[Any], shape: list[Any], **constants: Any) -> Graph:
    return import_onnx(save(nodes=nodes, inputs={"x": shape}, constants=constants)).graph


def names(graph: Graph) -> list[str]:
    return [step.name for step in graph.steps()]


def test_node_names_are_sanitized_and_constants_are_called_after_their_node(save: Save) -> None:
    nodes = [
        node("Conv", "x", "conv1.weight", "conv1.bias", outputs=("a",), name="/conv1/Conv"),
        node("Flatten", "a", outputs=("b",), name="/Flatten"),
        node("Gemm", "b", "fc", "fc.bias", name="/fc1/Gemm"),
    ]
    constants = {"conv1.weight": zeros(2, 1, 3, 3), "conv1.bias": zeros(2), "fc": zeros(8, 4),
                 "fc.bias": zeros(4)}  # fmt: skip
    graph = imported(save, nodes, ["N", 1, 4, 4], **constants)
    assert names(graph) == [
        "input_1",
        "_conv1_Conv_weights",
        "constant_conv1_bias",
        "_conv1_Conv",
        "_Flatten",
        "_fc1_Gemm_weights",
        "_fc1_Gemm_biases",
        "_fc1_Gemm",
        "output_1",
    ]


def test_nodes_without_a_name_are_called_after_operator_and_output(save: Save) -> None:
    nodes = [node("Relu", "x", outputs=("5",)), node("Gemm", "5", "w", outputs=("y:0",))]
    path = save(nodes=nodes, inputs={"x": ["N", 3]}, outputs=("y:0",), constants={"w": zeros(3, 2)})
    graph = import_onnx(path).graph
    assert [n.name for n in graph if n.kind in ("relu", "linear")] == ["Relu__5", "Gemm_y_0"]


def test_a_missing_bias_becomes_zeros(save: Save) -> None:
    graph = imported(save, [node("Conv", "x", "w", name="c")], ["N", 1, 4, 4], w=zeros(2, 1, 3, 3))
    bias = graph["c_biases"].op
    assert isinstance(bias, Constant)
    assert bias.value.tolist() == [0.0, 0.0]


def test_a_matmul_with_a_constant_is_linear_with_out_in_weights(save: Save) -> None:
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    graph = imported(save, [node("MatMul", "x", "w", name="mm")], ["N", 2], w=weights)
    assert graph["mm"].kind == "linear"
    np.testing.assert_array_equal(graph.constant(graph["mm"].inputs[1]), weights.T)
    assert [ref.node for ref in graph["mm"].inputs[1:]] == ["mm_weights", "mm_biases"]


def test_a_shared_initializer_becomes_a_constant_for_each_node(save: Save) -> None:
    nodes = [
        node("Conv", "x", "w", "b", outputs=("t",), name="one"),
        node("Conv", "t", "w", "b", name="two"),
    ]
    graph = imported(save, nodes, ["N", 2, 4, 4], w=zeros(2, 2, 1, 1), b=zeros(2))
    assert [ref.node for ref in graph["one"].inputs] == ["input_1", "one_weights", "constant_b"]
    assert [ref.node for ref in graph["two"].inputs] == ["one", "two_weights", "constant_b_1"]


def test_equal_names_are_told_apart(save: Save) -> None:
    nodes = [
        node("Relu", "x", outputs=("a",), name="act/1"),
        node("Tanh", "a", outputs=("b",), name="act.1"),
        node("Sigmoid", "b", name="output_1"),
    ]
    graph = imported(save, nodes, ["N", 3])
    assert names(graph) == ["input_1", "act_1", "act_1_1", "output_1_1", "output_1"]


def test_every_node_knows_its_origin(save: Save) -> None:
    nodes = [node("Clip", "x", outputs=("a",), min=0.0, name="/clip"), node("Relu", "a")]
    path = save(nodes=nodes, inputs={"x": ["N", 3]}, opset=7)
    graph = import_onnx(path).graph
    assert str(graph["_clip"].origin) == f"Clip '/clip' in {path.name}"
    assert graph["Relu_y"].origin.foreign_name == "y"
    assert graph["output_1"].origin.foreign_name == "y"
    assert graph.source is not None
    assert graph.source.path == path
    assert len(graph.source.sha256) == 64
    assert graph.name == path.stem


def test_an_input_that_is_transposed_to_chw_is_hwc(save: Save) -> None:
    graph = imported(save, [node("Transpose", "x", perm=[0, 3, 1, 2])], ["N", 5, 6, 3])
    assert graph["input_1"].type.layout is Layout.HWC
    assert graph["output_1"].type.layout is Layout.CHW


def test_batch_normalization_is_folded_in_float32_in_the_order_of_nntool(save: Save) -> None:
    random = np.random.default_rng(1)
    w, b, scale, shift, mean = (
        random.normal(size=shape).astype(np.float32) for shape in ((3, 2, 1, 1), 3, 3, 3, 3)
    )
    variance = random.uniform(0.1, 2, 3).astype(np.float32)
    nodes = [
        node("Conv", "x", "w", "b", outputs=("t",), name="conv"),
        node("BatchNormalization", "t", "s", "h", "m", "v", epsilon=1e-3, name="bn"),
    ]
    constants = {"w": w, "b": b, "s": scale, "h": shift, "m": mean, "v": variance}
    path = save(nodes=nodes, inputs={"x": ["N", 2, 4, 4]}, constants=constants)
    graph = import_onnx(path).graph
    assert "bn" not in graph
    deviation = np.sqrt(variance + np.float32(1e-3))
    new_weights = w * (scale / deviation).reshape(3, 1, 1, 1)
    new_bias = ((b - mean) * scale) / deviation + shift
    np.testing.assert_array_equal(graph.constant(graph["conv"].inputs[1]), new_weights)
    np.testing.assert_array_equal(graph.constant(graph["conv"].inputs[2]), new_bias)
    unfolded = import_onnx(path, fold_batchnorm=False).graph
    assert unfolded["bn"].kind == "batch_norm"
    np.testing.assert_array_equal(unfolded.constant(unfolded["conv"].inputs[1]), w)


@pytest.mark.parametrize("name", ["lenet", "mbv2mini"])
def test_names_and_shapes_are_those_of_nntool(name: str, test_data: Path) -> None:
    """Every node inside or outside the fusions of the reference, but for those passes remove."""
    folder = test_data / "vectors" / name
    graph = import_onnx(folder / "model.onnx").graph
    reference = json.loads((folder / "topology.json").read_text())
    expected = {
        entry["name"]: entry
        for entry in reference
        if not entry["op"].startswith(("fusion_", "conv_fusion", "linear_fusion"))
    }
    extra = {node.name for node in graph if node.kind == "reshape"}
    assert set(graph.nodes) - extra == set(expected)
    for key, entry in expected.items():
        node = graph[key]
        text = node.op.describe(graph.input_types(node), node.outputs)
        assert (node.kind, text) == (entry["op"], entry["desc"].strip())
    order = [step.name for step in graph.steps() if step.name not in extra]
    outside = [entry["name"] for entry in reference if entry["fusion"] is None]
    assert [n for n in order if n in set(outside)] == [n for n in outside if n in expected]


def test_what_reading_the_model_absorbed_can_be_explained(save: Save) -> None:
    nodes = [
        node("Pad", "x", "p", outputs=("a",), name="border"),
        node("Conv", "a", "w", outputs=("c",), name="conv"),
        node("BatchNormalization", "c", "one", "one", "one", "one", name="norm"),
    ]
    ones = {"w": np.ones((2, 1, 3, 3), np.float32), "one": np.ones(2, np.float32)}
    border = {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)}
    imported = import_onnx(save(nodes=nodes, inputs={"x": ["N", 1, 4, 4]}, constants=ones | border))
    graph, notes = imported.graph, imported.notes
    lines = [line.note.text for line in explain(graph, "conv", imported=notes)]
    assert lines[:2] == [
        "reading the model, border became padding of conv",
        "reading the model, norm was folded into the weights and biases of conv",
    ]
    assert [line.note.text for line in explain(graph, "norm", imported=notes)] == [
        lines[1],
        "norm is no longer in the graph",
    ]


def test_a_file_name_of_any_bytes_gives_a_graph_with_a_printable_name(save: Save) -> None:
    path = save(nodes=[node("Relu", "x")], inputs={"x": ["N", 3]})
    odd = path.rename(path.with_name("net_\udcff.onnx"))
    graph = import_onnx(odd).graph
    assert graph.name == "net_?"
    assert list(FloatEngine(graph, threads=1).run([np.ones((1, 3))])) == ["output_1"]
