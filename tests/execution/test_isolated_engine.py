"""Each step alone: the same integers where inputs are exact, no errors of earlier steps."""

from __future__ import annotations

import numpy as np
import pytest

from nnshell import flow
from nnshell.execution.float_engine import FloatEngine
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.execution.isolated_engine import IsolatedEngine
from nnshell.ir.graph import Graph
from nnshell.session.project import Project
from nnshell.support.errors import InputError
from nnshell.support.samples import resolve


@pytest.fixture(scope="module")
def project() -> Project:
    project = flow.open_graph("sample:lenet")
    flow.adjust(project)
    flow.fuse(project, "scale8")
    images = flow.load_inputs("sample:calibration", norm="x: x/128-1", limit=10)
    flow.quantize(project, flow.calibrate(project, images))
    return project


@pytest.fixture(scope="module")
def graph(project: Project) -> Graph:
    return project.graph


@pytest.fixture(scope="module")
def batch(project: Project) -> list[np.ndarray]:
    assert resolve("sample:test").is_dir()
    images = flow.load_inputs("sample:test", norm="x: x/128-1", limit=5)
    return list(next(images.open(project).batches(5)).arrays)


def test_the_first_step_is_that_of_the_whole_graph(graph: Graph, batch: list[np.ndarray]) -> None:
    whole = IntegerEngine(graph).run(batch)
    keys = list(whole)
    alone = IsolatedEngine(graph, keys).run(batch)
    assert {key: array.dtype for key, array in alone.items()} == {
        key: array.dtype for key, array in whole.items()
    }
    inner = [key for key in keys if key.startswith("_conv1_Conv_fusion")]
    assert len(inner) == 4
    for key in ("input_1", *inner):
        assert np.array_equal(alone[key], whole[key]), key


def test_a_later_step_is_nearer_to_the_floats_alone(graph: Graph, batch: list[np.ndarray]) -> None:
    key = graph.outputs[0].inputs[0].node
    engine = IntegerEngine(graph)
    real = FloatEngine(graph, [key]).run(batch)[key]
    whole, alone = (
        np.square(engine.record(key).dequantize(run[key]) - real).sum()
        for run in (engine.run(batch), IsolatedEngine(graph, [key]).run(batch))
    )
    assert 0 < alone < whole


def test_a_step_computes_from_rounded_floats(graph: Graph, batch: list[np.ndarray]) -> None:
    """The last layer, worked out by hand from the float tensor that it reads."""
    layer = graph[graph.outputs[0].inputs[0].node]
    assert layer.quantization is not None
    given = FloatEngine(graph, [layer.inputs[0].node]).run(batch)[layer.inputs[0].node]
    integers = layer.quantization.inputs[0].quantize(given)
    wanted = layer.op.integer_multi(layer.quantization, [integers, *[np.zeros((1, 0))] * 2])[0]
    assert np.array_equal(IsolatedEngine(graph, [layer.name]).run(batch)[layer.name], wanted)


def test_unknown_tensors_are_refused(graph: Graph) -> None:
    with pytest.raises(InputError, match="nosuch"):
        IsolatedEngine(graph, ["nosuch"])
