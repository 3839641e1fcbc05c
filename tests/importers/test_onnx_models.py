"""Real models, and models that were damaged on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnshell.execution.float_engine import FloatEngine
from nnshell.importers.onnx.importer import import_onnx
from nnshell.support.errors import NNShellError

MODELS = [
    "lab4/model_lab4.onnx",
    "lenet_cifar10_jnulzl.onnx",
    "lenet_mnist_ccoltong.onnx",
    "mobilenet_v2_128_0.5.onnx",
    "pulp_dronet_v2.onnx",
    "resnet20_cifar10.onnx",
    "resnet20_cifar10_convshortcut.onnx",
    "ultraface_rfb_320.onnx",
]


@pytest.mark.parametrize("name", MODELS)
def test_real_models_compute_what_the_file_says(name: str, test_data: Path) -> None:
    path = test_data / "models" / name
    graph = import_onnx(path).graph
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0]
    samples = feed.shape[0] if isinstance(feed.shape[0], int) else 2
    random = np.random.default_rng(0)
    array = random.normal(size=(samples, *feed.shape[1:])).astype(np.float32)
    expected = session.run(None, {feed.name: array})
    found = FloatEngine(graph).run([array])
    for wanted, values in zip(expected, found.values(), strict=True):
        assert values.shape == wanted.shape
        np.testing.assert_allclose(values, wanted, rtol=1e-4, atol=1e-4)


def typical_model() -> bytes:
    """A convolution, a normalization, a pool and shape arithmetic: many kinds of fields."""
    node = onnx.helper.make_node
    info = onnx.helper.make_tensor_value_info
    random = np.random.default_rng(0)
    constants = {
        "w": random.normal(size=(2, 3, 3, 3)),
        **{name: random.uniform(0.5, 1, 2) for name in ("scale", "shift", "mean", "var")},
        "fc": random.normal(size=(8, 4)),
        "low": np.array(0.0),
    }
    nodes = [
        node("Conv", ["x", "w"], ["a"], name="conv", pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["a", "scale", "shift", "mean", "var"], ["b"]),
        node("Clip", ["b", "low"], ["c"], name="relu"),
        node("MaxPool", ["c"], ["d"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Shape", ["d"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Concat", ["n", "rest"], ["t"], axis=0),
        node("Reshape", ["d", "t"], ["e"]),
        node("Gemm", ["e", "fc"], ["y"]),
    ]
    tensors = [onnx.numpy_helper.from_array(v.astype(np.float32), k) for k, v in constants.items()]
    tensors.append(onnx.numpy_helper.from_array(np.array([0]), "zero"))
    tensors.append(onnx.numpy_helper.from_array(np.array([-1]), "rest"))
    graph = onnx.helper.make_graph(
        nodes, "g", [info("x", 1, ["N", 3, 4, 4])], [info("y", 1, ["N", 4])], tensors
    )
    ids = [onnx.helper.make_opsetid("", 13)]
    return onnx.helper.make_model(graph, opset_imports=ids, ir_version=8).SerializeToString()


TYPICAL = typical_model()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The typical model cut off, with bytes replaced, removed or repeated."""
    data = bytearray(TYPICAL)
    for _ in range(draw(st.integers(1, 6))):
        position = draw(st.integers(0, len(data) - 1))
        kind = draw(st.sampled_from(["replace", "remove", "repeat"]))
        if kind == "replace":
            data[position] = draw(st.integers(0, 255))
        elif kind == "remove":
            del data[position]
        else:
            data[position:position] = data[position : position + draw(st.integers(1, 40))]
    cut = draw(st.integers(1, len(data)))
    return bytes(data[:cut] if draw(st.booleans()) else data)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=damaged())
def test_a_damaged_model_is_imported_or_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(data)
    try:
        graph = import_onnx(path).graph
        FloatEngine(graph, threads=1).run(
            [np.zeros((1, *node.type.shape), np.float32) for node in graph.inputs]
        )
    except NNShellError as error:
        assert error.message


def test_the_undamaged_model_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "typical.onnx"
    path.write_bytes(TYPICAL)
    kinds = [node.kind for node in import_onnx(path).graph.steps() if node.kind != "constant"]
    assert kinds == ["input", "conv2d", "relu", "max_pool", "reshape", "linear", "output"]


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    change=st.tuples(
        st.integers(0, 8),
        st.sampled_from(["axis", "pads", "group", "to"]),
        st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=5),
    )
)
def test_strange_attributes_are_refused(change: tuple[int, str, list[int]], tmp_path: Path) -> None:
    position, name, values = change
    model = onnx.load_model_from_string(TYPICAL)
    node: Any = model.graph.node[position]
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    value: Any = values if name == "pads" else (values or [1])[0]
    node.attribute.extend(
        [*kept, onnx.helper.make_attribute(name, value, attr_type=7 if name == "pads" else 2)]
    )
    path = tmp_path / "strange.onnx"
    path.write_bytes(model.SerializeToString())
    try:
        import_onnx(path)
    except NNShellError as error:
        assert error.message
