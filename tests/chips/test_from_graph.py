"""From a model file to the simulator's layers: names, fusions, joins, constants."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nnshell.chips import Network, network_from_graph, simulate_graph
from nnshell.importers.onnx.importer import import_onnx
from nnshell.ir.graph import Graph
from nnshell.passes.catalogue import passes_named
from nnshell.passes.manager import run_passes
from nnshell.passes.pipelines import adjust_passes
from nnshell.support.settings import Settings

Opener = Callable[[list[onnx.NodeProto], dict[str, tuple[int, ...]], tuple[int, ...]], Graph]


@pytest.fixture
def opened(tmp_path: Path) -> Opener:
    """Write nodes as a model with one 1x4x8x8 input, open, adjust and fuse it."""

    def make(
        nodes: list[onnx.NodeProto], weights: dict[str, tuple[int, ...]], output: tuple[int, ...]
    ) -> Graph:
        random = np.random.default_rng(0)
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 8, 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, list(output))],
            [
                numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)
                for name, shape in weights.items()
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        path = tmp_path / "two.words.onnx"
        onnx.save(model, path)
        read = import_onnx(path).graph
        run_passes(read, adjust_passes(read))
        run_passes(read, passes_named(("scale8",)))
        return read

    return make


def _conv(name: str, source: str, weights: str, target: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weights], [target], name, pads=[1, 1, 1, 1])


def _layers(network: Network) -> dict[str, str]:
    return {layer.name: layer.op for layer in network.layers}


def test_a_fused_layer_has_its_filter_s_name_as_in_the_file(opened: Opener) -> None:
    nodes = [
        _conv("/stem/Conv", "x", "w", "c"),
        helper.make_node("Relu", ["c"], ["r"], "/stem/Relu"),
        helper.make_node("MaxPool", ["r"], ["y"], "/pool", kernel_shape=[2, 2], strides=[2, 2]),
    ]
    network = network_from_graph(opened(nodes, {"w": (6, 4, 3, 3)}, (1, 6, 4, 4)))
    assert network.name == "two.words"
    assert _layers(network) == {"/stem/Conv": "conv2d"}
    (layer,) = network.layers
    assert layer.work.pool is not None
    assert layer.work.filter_output == (6, 8, 8)
    assert layer.work.output == (6, 4, 4)
    assert network.macs == 6 * 4 * 9 * 64


def test_reshapes_make_no_layer(opened: Opener) -> None:
    nodes = [
        _conv("conv", "x", "w", "c"),
        helper.make_node("Flatten", ["c"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "v"], ["y"], "fc", transB=1),
    ]
    graph = opened(nodes, {"w": (2, 4, 3, 3), "v": (5, 128)}, (1, 5))
    assert _layers(network_from_graph(graph)) == {"conv": "conv2d", "fc": "linear"}


def test_a_concat_of_channels_lies_where_its_parts_are(opened: Opener) -> None:
    nodes = [
        _conv("left", "x", "w", "a"),
        helper.make_node("Conv", ["x", "u"], ["b"], "right", pads=[2, 2, 2, 2]),
        helper.make_node("Concat", ["a", "b"], ["j"], "join", axis=1),
        _conv("after", "j", "v", "y"),
    ]
    network = network_from_graph(
        opened(nodes, {"w": (2, 4, 3, 3), "u": (2, 4, 5, 5), "v": (3, 4, 3, 3)}, (1, 3, 8, 8))
    )
    assert _layers(network).keys() == {"left", "right", "after"}
    after = network.layers[-1]
    assert len(after.inputs) == 2
    assert sum(network.tensor_bytes()[name] for name in after.inputs) == 4 * 64


def test_a_constant_operand_counts_as_weights(opened: Opener) -> None:
    nodes = [
        _conv("conv", "x", "w", "c"),
        helper.make_node("Mul", ["c", "s"], ["y"], "scaled"),
    ]
    graph = opened(nodes, {"w": (4, 4, 3, 3), "s": (1, 4, 8, 8)}, (1, 4, 8, 8))
    network = network_from_graph(graph)
    scaled = network.layers[-1]
    assert scaled.inputs == (network.layers[0].output,)
    assert scaled.work.input_bytes == (256,)
    assert scaled.constant_bytes >= 256


def test_branches_and_an_addition_keep_their_tensors(opened: Opener) -> None:
    nodes = [
        _conv("one", "x", "w", "a"),
        _conv("two", "a", "w", "b"),
        helper.make_node("Add", ["a", "b"], ["y"], "sum"),
    ]
    network = network_from_graph(opened(nodes, {"w": (4, 4, 3, 3)}, (1, 4, 8, 8)))
    one, two, total = network.layers
    assert set(total.inputs) == {one.output, two.output}
    assert two.inputs == (one.output,)
    assert network.outputs == (total.output,)


def test_the_session_s_settings_are_those_of_the_simulation(opened: Opener) -> None:
    graph = opened([_conv("conv", "x", "w", "y")], {"w": (4, 4, 3, 3)}, (1, 4, 8, 8))
    settings = Settings()
    settings.l2_size = 200_000
    settings.cluster_num_cores = 4
    settings.kernels = "pulp-nn"
    report = simulate_graph(graph, settings)
    assert report.parameters.l2_size == 200_000
    assert report.parameters.cluster_num_cores == 4
    assert report.kernels == "pulp-nn"
    assert simulate_graph(graph).parameters.l2_size == 300_000


def test_an_untouched_l2_size_is_left_to_the_kernel_library(opened: Opener) -> None:
    graph = opened([_conv("conv", "x", "w", "y")], {"w": (4, 4, 3, 3)}, (1, 4, 8, 8))
    settings = Settings()
    settings.kernels = "pulp-nn"
    assert simulate_graph(graph, settings).parameters.l2_size == 470_000


def test_tensors_cost_the_bytes_of_their_elements(opened: Opener) -> None:
    """Softmax gives int16, and so do the nodes that only hand its integers on."""
    nodes = [
        helper.make_node("Softmax", ["x"], ["s"], "soft", axis=3),
        helper.make_node("Transpose", ["s"], ["y"], "turn", perm=[0, 1, 3, 2]),
    ]
    graph = opened(nodes, {}, (1, 4, 8, 8))
    works = {layer.name: layer.work for layer in network_from_graph(graph).layers}
    assert works["soft"].input_bytes == (256,) and works["soft"].output_bytes == 512
    assert works["turn"].input_bytes == (512,) and works["turn"].output_bytes == 512
