"""C names: identifiers, capitalisation, kernel names by kind, clashes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnshell.ir.basic_operators import Input, Output, Reshape
from nnshell.ir.examples import graph_of
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.operator import Example, Operator
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Window
from nnshell.ops.add import Add
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.copy import Copy
from nnshell.ops.global_pool import GlobalAveragePool
from nnshell.ops.linear import Linear
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.mul import Mul
from nnshell.ops.relu import Relu, Relu6
from nnshell.ops.sigmoid import Sigmoid
from nnshell.ops.softmax import Softmax
from nnshell.passes.manager import run_passes
from nnshell.passes.pipelines import SCALE8
from nnshell.support.errors import GraphError
from nnshell.support.settings import Settings
from nnshell.targets.autotiler import render_model
from nnshell.targets.autotiler.build import build
from nnshell.targets.autotiler.header import write_header
from nnshell.targets.autotiler.names import Namer, cap, identifier

Quantizer = Callable[..., Graph]


@pytest.mark.parametrize(
    ("text", "name"),
    [("lenet-5.v2", "lenet_5_v2"), ("5x", "_5x"), ("", "_"), ("é-1", "__1"), ("ok", "ok")],
)
def test_identifiers(text: str, name: str) -> None:
    assert identifier(text) == name


@given(st.text())
def test_an_identifier_is_one_in_c(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", identifier(text))


@pytest.mark.parametrize(
    ("name", "capitalised"),
    [
        ("_conv1_Conv_weights", "_conv1_conv_weights"),
        ("constant_conv1_bias", "Constant_conv1_bias"),
        ("Conv_0_weights", "Conv_0_weights"),
        ("input_1", "Input_1"),
    ],
)
def test_variables_are_capitalised_as_nntool_does(name: str, capitalised: str) -> None:
    assert cap(name) == capitalised


def test_two_owners_get_two_names_and_one_owner_one() -> None:
    namer = Namer()
    assert namer.claim("A", "one") == "A"
    assert namer.claim("A", "one") == "A"
    assert namer.claim("A", "two") == "A_2"
    assert namer.claim("A", "three") == "A_3"


def chain(given: TensorType, *operators: Operator) -> Graph:
    """Operators after each other on one input; constants are found in the operator's examples."""
    graph = Graph("chain")
    ref = Ref(graph.add(Node("input_1", Input(given), [], (given,))).name)
    for number, op in enumerate(operators):
        types = [graph.type_of(ref)]
        node = graph.add(Node(f"n{number}", op, [ref], op.infer(types)))
        ref = Ref(node.name)
    graph.add(Node("output_1", Output(), [ref], (graph.type_of(ref),)))
    return graph


IMAGE = TensorType((3, 8, 8), Layout.CHW)


@pytest.mark.parametrize(
    ("operators", "names"),
    [
        ([MaxPool()], ["S1_MaxPool_2x2"]),
        ([AveragePool(Window((4, 2), (4, 2)))], ["S1_AveragePool_4x2"]),
        ([GlobalAveragePool()], ["S1_Op_n0"]),
        ([Sigmoid()], ["S1_Act_Sigmoid"]),
        ([Reshape((192,)), Softmax()], ["S2_SoftMax"]),
        ([Copy()], ["S1_Op_n0"]),
    ],
)
def test_kernels_are_named_by_kind_and_step(
    operators: Sequence[Operator], names: list[str], quantized: Quantizer
) -> None:
    plan = build(quantized(chain(IMAGE, *operators)), Settings())
    assert [kernel.name for kernel in plan.kernels] == names


@pytest.mark.parametrize(
    ("operators", "name"),
    [
        ([MaxPool(), Relu()], "S1_MaxPool_2x2_Relu"),
        ([AveragePool(Window((8, 8))), Relu6()], "S1_AveragePool_8x8_Relu6"),
        ([GlobalAveragePool(), Relu()], "S1_AveragePool_3x1x1_Relu"),
    ],
)
def test_a_fused_activation_follows_in_the_name(
    operators: Sequence[Operator], name: str, quantized: Quantizer
) -> None:
    graph = chain(IMAGE, *operators)
    run_passes(graph, SCALE8)
    assert [kernel.name for kernel in build(quantized(graph), Settings()).kernels] == [name]


def example(op: type[Operator], number: int) -> Example:
    return op.examples()[number]


@pytest.mark.parametrize(
    ("case", "name"),
    [
        (example(Conv2D, 0), "S3_Conv2d_6x4x3x3"),
        (example(Conv2D, 5), "S3_Conv2d_6x1x3x3"),
        (example(Conv2D, 7), "S3_Conv2d_6x2x1x3"),
        (example(Linear, 1), "S3_Linear_7x24"),
        (example(Add, 0), "S2_MatAdd_3x4x5"),
        (example(Mul, 0), "S2_MatMul_3x4x5"),
    ],
)
def test_filters_and_matrices_are_named_by_their_shape(
    case: Example, name: str, quantized: Quantizer
) -> None:
    assert [k.name for k in build(quantized(graph_of(case)), Settings()).kernels] == [name]


def test_a_chosen_name_replaces_the_kernels(quantized: Quantizer) -> None:
    graph = quantized(chain(IMAGE, MaxPool()))
    graph["n0"].options["NODE_CNAME"] = "my_pool"
    assert 'CNN_PoolAct_SQ8("my_pool"' in render_model(graph)
    assert "chain_my_pool_OUT_SCALE" in write_header(graph, "chain")


@pytest.mark.parametrize("name", ["two words", "1st", 'x"', ""])
def test_a_chosen_name_must_be_an_identifier(name: str, quantized: Quantizer) -> None:
    graph = quantized(chain(IMAGE, MaxPool()))
    graph["n0"].options["NODE_CNAME"] = name
    if not name:  # an option without a value names nothing
        assert "S1_MaxPool_2x2" in render_model(graph)
        return
    with pytest.raises(GraphError, match="identifier"):
        render_model(graph)


def test_a_chosen_name_is_given_once(quantized: Quantizer) -> None:
    graph = quantized(chain(IMAGE, MaxPool(), Sigmoid()))
    for name in ("n0", "n1"):
        graph[name].options["NODE_CNAME"] = "same"
    with pytest.raises(GraphError, match="taken by node n0"):
        render_model(graph)


def test_names_are_hashed_but_for_ports_and_constants(quantized: Quantizer) -> None:
    graph = quantized(graph_of(example(Conv2D, 0)))
    text = render_model(graph, anonymise=True)
    assert '"Input_1"' in text and '"Output_1"' in text and '"Constant_1"' in text
    assert "Conv2d" not in text and "Mul_scale" not in text
    kernels = re.findall(r'AddNode\("(S3_[0-9a-f]{10})"', text)
    assert len(kernels) == 1
    assert f"_{kernels[0]}_OUT_SCALE" in write_header(graph, "g", anonymise=True)


def test_nodes_that_differ_in_case_get_files_of_their_own(quantized: Quantizer) -> None:
    graph = graph_of(example(Conv2D, 0))
    graph.replace_node("constant_2", _renamed(graph["constant_2"], "CONSTANT_1"))
    names = [v.name for v in build(quantized(graph), Settings()).constants]
    assert names[:2] == ["Constant_1", "Constant_1_2"]


def _renamed(node: Node, name: str) -> Node:
    twin = node.copy()
    twin.name = name
    return twin
