"""Files of `export --form qdq`, opened again with -q: the integers of the graph they came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from nnshell import flow
from nnshell.importers.onnx.plain import KEY
from nnshell.session.project import Project
from nnshell.support.errors import ModelError
from tests.importers.conftest import make_model
from tests.importers.parts import node

DRAW = np.random.default_rng(3)
CONSTANTS = {
    "w1": DRAW.normal(size=(6, 3, 3, 3)).astype(np.float32),
    "w2": DRAW.normal(size=(4, 6, 3, 3)).astype(np.float32),
    "fc": DRAW.normal(size=(4, 5)).astype(np.float32),
}
IMAGES = DRAW.normal(size=(8, 3, 10, 10)).astype(np.float32)
ACTIVATIONS = ("Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "LeakyRelu", "Relu")


def network(activation: str) -> onnx.ModelProto:
    """Filters, an activation, both kinds of averages, a product, a softmax."""
    nodes = [
        node("Conv", "x", "w1", outputs=("a",), pads=[1, 1, 1, 1]),
        node(activation, "a", outputs=("b",)),
        node("AveragePool", "b", outputs=("c",), kernel_shape=[3, 3], strides=[2, 2],
             pads=[1, 1, 1, 1]),
        node("Conv", "c", "w2", outputs=("d",)),
        node(activation, "d", outputs=("e",)),
        node("GlobalAveragePool", "e", outputs=("f",)),
        node("Flatten", "f", outputs=("g",)),
        node("MatMul", "g", "fc", outputs=("h",)),
        node("Softmax", "h", outputs=("y",)),
    ]  # fmt: skip
    return make_model(nodes, {"x": ["N", 3, 10, 10]}, ("y", "f"), CONSTANTS)


def prepared(path: Path, fused: bool, **options: bool) -> Project:
    project = flow.open_graph(path, **options)
    if fused:
        flow.adjust(project)
        flow.fuse(project, "scale8")
    return project


def exported(folder: Path, activation: str, fused: bool) -> tuple[Project, Path]:
    path = folder / "net.onnx"
    path.write_bytes(network(activation).SerializeToString())
    project = prepared(path, fused)
    flow.quantize(project, flow.calibrate(project, IMAGES))
    flow.export(project, folder / "qdq.onnx", "qdq")
    return project, folder / "qdq.onnx"


@pytest.mark.parametrize("fused", [False, True], ids=["as opened", "fused"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_integers_are_those_of_the_graph(tmp_path: Path, activation: str, fused: bool) -> None:
    project, path = exported(tmp_path, activation, fused)
    again = prepared(path, fused, load_quantization=True)
    first, second = (flow.run(each, IMAGES, "int8") for each in (project, again))
    for name in ("output_1", "output_2"):
        np.testing.assert_array_equal(second[name], first[name], err_msg=name)


def test_the_float_meaning_is_that_of_the_operators(tmp_path: Path) -> None:
    """Opened without -q, the file is the float network with rounded weights."""
    project, path = exported(tmp_path, "Sigmoid", fused=True)
    kinds = [node.kind for node in prepared(path, fused=True)]
    assert kinds.count("gather") == 0
    results = [flow.run(each, IMAGES)["output_1"] for each in (project, prepared(path, True))]
    assert np.abs(results[0] - results[1]).max() < 0.05


@pytest.mark.parametrize("value", ["", "{}", "[1]", '{"graph": "!", "tensors": {}}',
                                   '{"graph": "//8=", "tensors": {"a": "b"}}'])  # fmt: skip
def test_damaged_metadata_is_an_error(tmp_path: Path, value: str) -> None:
    _, path = exported(tmp_path, "Tanh", fused=True)
    model = onnx.load(path)
    (entry,) = [entry for entry in model.metadata_props if entry.key == KEY]
    entry.value = value
    onnx.save(model, path)
    with pytest.raises(ModelError, match="damaged"):
        flow.open_graph(path, load_quantization=True)


def test_metadata_that_names_nothing_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    model = network("Relu")
    content = '{"graph": "", "tensors": {"a": "nowhere", "elsewhere": "b"}}'
    model.metadata_props.append(onnx.StringStringEntryProto(key=KEY, value=content))
    path.write_bytes(model.SerializeToString())
    assert [n.name for n in flow.open_graph(path)] == [
        n.name for n in _opened(network("Relu"), tmp_path / "net.onnx")
    ]


def _opened(model: onnx.ModelProto, path: Path) -> Project:
    path.write_bytes(model.SerializeToString())
    return flow.open_graph(path)
