"""Metrics of outputs that are not classes, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nnshell
from nnshell.execution.scores import METRICS, natural_metric
from nnshell.ir.basic_operators import Input, Output
from nnshell.ir.graph import Graph, Node, Ref, constant_node
from nnshell.ir.types import Layout, TensorType
from nnshell.ops.linear import Linear
from nnshell.ops.sigmoid import Sigmoid
from nnshell.session.project import Project
from nnshell.support.errors import InputError

RANDOM = np.random.default_rng(0)


def autoencoder(size: int = 24) -> Project:
    """linear -> sigmoid, as many values out as in."""
    graph, kind = Graph("auto"), TensorType((size,))
    graph.add(Node("input_1", Input(kind, 0), [], (kind,)))
    graph.add(constant_node("w", RANDOM.normal(size=(size, size)).astype(np.float32) / 5))
    graph.add(constant_node("b", np.zeros(size, np.float32)))
    refs = [Ref("input_1"), Ref("w"), Ref("b")]
    linear = Linear()
    graph.add(Node("fc", linear, refs, linear.infer([graph.type_of(r) for r in refs])))
    graph.add(Node("sigmoid", Sigmoid(), [Ref("fc")], (kind,)))
    graph.add(Node("output_1", Output(0), [Ref("sigmoid")], (kind,)))
    return Project(graph)


@pytest.fixture(scope="module")
def project() -> Project:
    project = autoencoder()
    nnshell.quantize(project, nnshell.calibrate(project, samples()))
    return project


def samples() -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).uniform(0, 1, (50, 24)).astype(np.float32)


def expected(metric: str, y: np.ndarray[Any, Any], t: np.ndarray[Any, Any]) -> float:
    y, t = y.astype(np.float64), t.astype(np.float64)
    mse = float(np.mean((y - t) ** 2))
    values = {
        "mse": lambda: mse,
        "mae": lambda: float(np.mean(np.abs(y - t))),
        "bce": lambda: float(-np.mean(t * np.log(y) + (1 - t) * np.log(1 - y))),
        "psnr": lambda: float(10 * np.log10((t.max() - t.min()) ** 2 / mse)),
        "iou": lambda: ((y > 0.5) & (t > 0.5)).sum() / ((y > 0.5) | (t > 0.5)).sum(),
    }
    return float(values[metric]())


@pytest.mark.parametrize("engine", ["float", "int8", "reference", "simulated"])
@pytest.mark.parametrize("metric", METRICS)
def test_metrics_of_an_autoencoder_are_numpy_s(project: Project, metric: Any, engine: Any) -> None:
    x = samples()
    report = nnshell.evaluate(project, x, engine, metric)
    y = nnshell.run(project, x, engine, keys=["output_1"])["output_1"]
    record = project["output_1"].quantization
    if engine in ("int8", "reference"):
        assert record is not None
        y = record.output.dequantize(y)
    floats = nnshell.run(project, x, keys=["output_1"])["output_1"]
    y = np.clip(y, 1e-7, 1 - 1e-7) if metric == "bce" else y
    assert report.value == pytest.approx(expected(metric, y, x), rel=1e-4)
    assert report.float_value == pytest.approx(expected(metric, floats, x), rel=1e-4)
    assert report.target == "input" and report.samples == 50


def test_other_outputs_are_compared_with_the_float_graph_s() -> None:
    project = nnshell.open_graph("sample:lenet")
    images = nnshell.load_inputs("sample:calibration", norm="x: x/128-1", limit=12)
    nnshell.quantize(project, nnshell.calibrate(project, images))
    report = nnshell.evaluate(project, images, "int8", "mse")
    assert report.target == "float output" and report.float_value == 0 < report.value


def test_targets_of_bce_lie_in_0_to_1(project: Project) -> None:
    with pytest.raises(InputError, match="bce needs targets of 0 to 1"):
        nnshell.evaluate(project, 2 * samples(), "float", "bce")


@pytest.mark.parametrize(
    ("shape", "metric"), [((10,), "top1"), ((1,), "binary"), ((2, 8, 8), "mse"), ((1, 10), "top1")]
)
def test_the_shape_of_an_output_suggests_a_metric(shape: tuple[int, ...], metric: str) -> None:
    graph, kind = Graph("g"), TensorType(shape, Layout.NONE)
    graph.add(Node("input_1", Input(TensorType((3,)), 0), [], (TensorType((3,)),)))
    graph.add(Node("output_1", Output(0), [Ref("input_1")], (kind,)))
    assert natural_metric(graph, "output_1") == metric


def test_an_autoencoder_is_told_from_a_classifier() -> None:
    assert natural_metric(autoencoder(784).graph, "output_1") == "mse"
