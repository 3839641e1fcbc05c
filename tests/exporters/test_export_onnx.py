"""Graphs as ONNX models: which tensors have which names, and that the file is what the graph is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import nnshell.ops  # noqa: F401 - fills the registry
from nnshell.execution.float_engine import FloatEngine
from nnshell.exporters.onnx import (
    OPSET,
    Port,
    export_bytes,
    export_onnx,
    foreign_to_model,
)
from nnshell.importers.onnx.importer import import_onnx
from nnshell.ir.examples import graph_of, random_inputs
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.operator import OPERATORS, Example
from nnshell.ir.text import parse_graph
from nnshell.ir.types import TensorType
from nnshell.support.errors import GraphError

FUSED = """\
graph fused
%input_1 = input : 3x8x8 chw
%weights = constant : 4x3x3x3 = normal(1)
%biases = constant : 4 = [0.5, 0.0, -1.0, 2.0]
%conv_fusion = fusion(%input_1, %weights, %biases) (
  %in_0 = fusion_input : 3x8x8 chw
  %in_1 = fusion_input {index=1} : 4x3x3x3
  %in_2 = fusion_input {index=2} : 4
  %conv = conv2d(%in_0, %in_1, %in_2) {window=Window(kernel=(3, 3))}
  %relu = relu(%conv)
  %out_0 = fusion_output(%relu)
)
%parts = split(%conv_fusion) {sizes=(1, 3)}
%relu = relu6(%parts[1])
%output_1 = output(%relu)
%output_2 = output(%parts) {index=1}
"""


def output_names(model: onnx.ModelProto) -> list[str]:
    return [output.name for output in model.graph.output]


def test_graph_outputs_are_exported_with_their_names_and_an_open_batch_axis() -> None:
    model = export_onnx(parse_graph(FUSED))
    onnx.checker.check_model(model, full_check=True)
    assert [given.name for given in model.graph.input] == ["input_1"]
    assert output_names(model) == ["output_1", "output_2"]
    dims = model.graph.output[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["N", 3, 6, 6]
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
    assert OPSET <= 21
    assert model.ir_version == 10


def test_any_tensor_can_be_exposed_by_its_key() -> None:
    graph = parse_graph(FUSED)
    keys = ["conv_fusion/conv", "conv_fusion/relu", "conv_fusion", "parts", "parts[1]", "relu"]
    model = export_onnx(graph, keys)
    onnx.checker.check_model(model, full_check=True)
    assert output_names(model) == keys
    found = FloatEngine(graph, keys, threads=1).run(random_inputs(graph, 2))
    np.testing.assert_array_equal(found["conv_fusion/relu"], found["conv_fusion"])
    np.testing.assert_array_equal(np.maximum(found["conv_fusion/conv"], 0), found["conv_fusion"])
    np.testing.assert_array_equal(found["conv_fusion"][:, 1:], found["parts[1]"])


def test_every_activation_has_a_key() -> None:
    graph = parse_graph(FUSED)
    keys = ["input_1", "conv_fusion", "conv_fusion/conv", "parts[1]", "output_2", "output_1"]
    batch = random_inputs(graph, 2)
    found = FloatEngine(graph, keys, threads=1).run(batch)
    assert set(found) == set(keys)
    np.testing.assert_array_equal(found["input_1"], batch[0])


def test_constants_can_be_exposed_without_batch_axis() -> None:
    graph = parse_graph(FUSED)
    found = FloatEngine(graph, ["biases"], threads=1).run(random_inputs(graph, 2))
    assert found["biases"].tolist() == [0.5, 0.0, -1.0, 2.0]


def test_nodes_that_lead_to_no_wanted_tensor_are_left_out() -> None:
    model = export_onnx(parse_graph(FUSED), ["conv_fusion/conv"])
    assert [node.op_type for node in model.graph.node] == ["Conv"]
    assert model.graph.node[0].name == "conv_fusion/conv"


def test_a_key_that_does_not_exist_is_named() -> None:
    with pytest.raises(GraphError, match="no tensor is called 'conv'"):
        export_onnx(parse_graph(FUSED), ["conv"])


def test_weights_are_float32() -> None:
    text = "%x = input : 3\n%c = constant : 3 float64 = [1, 2, 3]\n%y = add(%x, %c)\n"
    model = export_onnx(parse_graph(text + "%o = output(%y)"))
    assert [tensor.data_type for tensor in model.graph.initializer] == [onnx.TensorProto.FLOAT]


ROUND_TRIPS = [
    pytest.param(example, id=f"{kind} {number} {example.name}".strip())
    for kind, operator in OPERATORS.items()
    for number, example in enumerate(operator.examples())
    if kind != "image_format"  # its pixels are integers
]


@pytest.mark.parametrize("example", ROUND_TRIPS)
def test_an_exported_graph_can_be_imported_again(example: Example, tmp_path: Path) -> None:
    graph = graph_of(example)
    path = tmp_path / "exported.onnx"
    path.write_bytes(export_bytes(graph))
    batch = random_inputs(graph, 1)
    expected = FloatEngine(graph, threads=1).run(batch)
    found = FloatEngine(import_onnx(path).graph, threads=1).run(batch)
    for name, values in expected.items():
        np.testing.assert_allclose(
            found[name].reshape(values.shape), values, rtol=1e-5, atol=1e-5, err_msg=name
        )


def test_foreign_nodes_become_a_model_that_runs() -> None:
    build = ForeignGraph()
    doubled = build.node("Mul", ["x", build.constant(np.float64(2.0), "two")])
    build.node("Neg", ["x"], output="unused")
    build.node("Floor", [doubled], output="y")
    kind = TensorType((3,), dtype="float64")
    model = foreign_to_model(build, [Port("x", kind)], [Port("y", kind)])
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (result,) = session.run(None, {"x": np.array([[0.3, 0.5, -0.6]])})
    assert result.tolist() == [[0.0, 1.0, -2.0]]
    assert len(model.graph.node) == 2
