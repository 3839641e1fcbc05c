"""Running nnshell inside the test process."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from nnshell.cli import main


@dataclass(frozen=True)
class Outcome:
    """What a run printed and its exit status."""

    status: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line with these arguments; ``stdin`` is piped in, None is a closed one."""

    def _run(*arguments: str, stdin: str | None = "") -> Outcome:
        monkeypatch.setattr("sys.stdin", None if stdin is None else io.StringIO(stdin))
        capfd.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        captured = capfd.readouterr()
        return Outcome(status, captured.out, captured.err)

    return _run


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with net.onnx (1x8x8 images, 3 classes) and images img/image_N_LABEL.png."""
    folder = tmp_path_factory.mktemp("project")
    onnx.save(_small_model(), folder / "net.onnx")
    (folder / "img").mkdir()
    generator = np.random.default_rng(1)
    for number in range(12):
        pixels = generator.integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(folder / "img" / f"image_{number}_{number % 3}.png")
    return folder


def _small_model() -> onnx.ModelProto:
    generator = np.random.default_rng(0)

    def constant(name: str, *shape: int) -> onnx.TensorProto:
        values = generator.normal(0, 0.4, shape).astype(np.float32)
        return numpy_helper.from_array(values, name)

    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu1"),
        helper.make_node("MaxPool", ["r"], ["p"], "pool1", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w2", "b2"], ["y"], "fc", transB=1),
    ]
    weights = [constant("w1", 4, 1, 3, 3), constant("b1", 4), constant("w2", 3, 64)]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 3])],
        [*weights, constant("b2", 3)],
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 13)])
