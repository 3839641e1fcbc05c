"""Real networks: names, steps and bodies as published, and float results that stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nnshell.execution.float_engine import FloatEngine
from nnshell.importers.onnx.importer import import_onnx
from nnshell.ir.basic_operators import Fusion
from nnshell.ir.graph import Graph, Node
from nnshell.passes.manager import compare_outputs, run_passes
from nnshell.passes.pipelines import ADJUST, POW2, SCALE8

from .nets import sample

MODELS = (
    "lab4/model_lab4",
    "lenet_cifar10_jnulzl",
    "lenet_mnist_ccoltong",
    "mobilenet_v2_128_0.5",
    "pulp_dronet_v2",
    "resnet20_cifar10",
    "resnet20_cifar10_convshortcut",
    "ultraface_rfb_320",
)


def prepared(path: Path) -> Graph:
    graph = import_onnx(path).graph
    run_passes(graph, (*ADJUST, *SCALE8))
    return graph


def operator_name(node: Node) -> str:
    return node.op.name if isinstance(node.op, Fusion) else node.kind


@pytest.mark.parametrize("name", ["lenet", "mbv2mini"])
def test_topology_is_nntools(test_data: Path, name: str) -> None:
    folder = test_data / "vectors" / name
    graph = prepared(folder / "model.onnx")
    entries: list[dict[str, Any]] = json.loads((folder / "topology.json").read_text())
    outer = [entry for entry in entries if entry["fusion"] is None]
    assert [node.name for node in graph.steps()] == [entry["name"] for entry in outer]
    for entry in entries:
        where = graph[entry["fusion"]].body if entry["fusion"] else graph
        assert where is not None
        node = where[entry["name"]]
        assert operator_name(node) == entry["op"]
        assert [[ref.node, ref.index] for ref in node.inputs] == entry["inputs"]
        assert [list(t.shape) for t in node.outputs] == [d["shape"] for d in entry["out_dims"]]
        described = node.op.describe(where.input_types(node), node.outputs, node.body)
        assert described.strip() == entry["desc"].strip()


def test_dronet_has_the_published_steps(test_data: Path) -> None:
    """S33 is the last sum with its relu6; S38, S40 and S41 make no code, and a quantize node that
    quantization inserts before the sigmoid takes number 42."""
    graph = prepared(test_data / "models" / "pulp_dronet_v2.onnx")
    steps = graph.steps()
    assert operator_name(steps[33]) == "broadcastable_activation_fusion_add_active"
    assert steps[33].name == "Add_28_fusion" and steps[33].type.shape == (128, 7, 7)
    kinds = [node.kind for node in steps[36:]]
    assert kinds == [
        "linear",
        "split",
        "reshape",
        "copy",
        "output",
        "reshape",
        "sigmoid",
        "output",
    ]


def test_resnet_has_its_average_pool_at_step_73(test_data: Path) -> None:
    graph = prepared(test_data / "models" / "resnet20_cifar10_convshortcut.onnx")
    assert graph.steps()[73].kind == "average_pool"


@pytest.mark.parametrize("pipeline", [SCALE8, POW2], ids=["scale8", "pow2"])
@pytest.mark.parametrize("name", MODELS)
def test_float_outputs_stay(test_data: Path, name: str, pipeline: tuple[Any, ...]) -> None:
    graph = import_onnx(test_data / "models" / f"{name}.onnx", fold_batchnorm=False).graph
    batch = sample(graph, count=1)
    before = FloatEngine(graph, threads=1).run(batch)
    run_passes(graph, (*ADJUST, *pipeline))
    compare_outputs(name, before, FloatEngine(graph, threads=1).run(batch), 1e-4)
    left = {node.kind for node in graph}
    assert not left & {"batch_norm"}, left
