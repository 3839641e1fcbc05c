"""Real TFLite models: LiteRT's float results, and the graphs that NNTool makes of four of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnshell import flow
from nnshell.execution.float_engine import FloatEngine
from nnshell.ir.graph import Graph
from nnshell.passes.inputs import as_in_file, fit_batch

from .tflite_files import litert_outputs

FLOAT_MODELS = (
    "models/nntool_mnist.tflite",
    "models/mlperf_tiny/ad01_fp32.tflite",
    "models/mlperf_tiny/pretrainedResnet.tflite",
    "models/mlperf_tiny/vww_96_float.tflite",
    "more_models/blazeface_front_f16.tflite",
    "vectors/tflite/minimb_tflite/model.tflite",
)
# LiteRT computes these in integers, or with weights of 8 bits on activations of 8 bits: the
# largest difference of their real meaning from that, measured, of the largest value
QUANTIZED_MODELS = {
    "models/mlperf_tiny/kws_ref_model_float32.tflite": 0.05,
    "models/mlperf_tiny/ad01_int8.tflite": 0.2,
    "models/mlperf_tiny/pretrainedResnet_quant.tflite": 0.1,
    "models/mlperf_tiny/vww_96_int8.tflite": 0.1,
    "more_models/mobilenet_v1_0.25_uint8.tflite": 0.2,
    "more_models/person_det_int8.tflite": 0.1,
}
VECTORS = ("kws_int8_as_float", "minimb_tflite", "mnist_tflite", "resnet8_tflite")


def _random_inputs(graph: Graph) -> list[np.ndarray[Any, Any]]:
    random = np.random.default_rng(0)
    return [random.normal(size=(1, *n.type.shape)).astype(np.float32) for n in graph.inputs]


def _results(graph: Graph, inputs: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    ordered = as_in_file(graph, FloatEngine(graph).run(fit_batch(graph, inputs)))
    return [ordered[node.name] for node in graph.outputs]


@pytest.mark.parametrize("model", FLOAT_MODELS)
def test_a_float_model_computes_what_litert_does(model: str, test_data: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="install the extra bench")
    path = test_data / model
    project = flow.open_graph(path)
    inputs = _random_inputs(project.graph)
    wanted = litert_outputs(path.read_bytes(), inputs)
    flow.adjust(project)
    flow.fuse(project, "scale8")
    for found, expected in zip(_results(project.graph, inputs), wanted, strict=True):
        largest = np.abs(expected).max()
        assert np.abs(found.reshape(expected.shape) - expected).max() <= 1e-5 * largest


@pytest.mark.parametrize("model", QUANTIZED_MODELS)
def test_the_real_meaning_of_a_quantized_model_is_near_its_integers(
    model: str, test_data: Path
) -> None:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="install extra bench")
    path = test_data / model
    project = flow.open_graph(path)
    entry = interpreter.Interpreter(str(path)).get_input_details()[0]
    (real,) = _random_inputs(project.graph)
    given = real.reshape(entry["shape"])
    if entry["dtype"] != np.float32:
        scale, zero = entry["quantization"]
        limits = np.iinfo(entry["dtype"])
        spread = np.round(given * (limits.max - limits.min) / 6) + (limits.max + limits.min) / 2
        given = spread.clip(limits.min, limits.max).astype(entry["dtype"])
        real = ((given.astype(np.float32) - zero) * scale).astype(np.float32)
    read = interpreter.Interpreter(str(path))
    for detail, expected in zip(
        read.get_output_details(), litert_outputs(path.read_bytes(), [given]), strict=True
    ):
        if detail["dtype"] != np.float32:
            scale, zero = detail["quantization"]
            expected = (expected.astype(np.float32) - zero) * scale
        number = [entry["index"] for entry in read.get_output_details()].index(detail["index"])
        found = _results(project.graph, [real])[number].reshape(expected.shape)
        largest = max(float(np.abs(expected).max()), 1e-6)
        assert np.abs(found - expected).max() <= QUANTIZED_MODELS[model] * largest


@pytest.mark.parametrize("name", VECTORS)
def test_names_operators_shapes_and_steps_are_nntools(name: str, test_data: Path) -> None:
    """After `open`, after `adjust` and after `fusions`."""
    folder = test_data / "vectors" / "tflite" / name
    project = flow.open_graph(folder / "model.tflite")
    assert _topology(project.graph) == _stored(folder / "topology_import.json")
    flow.adjust(project)
    assert _topology(project.graph) == _stored(folder / "topology_adjust.json")
    flow.fuse(project, "scale8")
    assert _topology(project.graph) == _stored(folder / "topology.json")


@pytest.mark.parametrize("name", VECTORS)
def test_adjust_says_what_nntool_says(name: str, test_data: Path) -> None:
    folder = test_data / "vectors" / "tflite" / name
    project = flow.open_graph(folder / "model.tflite")
    notes = [note.text for record in flow.adjust(project) for note in record.notes]
    log = (folder / "log.txt").read_text().splitlines()
    wanted = [line.partition(" - ")[2].strip() for line in log if "found elimination" in line]
    assert [text for text in notes if text.startswith("found elimination")] == wanted


@pytest.mark.parametrize("name", VECTORS)
def test_constants_are_nntools_to_the_bit(name: str, test_data: Path) -> None:
    folder = test_data / "vectors" / "tflite" / name
    project = flow.open_graph(folder / "model.tflite")
    flow.adjust(project)
    flow.fuse(project, "scale8")
    stored = np.load(folder / "consts.npz")
    names = [key for key in stored.files if key.endswith("__float")]
    assert names
    for key in names:
        value = project[key.removesuffix("__float")].op.attributes()["value"]
        assert np.array_equal(value, stored[key]), key


def _topology(graph: Graph) -> list[tuple[Any, ...]]:
    return [
        (
            node.name,
            getattr(node.op, "name", "") or node.kind,
            [[ref.node, ref.index] for ref in node.inputs],
            list(node.type.shape),
            _plain(node.op.describe(graph.input_types(node), node.outputs, node.body)),
        )
        for node in graph.steps()
    ]


def _stored(path: Path) -> list[tuple[Any, ...]]:
    return [
        (n["name"], n["op"], n["inputs"], n["out_dims"][0]["shape"], _plain(n["desc"]))
        for n in json.loads(path.read_text())
        if n["fusion"] is None
    ]


def _plain(text: str) -> str:
    return text.strip().replace("[", "(").replace("]", ")")
