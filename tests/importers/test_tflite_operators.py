"""Every TFLite operator that is imported: what LiteRT computes, as opened, adjusted and fused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nnshell import flow
from nnshell.execution.float_engine import FloatEngine
from nnshell.ir.graph import Graph
from nnshell.ir.verify import verify
from nnshell.passes.inputs import as_in_file, fit_batch

from .tflite_files import TfliteModel, litert_outputs
from .tflite_nets import CASES, NONE, VALID, conv_same, integers, normal, window_options

TOLERANCE = 1e-5  # of the largest value

Array = NDArray[Any]


def _stages(path: Path) -> list[tuple[str, Graph]]:
    stages = []
    for stage in ("open", "adjust", "fusions", "fusions alone"):
        project = flow.open_graph(path)
        if stage in ("adjust", "fusions"):
            flow.adjust(project)
        if stage.startswith("fusions"):
            flow.fuse(project, "scale8")
        verify(project.graph)
        stages.append((stage, project.graph))
    return stages


def _outputs(graph: Graph, inputs: list[Array]) -> list[Array]:
    results = FloatEngine(graph, threads=1).run(fit_batch(graph, inputs))
    ordered = as_in_file(graph, results)
    return [ordered[node.name] for node in graph.outputs]


def _close(found: Array, wanted: Array) -> bool:
    largest = max(float(np.abs(wanted).max()), 1e-6)
    return bool(np.abs(found.reshape(wanted.shape) - wanted).max() <= TOLERANCE * largest)


@pytest.mark.parametrize("name", CASES)
def test_an_operator_computes_what_litert_does(name: str, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="install the extra bench")
    net = CASES[name]()
    inputs = [normal(*net.tensors[index].shape) for index in net.inputs]
    wanted = litert_outputs(net.bytes(), inputs)
    for stage, graph in _stages(net.save(tmp_path / f"{name}.tflite")):
        for number, (found, expected) in enumerate(
            zip(_outputs(graph, inputs), wanted, strict=True)
        ):
            assert _close(found, expected), f"{stage}: output {number}"


@pytest.mark.parametrize("name", CASES)
def test_passes_keep_what_was_opened(name: str, tmp_path: Path) -> None:
    """The same without LiteRT: what it cannot say is whether the first stage is right."""
    net = CASES[name]()
    inputs = [normal(*net.tensors[index].shape) for index in net.inputs]
    (_, opened), *others = _stages(net.save(tmp_path / f"{name}.tflite"))
    wanted = _outputs(opened, inputs)
    for stage, graph in others:
        for found, expected in zip(_outputs(graph, inputs), wanted, strict=True):
            assert _close(found, expected), stage


def test_a_filter_is_what_its_formula_says(tmp_path: Path) -> None:
    net = conv_same()
    weights, bias = (net.tensors[i].value for i in net.ops[0].inputs[1:])
    assert weights is not None and bias is not None
    x = normal(1, 7, 9, 3)
    padded = np.pad(x[0], ((1, 1), (1, 1), (0, 0)))  # SAME: 7 and 9 by steps of 2 take one each
    wanted = np.zeros((4, 5, 5), np.float64)
    for row in range(4):
        for column in range(5):
            seen = padded[2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            wanted[row, column] = np.tensordot(weights, seen, 3) + bias
    graph = flow.open_graph(net.save(tmp_path / "conv.tflite")).graph
    (found,) = _outputs(graph, [x])
    assert np.allclose(found[0], np.maximum(wanted, 0), atol=1e-5)


def test_integers_with_a_scale_are_the_real_numbers_they_stand_for(tmp_path: Path) -> None:
    net = TfliteModel()
    x = net.input(1, 1, 1, 2, dtype="int8", scale=[0.5], zero_point=[3])
    stored = np.array([[[[10, -4]]], [[[100, 7]]]], np.int8)
    weights = net.constant(stored, scale=[0.1, 0.02], zero_point=[0, 0])
    bias = net.constant(integers(7, -9), scale=[0.05, 0.01], zero_point=[0, 0])
    options = window_options((1, 1), (1, 1), VALID, NONE)
    net.output(net.op("CONV_2D", [x, weights, bias], (1, 1, 1, 2), "Conv2DOptions", **options))
    graph = flow.open_graph(net.save(tmp_path / "integers.tflite")).graph
    (found,) = _outputs(graph, [np.float32([[[[2.0, -3.0]]]])])
    wanted = [1.0 * 2 + -0.4 * -3 + 0.35, 2.0 * 2 + 0.14 * -3 - 0.09]
    assert np.allclose(found.reshape(-1), wanted, atol=1e-6)
