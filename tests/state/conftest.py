"""A small model file, a session's work on it, and the functions that replay that work."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnshell.execution.float_engine import FloatEngine
from nnshell.exporters.onnx import export_bytes
from nnshell.importers.onnx.importer import import_onnx
from nnshell.ir.basic_operators import Constant
from nnshell.ir.examples import graph_of, random_inputs
from nnshell.ir.graph import Graph, all_nodes
from nnshell.ops.conv2d import Conv2D
from nnshell.passes.pipelines import SCALE8, adjust_passes
from nnshell.quantization import Basis, QuantizationOptions
from nnshell.quantization.ranges.statistics import Statistics, TensorStatistics
from nnshell.session.project import Project
from nnshell.session.steps import Step
from nnshell.state import Replay
from nnshell.support.errors import UsageError
from nnshell.support.settings import Settings


def _open(path: Path, step: Step, settings: Settings) -> Project:
    return Project(import_onnx(path, **step.options).graph, settings)


def _adjust(project: Project, step: Step) -> None:
    project.run_passes(adjust_passes(project.graph, **step.options))


def _fusions(project: Project, step: Step) -> None:
    if step.options["names"] != ["scale8"]:
        raise UsageError(f"no fusions {step.options['names']!r}")
    project.run_passes(SCALE8)


def _quantize(project: Project, step: Step) -> None:
    project.quantize(project.basis)


@pytest.fixture(scope="session")
def replay() -> Replay:
    return Replay(_open, {"adjust": _adjust, "fusions": _fusions, "aquant": _quantize})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    graph = graph_of(Conv2D.examples()[2])
    path.write_bytes(export_bytes(graph, ["output_1"]))
    return path


@pytest.fixture
def project(model: Path) -> Project:
    """Opened, adjusted, fused and quantized, with a recipe, a setting and node options."""
    made = Project(import_onnx(model).graph)
    made.settings.assign("input_norm_func", "x: x/128-1")
    made.run_passes(adjust_passes(made.graph))
    made.run_passes(SCALE8)
    options = QuantizationOptions(quantized_dimension="tensor")
    made.quantize(Basis(_ranges(made.graph), options))
    made["input_1"].options["ALLOCATE"] = "1"
    made.recipe = [
        Step("open", {}, "open net.onnx"),
        Step("adjust", {}, "adjust"),
        Step("fusions", {"names": ["scale8"]}, "fusions --scale8"),
        Step("aquant", {"inputs": ["*.png"]}, "aquant *.png -d tensor"),
    ]
    return made


def _ranges(graph: Graph) -> Statistics:
    keys = [key for key, node, _ in all_nodes(graph) if not isinstance(node.op, Constant)]
    values = FloatEngine(graph, keys, threads=1).run(random_inputs(graph, 2))
    return Statistics(
        {key: TensorStatistics(float(v.min()), float(v.max())) for key, v in values.items()}
    )
