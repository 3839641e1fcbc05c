"""Transposed convolutions, alone and in a network that enlarges its maps again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

import nnshell
from nnshell import flow
from nnshell.execution.engines import make_engine


def _network(path: Path) -> Path:
    """Down twice, up twice by transposed convolutions, with a skip; one mask out."""
    random = np.random.default_rng(11)
    constants: list[onnx.TensorProto] = []

    def weights(name: str, *shape: int) -> str:
        value = random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        constants.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def node(op: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
        return helper.make_node(op, inputs, [output], output, **attributes)

    padded = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    halved = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        node("Conv", ["x", weights("w1", 4, 1, 3, 3)], "c1", **padded),
        node("Relu", ["c1"], "r1"),
        node("MaxPool", ["r1"], "p1", **halved),
        node("Conv", ["p1", weights("w2", 8, 4, 3, 3)], "c2", **padded),
        node("Relu", ["c2"], "r2"),
        node("MaxPool", ["r2"], "p2", **halved),
        node("ConvTranspose", ["p2", weights("w3", 8, 4, 2, 2)], "u1", strides=[2, 2]),
        node("Relu", ["u1"], "r3"),
        node("Concat", ["r3", "p1"], "joined", axis=1),
        node(
            "ConvTranspose", ["joined", weights("w4", 8, 4, 3, 3)], "u2", strides=[2, 2],
            pads=[1, 1, 1, 1], output_padding=[1, 1],
        ),
        node("Relu", ["u2"], "r4"),
        node("Conv", ["r4", weights("w5", 1, 4, 1, 1)], "c5"),
        node("Sigmoid", ["c5"], "mask"),
    ]  # fmt: skip
    inputs = [helper.make_tensor_value_info("x", 1, [1, 1, 16, 16])]
    outputs = [helper.make_tensor_value_info("mask", 1, [1, 1, 16, 16])]
    graph = helper.make_graph(nodes, "unet", inputs, outputs, constants)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def test_a_network_that_enlarges_its_maps_goes_the_whole_way(tmp_path: Path) -> None:
    project = flow.open_graph(_network(tmp_path / "unet.onnx"))
    assert [node.kind for node in project.graph].count("spread") == 2
    flow.adjust(project)
    flow.fuse(project, "scale8")
    batch = [np.random.default_rng(2).uniform(-1, 1, (24, 1, 16, 16)).astype(np.float32)]
    flow.quantize(project, flow.calibrate(project, batch[0]))
    engines = {name: make_engine(project.graph, name) for name in ("float", "int8", "reference")}
    results = {name: next(iter(engine.run(batch).values())) for name, engine in engines.items()}
    np.testing.assert_array_equal(results["int8"], results["reference"])
    (output,) = project.graph.outputs
    assert output.quantization is not None
    real = output.quantization.inputs[0].dequantize(results["int8"])
    noise = float(np.square(real - results["float"]).mean())
    assert 10 * np.log10(float(np.square(results["float"]).mean()) / noise) > 25
    report = nnshell.simulate(project)
    assert report.total_cycles > 0
