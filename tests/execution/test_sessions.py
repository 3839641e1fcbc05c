"""ONNX Runtime sessions: where its optimizers fail on a model, the model runs as it is."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from nnshell.execution.sessions import RUNTIME_ERRORS, Session

INFO = helper.make_tensor_value_info
FLOAT = onnx.TensorProto.FLOAT


def between_transposes(resize: onnx.NodeProto, constant: onnx.TensorProto) -> bytes:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        resize,
        helper.make_node("Transpose", ["r"], ["y"], perm=[0, 2, 3, 1]),
    ]
    graph = helper.make_graph(
        nodes, "test", [INFO("x", FLOAT, ["N", 4, 6, 5])], [INFO("y", FLOAT, None)], [constant]
    )
    opset = [helper.make_opsetid("", 21)]
    model: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return model


@pytest.mark.parametrize("form", ["scales", "sizes"])
def test_a_model_that_optimizers_break_runs_without_them(form: str) -> None:
    """A resize with axes between transposes: one form fails when it runs, one when it opens."""
    value = np.array([2, 2], np.float32) if form == "scales" else np.array([8, 12])
    operands = ["t", "", "c"] if form == "scales" else ["t", "", "", "c"]
    resize = helper.make_node("Resize", operands, ["r"], axes=[2, 3], mode="nearest")
    session = Session(between_transposes(resize, numpy_helper.from_array(value, "c")), threads=1)
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 5)).astype(np.float32)
    for _ in range(2):
        (result,) = session.run(["y"], {"x": x})
        np.testing.assert_array_equal(result, x.repeat(2, axis=1).repeat(2, axis=2))


def test_what_is_wrong_without_optimizers_too_is_an_error() -> None:
    resize = helper.make_node("Identity", ["t"], ["r"])
    constant = numpy_helper.from_array(np.zeros(1, np.float32), "c")
    session = Session(between_transposes(resize, constant), threads=1)
    with pytest.raises(RUNTIME_ERRORS):
        session.run(["y"], {"x": np.zeros((1, 2), np.float32)})
