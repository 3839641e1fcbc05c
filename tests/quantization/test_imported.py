"""Records that a quantized file brings, carried to fusions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from nnshell import flow
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.exporters.simulated import export_simulated


@pytest.mark.parametrize("pool", ["MaxPool", "AveragePool"])
def test_a_fusion_reads_what_its_gate_wants_although_it_begins_with_a_pool(
    pool: str, tmp_path: Path
) -> None:
    """Softmax makes int16; the pool before a gate takes the gate's record, not softmax's."""
    nodes = [
        helper.make_node("Softmax", ["x"], ["s"], axis=1),
        helper.make_node(pool, ["s"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("HardSigmoid", ["p"], ["y"], alpha=1 / 6),
    ]
    shapes = (("x", [1, 3, 4, 4]), ("y", [1, 3, 2, 2]))
    ends = [[helper.make_tensor_value_info(name, 1, shape)] for name, shape in shapes]
    graph = helper.make_graph(nodes, "g", *ends)
    opset = [helper.make_opsetid("", 17)]
    path = tmp_path / "float.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    )
    project = flow.open_graph(path)
    flow.adjust(project)
    batch = np.random.default_rng(0).normal(size=(16, 3, 4, 4)).astype(np.float32)
    flow.quantize(project, flow.calibrate(project, batch))
    file = tmp_path / "qdq.onnx"
    file.write_bytes(export_simulated(project.graph, integers=True).SerializeToString())
    again = flow.open_graph(file, load_quantization=True)
    flow.adjust(again)
    flow.fuse(again, "scale8")
    results = []
    for each in (project, again):
        engine = IntegerEngine(each.graph)
        (node,) = each.graph.outputs
        results.append(engine.record(node.name).dequantize(engine.run([batch])[node.name]))
    np.testing.assert_allclose(results[1], results[0], atol=0.009)  # a step
