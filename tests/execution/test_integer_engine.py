"""The integer engine: inputs, keys, targets, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from nnshell.execution.float_engine import FloatEngine
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.ir.basic_operators import Input, Output
from nnshell.ir.graph import Graph, Node, Ref, constant_node
from nnshell.ir.types import Layout, TensorType
from nnshell.ops.concat import Concat
from nnshell.ops.hard_sigmoid import HardSigmoid
from nnshell.ops.image_format import ImageFormat
from nnshell.ops.linear import Linear
from nnshell.ops.quantize import Quantize
from nnshell.ops.relu import Relu
from nnshell.ops.sigmoid import Sigmoid
from nnshell.ops.split import Split
from nnshell.quantization import Statistics, TensorStatistics, quantize_graph
from nnshell.support.errors import InputError, QuantizationError, UsageError


def linear_graph(given: TensorType, front: ImageFormat | None = None) -> Graph:
    """Input, perhaps a formatter, and a layer that adds up all elements."""
    graph = Graph("net")
    graph.add(Node("input_1", Input(given, 0), [], (given,)))
    before = Ref("input_1")
    if front is not None:
        graph.add(Node("formatter", front, [before], front.infer((given,))))
        before = Ref("formatter")
    size = graph.type_of(before).size
    graph.add(constant_node("weights", np.ones((1, size), np.float32)))
    graph.add(constant_node("biases", np.zeros(1, np.float32)))
    edges = [before, Ref("weights"), Ref("biases")]
    graph.add(Node("fc", Linear(), edges, Linear().infer([graph.type_of(ref) for ref in edges])))
    graph.add(Node("output_1", Output(0), [Ref("fc")], (TensorType((1,)),)))
    return graph


def ranges(**given: tuple[float, float]) -> Statistics:
    return Statistics({name: TensorStatistics(*bounds) for name, bounds in given.items()})


def test_inputs_are_rounded_half_up_and_saturated() -> None:
    graph = linear_graph(TensorType((4,)))
    quantize_graph(graph, ranges(input_1=(-1.0, 127 / 128), fc=(-4.0, 4.0)))
    x = np.array([[0.5 / 128, -0.5 / 128, 3.0, -3.0]], np.float32)
    assert IntegerEngine(graph).run([x])["input_1"].tolist() == [[1, 0, 127, -128]]


def test_a_formatter_takes_raw_pixels() -> None:
    pixels = TensorType((2, 2, 3), Layout.HWC, "uint8")
    graph = linear_graph(pixels, ImageFormat("rgb888", "offset_int8", 1 / 255, 0.0))
    quantize_graph(graph, ranges(input_1=(0.0, 1.0), fc=(0.0, 12.0)))
    engine = IntegerEngine(graph)
    x = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    found = engine.run([x])
    assert found["input_1"].dtype == np.uint8
    assert np.array_equal(found["formatter"][0], x[0].transpose(2, 0, 1).astype(int) - 128)
    record = engine.record("formatter")
    assert (record.first_scale, record.zero_point) == (1 / 255, -128)
    real = FloatEngine(graph, ["formatter"], threads=1).run([x])["formatter"]
    assert np.allclose(record.dequantize(found["formatter"]), real, atol=1e-6)


def test_a_formatter_refuses_normalized_values() -> None:
    pixels = TensorType((2, 2, 3), Layout.HWC, "uint8")
    graph = linear_graph(pixels, ImageFormat("rgb888", "offset_int8", 1 / 255, 0.0))
    quantize_graph(graph, ranges(input_1=(0.0, 1.0), fc=(0.0, 12.0)))
    engine = IntegerEngine(graph)
    with pytest.raises(InputError, match="raw pixels"):
        engine.run([np.full((1, 2, 2, 3), 0.5, np.float32)])
    with pytest.raises(InputError, match="pixels of 0 to 255"):
        engine.run([np.full((1, 2, 2, 3), 300.0, np.float32)])


def test_several_outputs_have_their_own_keys() -> None:
    given = TensorType((4,))
    graph = Graph("net")
    graph.add(Node("input_1", Input(given, 0), [], (given,)))
    split = Split(0, (1, 3))
    graph.add(Node("parts", split, [Ref("input_1")], split.infer((given,))))
    graph.add(Node("output_1", Output(0), [Ref("parts", 1)], (TensorType((3,)),)))
    quantize_graph(graph, ranges(input_1=(-1.0, 1.0)))
    found = IntegerEngine(graph).run([np.array([[-1, 0, 0.5, 1]], np.float32)])
    assert {"input_1", "parts", "parts[1]", "output_1"} <= set(found)
    assert found["parts"].tolist() == [[-127]]
    assert found["parts[1]"].tolist() == found["output_1"].tolist() == [[0, 64, 127]]


def test_only_the_wanted_tensors_come_back() -> None:
    graph = linear_graph(TensorType((4,)))
    quantize_graph(graph, ranges(input_1=(-1, 1), fc=(-4, 4)))
    found = IntegerEngine(graph).run([np.ones((2, 4), np.float32)], ["output_1"])
    assert list(found) == ["output_1"]
    with pytest.raises(InputError, match="no tensor is called 'nothing'"):
        IntegerEngine(graph).run([np.ones((2, 4), np.float32)], ["nothing"])


def gated(quantize: bool = True) -> Graph:
    """A tensor that two gates want differently: a quantize node stands before either."""
    given = TensorType((256,))
    graph = Graph("net")
    graph.add(Node("input_1", Input(given, 0), [], (given,)))
    graph.add(Node("gate", Sigmoid(), [Ref("input_1")], (given,)))
    graph.add(Node("other", HardSigmoid(), [Ref("input_1")], (given,)))
    for index, name in enumerate(("other", "gate")):
        graph.add(Node(f"output_{index + 1}", Output(index), [Ref(name)], (given,)))
    if quantize:
        quantize_graph(graph, ranges(input_1=(-3.0, 3.0)))
    return graph


def test_simulation_and_chip_differ_in_quantize_nodes_only() -> None:
    graph = gated()
    assert isinstance(graph["gate_qin0"].op, Quantize)
    x = np.arange(-128, 128, dtype=np.float32)[np.newaxis] * np.float32(3 / 127)
    simulated, chip = (IntegerEngine(graph, target).run([x]) for target in ("simulation", "chip"))
    integers = simulated["input_1"].astype(np.float64)
    exact = np.clip(np.floor(integers * (3 / 127) / (8 / 127) + 0.5), -128, 127)
    assert np.array_equal(simulated["gate_qin0"], exact)
    kernel = graph["gate_qin0"].quantization.kernel  # type: ignore[union-attr]
    assert (int(kernel.scaling.multiplier[0]), int(kernel.scaling.shift[0])) == (3, 3)
    assert np.array_equal(simulated["input_1"], chip["input_1"])
    assert np.abs(simulated["gate_qin0"].astype(int) - chip["gate_qin0"]).max() <= 1


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(UsageError, match="simulation, chip"):
        IntegerEngine(gated(), "gap9")


def test_a_float_graph_is_refused() -> None:
    with pytest.raises(QuantizationError, match="aquant"):
        IntegerEngine(gated(quantize=False))


@pytest.mark.parametrize(
    "batch",
    [
        [],
        [np.ones((1, 3), np.float32)],
        [np.float32(1.0)],
        [np.ones((0, 4), np.float32)],
        [np.full((1, 4), np.nan, np.float32)],
        [np.full((1, 4), np.inf, np.float32)],
        [np.ones((1, 4), np.float32), np.ones((1, 4), np.float32)],
    ],
)
def test_inputs_that_do_not_fit_are_refused(batch: list[np.ndarray]) -> None:
    graph = linear_graph(TensorType((4,)))
    quantize_graph(graph, ranges(input_1=(-1, 1), fc=(-4, 4)))
    with pytest.raises(InputError):
        IntegerEngine(graph).run([np.asarray(array) for array in batch])


def test_constants_join_feature_maps_of_every_sample() -> None:
    given = TensorType((2,))
    graph = Graph("net")
    graph.add(Node("input_1", Input(given, 0), [], (given,)))
    graph.add(constant_node("fixed", np.array([0.5], np.float32)))
    joined = Concat(0)
    edges = [Ref("input_1"), Ref("fixed")]
    graph.add(Node("joined", joined, edges, (TensorType((3,)),)))
    graph.add(Node("relu", Relu(), [Ref("joined")], (TensorType((3,)),)))
    graph.add(Node("output_1", Output(0), [Ref("relu")], (TensorType((3,)),)))
    quantize_graph(graph, ranges(input_1=(-1.0, 1.0), relu=(0.0, 1.0)))
    found = IntegerEngine(graph).run([np.array([[1, -1], [0, 1]], np.float32)])
    assert found["output_1"].tolist() == [[127, 0, 64], [0, 127, 64]]
