"""The Infos records byte by byte, and the other constants that a kernel gets."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest

from nnshell.ir.basic_operators import Input, Output
from nnshell.ir.examples import graph_of
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.operator import Operator
from nnshell.ir.qparams import QParams
from nnshell.ir.types import Layout, TensorType
from nnshell.numeric.fixed_point import derive_multiplier
from nnshell.ops.add import Add
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.global_pool import GlobalAveragePool, GlobalMaxPool
from nnshell.ops.hard_sigmoid import HardSigmoid
from nnshell.ops.leaky_relu import LeakyRelu
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.relu import Relu, Relu6
from nnshell.ops.sigmoid import Sigmoid
from nnshell.ops.softmax import Softmax
from nnshell.ops.tanh import Tanh
from nnshell.passes.manager import run_passes
from nnshell.passes.pipelines import SCALE8
from nnshell.support.errors import GraphError
from nnshell.support.settings import Settings
from nnshell.targets.autotiler.build import build
from nnshell.targets.autotiler.infos import Record
from nnshell.targets.autotiler.moves import convert_record
from nnshell.targets.autotiler.plan import Plan

Quantizer = Callable[..., Graph]
IMAGE = TensorType((3, 8, 8), Layout.CHW)


def chain(*operators: Operator, given: TensorType = IMAGE) -> Graph:
    graph = Graph("chain")
    ref = Ref(graph.add(Node("input_1", Input(given), [], (given,))).name)
    for number, op in enumerate(operators):
        made = op.infer([graph.type_of(ref)])
        ref = Ref(graph.add(Node(f"n{number}", op, [ref], made)).name)
    graph.add(Node("output_1", Output(), [ref], (graph.type_of(ref),)))
    return graph


def behind_filter(*operators: Operator) -> Graph:
    """A convolution with ``operators`` after it, fused."""
    graph = graph_of(Conv2D.examples()[0])
    ref, made = Ref("node"), graph["node"].type
    for number, op in enumerate(operators):
        node = graph.add(Node(f"a{number}", op, [ref], op.infer([made])))
        ref, made = Ref(node.name), node.type
    graph["output_1"].inputs = [ref]
    graph.infer_types()
    run_passes(graph, SCALE8)
    assert len([node for node in graph if node.body is not None]) == 1
    return graph


def infos(plan: Plan) -> bytes:
    found = [v for v in plan.constants if v.name.endswith("_Infos")]
    assert len(found) == 1
    return found[0].file_bytes()


def pair(scale: float) -> tuple[int, int]:
    made = derive_multiplier(scale)
    return int(made.multiplier[0]), int(made.shift[0])


def record_of(graph: Graph, name: str, inner: str = "") -> QParams:
    node = graph[name]
    if inner:
        assert node.body is not None
        node = node.body[inner]
    assert node.quantization is not None
    return node.quantization.output


def test_a_filter_without_activation_has_an_empty_record(quantized: Quantizer) -> None:
    assert infos(build(quantized(graph_of(Conv2D.examples()[0])), Settings())) == bytes(13)


@pytest.mark.parametrize(("op", "upper"), [(Relu(), 0), (Relu6(), 127)])
def test_a_rectifier_behind_a_filter(op: Operator, upper: int, quantized: Quantizer) -> None:
    graph = quantized(behind_filter(op))
    zero = record_of(graph, "node_fusion").zero_point
    assert infos(build(graph, Settings())) == bytes([1, 0, zero & 255, 0, upper]) + bytes(8)


def test_leaky_relu_behind_a_filter(quantized: Quantizer) -> None:
    graph = quantized(behind_filter(LeakyRelu(0.1)))
    zero = record_of(graph, "node_fusion").zero_point
    assert infos(build(graph, Settings())) == bytes([1, 0, 13, 0, zero & 255]) + bytes(8)


def test_hard_sigmoid_behind_a_filter(quantized: Quantizer) -> None:
    graph = quantized(behind_filter(HardSigmoid(1 / 6)))
    assert infos(build(graph, Settings())) == bytes([1, 0, 127, 0, 64, 0, 0]) + bytes(6)


@pytest.mark.parametrize("op", [Sigmoid(), Tanh()])
def test_a_table_behind_a_filter(op: Operator, quantized: Quantizer) -> None:
    assert infos(build(quantized(behind_filter(op)), Settings())) == bytes([127, 15]) + bytes(11)


def test_a_pool_scales_by_one(quantized: Quantizer) -> None:
    assert infos(build(quantized(chain(MaxPool())), Settings())) == bytes([1]) + bytes(12)


def test_a_global_average_divides_by_128(quantized: Quantizer) -> None:
    graph = quantized(chain(GlobalAveragePool()))
    ratio = record_of(graph, "input_1").first_scale / record_of(graph, "n0").first_scale
    assert infos(build(graph, Settings())) == bytes(8) + bytes(pair(ratio / 128)) + bytes(3)


def test_a_global_maximum_keeps_all_bits(quantized: Quantizer) -> None:
    assert infos(build(quantized(chain(GlobalMaxPool())), Settings())) == bytes([1]) + bytes(12)


def test_softmax_shifts_its_input_to_15_bits(quantized: Quantizer) -> None:
    graph = quantized(chain(Softmax(), given=TensorType((10,))))
    scale = record_of(graph, "input_1").first_scale
    exponent = int(np.log2(scale))
    assert 2.0**exponent == scale
    assert infos(build(graph, Settings())) == bytes([15 + exponent]) + bytes(12)


@pytest.mark.parametrize("swapped", [False, True])
def test_add_binds_the_larger_scale_first(swapped: bool, quantized: Quantizer) -> None:
    graph = Graph("sum")
    for index in range(2):
        graph.add(Node(f"input_{index + 1}", Input(IMAGE, index), [], (IMAGE,)))
    quarter = graph.add(Node("small", HardSigmoid(), [Ref("input_1")], (IMAGE,)))
    operands = [Ref("input_2"), Ref(quarter.name)]
    graph.add(Node("node", Add(), operands[::-1] if swapped else operands, (IMAGE,)))
    graph.add(Node("output_1", Output(), [Ref("node")], (IMAGE,)))
    plan = build(quantized(graph), Settings())
    kernel = next(k for k in plan.kernels if k.node == "node")
    assert [b.variable for b in kernel.bindings][:2] == [
        "Input_2",
        plan.kernels[0].bindings[1].variable,
    ]
    big, small = (record_of(graph, n).first_scale for n in ("input_2", "small"))
    assert big > small
    out = record_of(graph, "node").first_scale
    record = next(v for v in plan.constants if v.name == kernel.bindings[3].variable)
    assert record.file_bytes() == bytes(8) + bytes((*pair(big / small), *pair(small / out), 0))


def test_multipliers_shifts_and_biases_have_their_own_element_types(quantized: Quantizer) -> None:
    graph = quantized(graph_of(Conv2D.examples()[0]))
    plan = build(graph, Settings())
    kernel = graph["node"].quantization
    assert kernel is not None
    by_name = {v.name: v for v in plan.constants}
    assert {n: v.dtype for n, v in by_name.items()} == {
        "Constant_1": "int8",
        "Constant_2": "int32",
        "S3_Mul_scale": "uint8",
        "S3_Mul_shift": "int8",
        "S3_Infos": "int8",
    }
    bias = struct.unpack("<6i", by_name["Constant_2"].file_bytes())
    assert list(bias) == kernel.kernel.bias.tolist()
    assert by_name["Constant_1"].file_bytes() == kernel.kernel.weights.tobytes()


def test_a_negative_byte_is_not_extended() -> None:
    record = Record.empty()
    record.put(2, -128)
    assert record.array().tobytes()[2:4] == b"\x80\x00"


def test_what_a_byte_cannot_hold_is_refused() -> None:
    with pytest.raises(GraphError, match="does not fit"):
        Record.empty().put(2, 128)


def params(scale: float, zero_point: int = 0, dtype: str = "int8") -> QParams:
    return QParams(np.array([scale]), zero_point, dtype)


def test_a_convert_record_holds_an_offset_and_seven_bits() -> None:
    made = convert_record(params(113 / 128 * 0.5), params(0.5)).content
    assert made == bytes([0, 0, 0, 0, 113, 0, 7, 0])
    shifted = convert_record(params(0.5, 10), params(0.25, -128)).content
    assert struct.unpack("<i", shifted[:4])[0] == -128 // 2 - 10


def test_a_convert_record_of_zero_points_only() -> None:
    assert convert_record(params(0.5, 3), params(0.5, 5)).content == bytes([254]) + bytes(7)
    unsigned = convert_record(params(0.5, 3, "uint8"), params(0.5, 5, "uint8")).content
    assert unsigned == bytes([2]) + bytes(7)
