"""Inputs that are zeros unless they are given: the noise of a variational autoencoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nnshell import flow
from nnshell.session.samples import batches_of
from nnshell.support.errors import InputError, ModelError


def autoencoder(path: Path, **attributes: float) -> Path:
    """x (6), y = W (x + noise), and what is drawn is as large as x."""
    weights = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["eps"], name="eps", **attributes),
        helper.make_node("Add", ["x", "eps"], ["z"], name="z"),
        helper.make_node("Gemm", ["z", "w"], ["y"], name="gemm", transB=1),
    ]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", k]) for n, k in
             (("x", 6), ("y", 4))]  # fmt: skip
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [
        numpy_helper.from_array(weights, "w")])  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def test_noise_is_zero_unless_it_is_given(tmp_path: Path) -> None:
    project = flow.open_graph(autoencoder(tmp_path / "a.onnx"))
    assert [node.op.optional for node in project.inputs] == [False, True]  # type: ignore[attr-defined]
    x = np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)
    noise = np.ones((5, 6), np.float32)
    alone = flow.run(project, x)["output_1"]
    np.testing.assert_array_equal(flow.run(project, [x, np.zeros_like(x)])["output_1"], alone)
    np.testing.assert_allclose(
        flow.run(project, [x, noise])["output_1"], flow.run(project, x + 1)["output_1"], atol=1e-5
    )


def test_files_of_the_others_are_enough_and_norms_leave_the_zeros_alone(tmp_path: Path) -> None:
    project = flow.open_graph(autoencoder(tmp_path / "a.onnx"))
    x = np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    images = flow.load_inputs(str(tmp_path / "x.npy"), norm="x: x/2+1")
    (batch,) = batches_of(project, images)
    np.testing.assert_allclose(batch.arrays[0], x / 2 + 1, rtol=1e-6)
    assert not batch.arrays[1].any() and batch.arrays[1].shape == (5, 6)
    np.save(tmp_path / "e.npy", x)
    named = flow.load_inputs([f"input_1={tmp_path}/x.npy", f"eps={tmp_path}/e.npy"])
    (batch,) = batches_of(project, named)
    np.testing.assert_array_equal(batch.arrays[1], x)
    with pytest.raises(InputError, match="without files"):
        list(batches_of(project, flow.load_inputs(f"eps={tmp_path}/e.npy")))


def test_it_is_quantized_and_saved_as_any_other_graph(tmp_path: Path) -> None:
    project = flow.open_graph(autoencoder(tmp_path / "a.onnx"))
    x = np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32)
    flow.quantize(project, flow.calibrate(project, x))
    again = flow.open_graph(flow.save_state(project, tmp_path / "s.json"))
    first, second = (flow.run(p, x, engine="int8")["output_1"] for p in (project, again))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("name", "value"), [("mean", 1.0), ("scale", 0.5)])
def test_other_noise_is_refused(tmp_path: Path, name: str, value: float) -> None:
    with pytest.raises(ModelError, match=f"{name} = "):
        flow.open_graph(autoencoder(tmp_path / "a.onnx", **{name: value}))
