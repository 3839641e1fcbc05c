"""The committed LeNet: the graph that users export, and good at what it was trained for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

SAMPLES = Path(__file__).parents[2] / "sample_images"
MODEL = SAMPLES / "lenet.onnx"


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return onnx.load(MODEL)


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def labelled() -> tuple[np.ndarray, np.ndarray]:
    """The test images, (200, 32, 32, 3) bytes, and their labels."""
    paths = sorted((SAMPLES / "test").glob("*.png"))
    images = np.stack([np.asarray(Image.open(path)) for path in paths])
    return images, np.array([int(path.stem.split("_")[-1]) for path in paths])


def as_trained(x: np.ndarray) -> np.ndarray:
    return x / 128 - 1


def accuracy(session, images: np.ndarray, labels: np.ndarray, norm) -> float:
    """Of predictions for (count, 32, 32, 3) bytes, transposed to CHW and normalised by ``norm``."""
    inputs = norm(images.transpose(0, 3, 1, 2).astype(np.float32)).astype(np.float32)
    predictions = [session.run(None, {"input": each[None]})[0].argmax() for each in inputs]
    return float(np.mean(predictions == labels))


def test_operators_stand_in_the_order_of_the_exporter(model):
    operators = [node.op_type for node in model.graph.node]
    convolutional = ["Conv", "Relu", "MaxPool"] * 2
    assert operators == [*convolutional, "Flatten", "Gemm", "Relu", "Gemm", "Relu", "Gemm"]


def test_file_is_plain_onnx_for_one_image(model):
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import] == [13]
    assert model.ir_version <= 10
    assert len(model.graph.input) == len(model.graph.output) == 1
    shapes = [
        [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    ]
    assert shapes == [[1, 3, 32, 32], [1, 10]]


def test_weights_are_embedded_and_fit_eight_bits(model):
    weights = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    assert sum(array.size for array in weights.values()) == 62_006
    for name, array in weights.items():
        peak = np.abs(array).max()
        assert 0.01 < peak < 2.0, name
        assert array.std() > peak / 20, f"{name}: a few large values would waste the 8 bits"


def test_model_is_right_on_nine_of_ten_test_images(session, labelled):
    assert accuracy(session, *labelled, as_trained) >= 0.90


def test_model_is_right_on_nine_of_ten_new_images(session, drawing):
    images, labels = zip(*drawing.draw_set(300, seed=77), strict=True)
    assert accuracy(session, np.stack(images), np.array(labels), as_trained) >= 0.90


def test_forgotten_normalisation_shows(session, labelled):
    right = accuracy(session, *labelled, as_trained)
    assert accuracy(session, *labelled, lambda x: x / 255) < right - 0.1
    assert accuracy(session, *labelled, lambda x: x) < right - 0.05


def test_swapped_colour_channels_show(session, labelled):
    images, labels = labelled
    right = accuracy(session, images, labels, as_trained)
    assert accuracy(session, images[..., ::-1], labels, as_trained) < right - 0.1
