"""ONNX models with channels last, as tf2onnx writes them by default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from nnshell import flow
from nnshell.session import edits
from nnshell.session.project import Project

FORMATS = {1: "bw8", 3: "rgb888"}


def _model(height: int, width: int, channels: int) -> onnx.ModelProto:
    """A transpose (of one channel: a reshape), a convolution, and back before the last layer."""
    random = np.random.default_rng(channels)
    constants: list[onnx.TensorProto] = []

    def constant(name: str, value: NDArray[Any]) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    def normal(*shape: int) -> NDArray[np.float32]:
        return random.normal(size=shape).astype(np.float32)

    planes = constant("planes", np.array([-1, channels, height, width]))
    vector = constant("vector", np.array([-1, height * width * 4]))
    first = (
        helper.make_node("Reshape", ["x", planes], ["first"], "to_planes")
        if channels == 1
        else helper.make_node("Transpose", ["x"], ["first"], "to_planes", perm=[0, 3, 1, 2])
    )
    weights = [constant("w", normal(4, channels, 3, 3)), constant("b", normal(4))]
    nodes = [
        first,
        helper.make_node("Conv", ["first", *weights], ["y"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["y"], ["z"], "relu"),
        helper.make_node("Transpose", ["z"], ["last"], "to_pixels", perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["last", vector], ["flat"], "flatten"),
        helper.make_node(
            "MatMul", ["flat", constant("m", normal(height * width * 4, 5))], ["out"], "dense"
        ),
    ]
    kind = onnx.TensorProto.FLOAT
    ends = [
        [helper.make_tensor_value_info("x", kind, ["N", height, width, channels])],
        [helper.make_tensor_value_info("out", kind, ["N", 5])],
    ]
    graph = helper.make_graph(nodes, "last", *ends, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def _opened(folder: Path, *shape: int) -> tuple[Project, Path]:
    path = folder / "last.onnx"
    path.write_bytes(_model(*shape).SerializeToString())
    return flow.open_graph(path), path


@pytest.mark.parametrize("channels", [1, 3])
def test_adjust_moves_the_input_and_leaves_no_transpose(channels: int, tmp_path: Path) -> None:
    project, _ = _opened(tmp_path, 6, 8, channels)
    assert project.inputs[0].type.shape == (6, 8, channels)
    flow.adjust(project)
    assert project.inputs[0].type.shape == (channels, 6, 8)
    assert not {"transpose", "reshape"} & {node.kind for node in project}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("adjusted", [True, False])
def test_an_image_format_fits(channels: int, adjusted: bool, tmp_path: Path) -> None:
    project, _ = _opened(tmp_path, 6, 8, channels)
    if adjusted:
        flow.adjust(project)
    edits.image_format(project, "input_1", FORMATS[channels], "offset_int8")
    flow.adjust(project)
    flow.fuse(project, "scale8")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 8, channels), np.uint8)
    images = flow.load_inputs(pixels)
    flow.quantize(project, flow.calibrate(project, images))
    assert flow.run(project, images, "int8")["output_1"].shape == (2, 5)
    assert not {"transpose", "reshape"} & {node.kind for node in project}


@pytest.mark.parametrize("shape", [(6, 8, 3), (6, 8, 1), (5, 5, 5)])
def test_arrays_made_for_the_file_fit_before_and_after(
    shape: tuple[int, int, int], tmp_path: Path
) -> None:
    """Even where the shape does not say which axis is which."""
    project, path = _opened(tmp_path, *shape)
    samples = np.random.default_rng(1).normal(size=(3, *shape)).astype(np.float32)
    (wanted,) = onnxruntime.InferenceSession(str(path)).run(None, {"x": samples})
    project.settings.check_passes = True
    for _ in range(2):
        found = flow.run(project, flow.load_inputs(samples))["output_1"]
        assert np.allclose(found, wanted, rtol=1e-4, atol=1e-4)
        flow.adjust(project)
