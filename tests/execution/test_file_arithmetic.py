"""A quantized file's own arithmetic beside ours."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import onnx
import pytest

from nnshell import flow
from nnshell.execution.file_process import FileProcess
from nnshell.execution.file_runners import OUTPUT
from nnshell.session.project import Project
from nnshell.support.errors import GraphError, NNShellError
from tests.importers.conftest import runtime
from tests.importers.test_quantized_onnx import FORMS, IMAGES, model
from tests.importers.test_quantized_tflite import network


def lowered(path: Path) -> Project:
    project = flow.open_graph(path, load_quantization=True)
    flow.adjust(project)
    flow.fuse(project, "scale8")
    return project


@pytest.mark.parametrize(
    ("form", "reason"), [("pairs", "0.12, zero point 0 in the file"), ("operators", "multipliers")]
)
def test_layers_of_onnx_files_are_those_of_onnx_runtime(
    form: str, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(model(FORMS[form]).SerializeToString())
    project = lowered(path)
    compared = flow.compare_file(project, flow.load_inputs(IMAGES))
    assert compared.samples == len(IMAGES)
    names = [row.name.rpartition("/")[2] for row in compared.rows]
    assert names[0] == "input_1" and len(names) == 3
    assert compared.rows[0].equal and compared.rows[0].largest_step == 0
    assert [round(row.largest_step) <= 1 for row in compared.rows] == [True] * 3
    theirs = runtime(path).run(None, {"x": IMAGES})[0]
    found = flow.run(project, flow.load_inputs(IMAGES), "int8")["output_1"]
    steps = float(np.abs(np.rint(theirs / 0.3) - found).max())
    assert compared.rows[-1].largest_step == pytest.approx(steps, abs=1e-3)
    same = float((theirs.argmax(1) == found.argmax(1)).mean())
    assert compared.predictions_equal == pytest.approx(same)
    assert compared.first is not None and reason in compared.first.reason


def test_layers_of_tflite_files_are_those_of_litert(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    project = lowered(network().save(tmp_path / "net.tflite"))
    compared = flow.compare_file(project, samples=4)
    assert compared.samples == 4
    assert compared.first is not None and compared.first.name == "input_1"
    assert "zero point -3 in the file" in compared.first.reason
    assert all(row.qsnr_db > 20 for row in compared.rows)
    assert {"rows", "totals", "predictions_equal"} <= compared.to_json().keys()


def test_channels_are_compared_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Before and after `adjust` the same integers are compared."""
    pytest.importorskip("ai_edge_litert")
    path = network().save(tmp_path / "net.tflite")
    before = flow.compare_file(flow.open_graph(path, load_quantization=True))
    after = flow.compare_file(lowered(path))
    assert before.rows[0].equal == after.rows[0].equal
    for one, other in zip(before.rows[:2], after.rows[:2], strict=True):
        assert one.qsnr_db > 20 and abs(one.qsnr_db - other.qsnr_db) < 6


def test_what_has_no_quantization_of_its_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="does not use a quantization"):
        flow.compare_file(flow.open_graph("sample:lenet"))


def test_a_file_that_the_runtime_refuses_is_one_line() -> None:
    with pytest.raises(NNShellError, match="ONNX Runtime does not run the file") as caught:
        FileProcess("onnxruntime", b"no model", [])
    assert "\n" not in str(caught.value)


def test_a_file_that_ends_the_runtime_is_an_error(tmp_path: Path) -> None:
    data = model(FORMS["pairs"]).SerializeToString()
    with FileProcess("onnxruntime", data, []) as process:
        assert process([IMAGES[0]])[OUTPUT].shape[0] == 1
        os.kill(process._process.pid, signal.SIGKILL)
        with pytest.raises(NNShellError, match="ONNX Runtime ends with SIGKILL over the file"):
            process([IMAGES[0]])


def test_a_graph_that_ends_earlier_is_compared_at_its_end(tmp_path: Path) -> None:
    proto = model(FORMS["pairs"])
    last = proto.graph.output[0].name
    proto.graph.node.append(onnx.helper.make_node("Flatten", [last], ["flat"]))
    proto.graph.node.append(onnx.helper.make_node("ArgMax", ["flat"], ["best"], axis=1))
    proto.graph.output[0].CopyFrom(
        onnx.helper.make_tensor_value_info("best", onnx.TensorProto.INT64, None)
    )
    path = tmp_path / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    compared = flow.compare_file(lowered(path), flow.load_inputs(IMAGES))
    assert compared.predictions_equal > 0.5
