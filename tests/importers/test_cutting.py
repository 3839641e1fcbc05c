"""Where a network ends: outputs that the user names, final choices and constants left out."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from nnshell import flow
from nnshell.execution.float_engine import FloatEngine
from nnshell.importers.onnx.importer import import_onnx
from nnshell.importers.tflite.importer import import_tflite
from nnshell.ir.graph import Graph
from nnshell.support.errors import ModelError

from .conftest import runtime
from .parts import ints, node, zeros
from .tflite_files import TfliteModel
from .tflite_nets import normal

Save = Callable[..., Path]
IMAGE = ["N", 4, 8, 8]
FILTERS = np.random.default_rng(5).normal(size=(4, 4, 3, 3)).astype(np.float32)
CLASSES = np.random.default_rng(6).normal(size=(256, 5)).astype(np.float32)


def classifier(*tail: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Convolution, activation, matrix product to ``scores``; ``tail`` comes after it."""
    return [
        node("Conv", "x", "w", outputs=("c",), name="stem/conv", pads=[1, 1, 1, 1]),
        node("Relu", "c", outputs=("r",), name="stem/relu"),
        node("Flatten", "r", outputs=("f",), name="flat"),
        node("MatMul", "f", "m", outputs=("scores",), name="head"),
        *tail,
    ]


CONSTANTS = {"w": FILTERS, "m": CLASSES}


def results(graph: Graph, x: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    return list(FloatEngine(graph, threads=1).run([x]).values())


def ends(graph: Graph) -> list[str]:
    """What the file calls the tensors of the outputs."""
    return [output.origin.foreign_name for output in graph.outputs]


def expected(path: Path, names: list[str], x: np.ndarray[Any, Any]) -> list[Any]:
    """Tensors inside the file, as ONNX Runtime computes them."""
    model = onnx.load(path)
    del model.graph.output[:]
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    path = path.with_name("exposed.onnx")
    onnx.save(model, path)
    return list(runtime(path).run(names, {"x": x}))


def same(path: Path, graph: Graph, names: list[str]) -> None:
    assert ends(graph) == names
    x = np.random.default_rng(1).normal(size=(2, 4, 8, 8)).astype(np.float32)
    for ours, theirs in zip(results(graph, x), expected(path, names, x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "names", [["c"], ["scores", "r"], ["stem/conv"], ["stem_relu", "output_1"], ["r", "r"]]
)
def test_a_graph_ends_where_the_user_says(save: Save, names: list[str]) -> None:
    path = save(nodes=classifier(), inputs={"x": IMAGE}, outputs=("scores",), constants=CONSTANTS)
    tensors = {"stem/conv": "c", "stem_relu": "r", "output_1": "scores"}
    graph = import_onnx(path, outputs=names).graph
    same(path, graph, list(dict.fromkeys(tensors.get(name, name) for name in names)))


def test_what_comes_after_the_end_is_not_read(save: Save) -> None:
    tail = [node("Det", "scores", outputs=("y",), name="odd")]
    path = save(nodes=classifier(*tail), inputs={"x": IMAGE}, constants=CONSTANTS)
    with pytest.raises(ModelError, match="odd"):
        import_onnx(path)
    assert ends(import_onnx(path, outputs=["scores"]).graph) == ["scores"]


@pytest.mark.parametrize("name", ["stem/konv", "SCORES", "x", ""])
def test_an_unknown_end_gets_near_names(save: Save, name: str) -> None:
    path = save(nodes=classifier(), inputs={"x": IMAGE}, outputs=("scores",), constants=CONSTANTS)
    with pytest.raises(ModelError) as caught:
        import_onnx(path, outputs=[name])
    near = {"stem/konv": "stem/conv", "SCORES": "scores"}.get(name, "scores")
    assert near in (caught.value.hint or "")
    assert path.name in str(caught.value)


def argmax() -> list[onnx.NodeProto]:
    return [
        node("ArgMax", "scores", outputs=("best",), name="best", axis=1, keepdims=0),
        node("Cast", "best", outputs=("y",), name="cast", to=onnx.TensorProto.INT32),
    ]


def top_two() -> list[onnx.NodeProto]:
    return [node("TopK", "scores", "k", outputs=("values", "y"), name="top")]


def boxes() -> list[onnx.NodeProto]:
    """A detector's last steps: suppression of boxes, and those that are left."""
    return [
        node("Reshape", "r", "as_boxes", outputs=("boxes",), name="as_boxes"),
        node("Reshape", "c", "as_scores", outputs=("each",), name="as_scores"),
        node("NonMaxSuppression", "boxes", "each", "k", outputs=("chosen",), name="nms"),
        node("Gather", "chosen", "one", outputs=("index",), name="index", axis=1),
        node("Gather", "boxes", "index", outputs=("y",), name="left", axis=1),
    ]


@pytest.mark.parametrize(
    ("tail", "names"),
    [(argmax(), ["scores"]), (top_two(), ["scores"]), (boxes(), ["boxes", "each"])],
    ids=["argmax", "topk", "nms"],
)
def test_a_final_choice_is_left_to_the_application(
    save: Save, caplog: pytest.LogCaptureFixture, tail: list[onnx.NodeProto], names: list[str]
) -> None:
    more = {"k": ints(2), "one": ints(2), "as_boxes": ints(1, 64, 4), "as_scores": ints(1, 4, 64)}
    inputs = {"x": [1, 4, 8, 8]}
    path = save(nodes=classifier(*tail), inputs=inputs, constants=CONSTANTS | more)
    with caplog.at_level(logging.WARNING):
        graph = import_onnx(path).graph
    assert ends(graph) == names
    (line,) = [r.getMessage() for r in caplog.records if "application" in r.getMessage()]
    assert ", ".join(names) in line
    x = np.random.default_rng(1).normal(size=(1, 4, 8, 8)).astype(np.float32)
    for ours, theirs in zip(results(graph, x), expected(path, names, x), strict=True):
        np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, rtol=1e-5, atol=1e-5)


def test_an_output_beside_a_choice_stays_in_its_place(save: Save) -> None:
    path = save(
        nodes=classifier(*argmax()),
        inputs={"x": IMAGE},
        outputs=("r", "y", "scores"),
        constants=CONSTANTS,
    )
    same(path, import_onnx(path).graph, ["r", "scores"])


def test_a_choice_within_the_network_is_no_end(save: Save) -> None:
    """What is computed from it with weights is a part of the network: it is refused."""
    tail = [
        node("TopK", "scores", "k", outputs=("values", "where"), name="top"),
        node("MatMul", "values", "v", outputs=("y",), name="last"),
    ]
    constants = CONSTANTS | {"k": ints(2), "v": zeros(2, 3)}
    path = save(nodes=classifier(*tail), inputs={"x": IMAGE}, constants=constants)
    with pytest.raises(ModelError, match="TopK 'top'"):
        import_onnx(path)


def test_constant_outputs_are_left_out(save: Save, caplog: pytest.LogCaptureFixture) -> None:
    extra = [
        node("Shape", "r", outputs=("extents",), name="extents"),
        node("Identity", "anchors", outputs=("constant",), name="constant"),
    ]
    path = save(
        nodes=classifier(*extra),
        inputs={"x": IMAGE},
        outputs=("constant", "scores", "extents"),
        constants=CONSTANTS | {"anchors": zeros(4, 2)},
    )
    with caplog.at_level(logging.WARNING):
        graph = import_onnx(path).graph
    same(path, graph, ["scores"])
    assert [output.name for output in graph.outputs] == ["output_1"]
    assert "constant outputs left out: constant, extents" in caplog.text


def test_a_model_of_constants_alone_is_refused(save: Save) -> None:
    path = save(
        nodes=[node("Identity", "c", name="same")], inputs={"x": IMAGE}, constants={"c": zeros(2)}
    )
    with pytest.raises(ModelError, match="does not depend on the input"):
        import_onnx(path)


def test_a_state_ends_where_its_graph_did(save: Save, tmp_path: Path) -> None:
    path = save(nodes=classifier(*argmax()), inputs={"x": [1, 4, 8, 8]}, constants=CONSTANTS)
    project = flow.open_graph(path, outputs=["stem/relu"])
    x = np.random.default_rng(1).normal(size=(2, 4, 8, 8)).astype(np.float32)
    flow.adjust(project)
    flow.quantize(project, flow.calibrate(project, x))
    flow.save_state(project, tmp_path / "state.json")
    assert '"outputs"' in json.dumps(json.loads((tmp_path / "state.json").read_text()))
    again = flow.open_graph(tmp_path / "state.json")
    assert ends(again.graph) == ends(project.graph) == ["r"]


def tflite_classifier(code: str, **options: int) -> TfliteModel:
    net = TfliteModel()
    x = net.input(1, 6)
    dense = net.op(
        "FULLY_CONNECTED", [x, net.constant(normal(4, 6))], (1, 4), "FullyConnectedOptions"
    )
    soft = net.op("SOFTMAX", [dense], (1, 4), "SoftmaxOptions", Beta=1.0)
    best = net.op(code, [soft, net.constant(np.array(1, np.int32))], (1,), dtype="int64", **options)
    return net.output(best)


def test_a_final_choice_of_a_tflite_file_is_left_to_the_application(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tflite_classifier("ARG_MAX").save(tmp_path / "net.tflite")
    with caplog.at_level(logging.WARNING):
        graph = import_tflite(path).graph
    assert graph.producer(graph.outputs[0]).name == "SOFTMAX_0_1"
    assert "ARG_MAX 'ARG_MAX_0_2'" in caplog.text


@pytest.mark.parametrize("name", ["FULLY_CONNECTED_0_0", "t2"])
def test_a_tflite_graph_ends_where_the_user_says(tmp_path: Path, name: str) -> None:
    path = tflite_classifier("ARG_MAX").save(tmp_path / "net.tflite")
    graph = import_tflite(path, outputs=[name]).graph
    assert graph.producer(graph.outputs[0]).name == "FULLY_CONNECTED_0_0"
    with pytest.raises(ModelError, match="FULLY_CONNECTED_0_9"):
        import_tflite(path, outputs=["FULLY_CONNECTED_0_9"])
