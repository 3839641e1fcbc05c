"""The simulated engine: what integers compute, in floats, for any number of bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from nnshell import flow
from nnshell.execution.chunks import samples_per_chunk
from nnshell.execution.engines import make_engine
from nnshell.execution.simulated_engine import SimulatedEngine
from nnshell.ir.basic_operators import Constant, Input, Output
from nnshell.ir.graph import Graph, Node, Ref, all_nodes
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Window
from nnshell.ops.add import Add
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.global_pool import GlobalAveragePool
from nnshell.quantization import QuantizationOptions, quantize_graph
from nnshell.quantization.ranges.calibration import calibrate_graph
from nnshell.session.project import Project
from nnshell.support.errors import QuantizationError


@pytest.fixture
def project() -> Project:
    project = flow.open_graph("sample:lenet")
    flow.adjust(project)
    flow.fuse(project, "scale8")
    return project


@pytest.fixture
def lenet(project: Project) -> Graph:
    return project.graph


def images(count: int = 64, seed: int = 0) -> NDArray[np.float32]:
    """Smooth random pictures: blocks of 4 x 4 equal values from 0 to 1."""
    blocks = np.random.default_rng(seed).uniform(size=(count, 3, 8, 8)).astype(np.float32)
    return np.kron(blocks, np.ones((1, 1, 4, 4), np.float32))


def quantized(graph: Graph, **options: Any) -> Graph:
    chosen = QuantizationOptions(**options)
    seen = calibrate_graph(graph, [[images()]], clip_type=chosen.clip_types)
    quantize_graph(graph, seen, chosen)
    return graph


def output(graph: Graph, engine: Any, x: NDArray[np.float32]) -> NDArray[Any]:
    return next(iter(make_engine(graph, engine).run([x]).values())).reshape(len(x), -1)


def test_eight_bits_are_the_integers(lenet: Graph) -> None:
    x = images(200, 1)
    quantized(lenet)
    record = lenet.outputs[0].quantization.output  # type: ignore[union-attr]
    integers = output(lenet, "int8", x).astype(np.float64)
    simulated = output(lenet, "simulated", x) / record.first_scale + record.zero_point
    assert np.abs(integers - simulated).max() <= 1.01
    assert (np.rint(simulated) == integers).mean() >= 0.99
    assert (integers.argmax(1) == simulated.argmax(1)).all()


MEANS = {
    "odd": AveragePool(Window((3, 3), (2, 2))),
    "padded": AveragePool(Window((3, 3), (2, 2), (1, 1), (1, 1, 1, 1))),
    "padding counted": AveragePool(Window((3, 3), (2, 2), (1, 1), (1, 1, 1, 1)), True),
    "global": GlobalAveragePool(),
    "sum": Add(),
}


@pytest.mark.parametrize("name", MEANS)
@pytest.mark.parametrize("low", [-3.0, 0.0])
def test_means_and_sums_round_as_the_kernels_do(name: str, low: float) -> None:
    """Halves are frequent there: values are multiples of an eighth of a step and less."""
    kind = TensorType((4, 7, 9), Layout.CHW)
    op, graph = MEANS[name], Graph("mean")
    inputs = [Ref(f"in{index}") for index in range(2 if name == "sum" else 1)]
    for index, ref in enumerate(inputs):
        graph.add(Node(ref.node, Input(kind, index), [], (kind,)))
    graph.add(Node("mean", op, inputs, op.infer([kind] * len(inputs))))
    graph.add(Node("out", Output(), [Ref("mean")], graph["mean"].outputs))
    random = np.random.default_rng(1)
    spans = (3.0, 2.25)[: len(inputs)]
    x = [random.uniform(low, s, (64, *kind.shape)).astype(np.float32) for s in spans]
    quantize_graph(graph, calibrate_graph(graph, [x]))
    record = graph["mean"].quantization.output  # type: ignore[union-attr]
    integers = make_engine(graph, "int8").run(x)["out"]
    simulated = make_engine(graph, "simulated").run(x)["out"] / record.first_scale
    assert (np.rint(simulated) + record.zero_point == integers).all()


def test_an_input_is_what_its_readers_read(lenet: Graph) -> None:
    """On the record's grid and inside it, so that learning sees what the first filter sees."""
    (node,) = quantized(lenet).inputs
    x = 3 * images(4, 2)
    rounded = SimulatedEngine(lenet, [node.name]).run([x])[node.name]
    assert node.quantization is not None
    record = node.quantization.output
    assert np.abs(x).max() > record.maximum.max()
    np.testing.assert_array_equal(rounded, record.dequantize(record.quantize(x)))
    kept = SimulatedEngine(quantized(lenet, act_bits=32), [node.name]).run([x])[node.name]
    np.testing.assert_array_equal(kept, x)


def test_batches_larger_than_a_chunk_are_run_in_parts(lenet: Graph) -> None:
    x = images(200, 2)
    engine = SimulatedEngine(quantized(lenet))
    assert samples_per_chunk(lenet) < 200
    whole = next(iter(engine.run([x]).values()))
    single = np.concatenate([next(iter(engine.run([x[i : i + 1]]).values())) for i in (0, 150)])
    assert np.array_equal(whole[[0, 150]], single)


@pytest.mark.parametrize(("weight_bits", "act_bits"), [(2, 8), (4, 4), (8, 3), (5, 6), (32, 2)])
def test_every_tensor_has_at_most_as_many_values_as_its_bits_have(
    lenet: Graph, weight_bits: int, act_bits: int
) -> None:
    quantized(lenet, weight_bits=weight_bits, act_bits=act_bits, clip_type="mse")
    found = make_engine(lenet, "simulated", everything=True).run([images(8, 2)])
    checked = 0
    for key, node, _ in all_nodes(lenet):
        record = node.quantization.outputs[0] if node.quantization else None
        if record is None or node.op.boundary or isinstance(node.op, Constant):
            continue
        low, high = record.limits
        places = found[key] / record.first_scale + record.zero_point
        if record.dtype != "int8" or not np.allclose(places, np.rint(places), atol=1e-3):
            continue
        assert places.min() >= low - 1e-3
        assert places.max() <= high + 1e-3
        checked += record.bits == act_bits
    assert checked >= 4


def test_fewer_bits_are_noisier_and_float_is_exact(lenet: Graph) -> None:
    x = images(64, 3)
    wanted = output(lenet, "float", x)
    noise = []
    for bits in (2, 4, 6, 8, 32):
        quantized(lenet, weight_bits=bits, act_bits=bits, clip_type="mse")
        noise.append(float(np.square(output(lenet, "simulated", x) - wanted).mean()))
    assert noise == sorted(noise, reverse=True)
    assert noise[-1] < 1e-10


def test_single_nodes_have_bits_of_their_own(lenet: Graph) -> None:
    name = next(node.name for node in lenet if node.body is not None)
    quantized(lenet, nodes={name: {"weight_bits": 3, "act_bits": 4}})
    widths = {
        record.bits
        for key, node, _ in all_nodes(lenet)
        if key.startswith(f"{name}/") and node.quantization
        for record in (*node.quantization.inputs[1:2], *node.quantization.outputs)
    }
    assert widths == {3, 4}


def test_the_chip_says_that_it_has_8_bits_only(
    project: Project, lenet: Graph, tmp_path: Path
) -> None:
    quantized(lenet, weight_bits=4)
    with pytest.raises(QuantizationError, match=r"4-bit.*--engine simulated"):
        make_engine(lenet, "int8")
    with pytest.raises(QuantizationError, match="4-bit"):
        flow.generate(project, tmp_path)


def test_a_float_graph_is_not_simulated(lenet: Graph) -> None:
    with pytest.raises(QuantizationError, match="aquant"):
        make_engine(lenet, "simulated")


@pytest.mark.parametrize("bits", [8, 4])
def test_an_exported_file_gives_the_same_predictions_in_onnxruntime(
    project: Project, lenet: Graph, bits: int, tmp_path: Path
) -> None:
    x = images(100, 4)
    quantized(lenet, weight_bits=bits, act_bits=bits, clip_type="mse")
    assert flow.export(project, tmp_path / "q.onnx") == "qdq"
    session = onnxruntime.InferenceSession(
        str(tmp_path / "q.onnx"), providers=["CPUExecutionProvider"]
    )
    theirs = session.run(None, {session.get_inputs()[0].name: x})[0].reshape(100, -1)
    assert (theirs.argmax(1) == output(lenet, "simulated", x).argmax(1)).mean() >= 0.99
    stored = (tmp_path / "q.onnx").stat().st_size
    assert stored < 0.4 * 4 * lenet.parameters()


def test_weight_clipping_narrows_the_range_of_weights(lenet: Graph) -> None:
    def largest(clip: str) -> float:
        quantized(lenet, weight_clip=clip)
        node = next(n for n in lenet if n.body is not None)
        inner = next(n for n in node.body if n.op.parameters)  # type: ignore[union-attr]
        return float(inner.quantization.inputs[1].scale.max())  # type: ignore[union-attr]

    assert largest("std1") < largest("std3") <= largest("none")
