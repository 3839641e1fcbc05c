"""Selectors pick nodes by step, name, pattern, range and list, and refuse what matches nothing."""

from __future__ import annotations

import pytest

from nnshell.ir.basic_operators import Fusion, FusionInput, FusionOutput, Input, Output
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.select import select, select_one
from nnshell.ir.types import TensorType
from nnshell.ops.relu import Relu
from nnshell.ops.sigmoid import Sigmoid
from nnshell.support.errors import GraphError

VECTOR = TensorType((4,))


def unary(name: str, op: Relu | Sigmoid, source: str) -> Node:
    return Node(name, op, [Ref(source)], (VECTOR,))


@pytest.fixture
def graph() -> Graph:
    """input_1, conv_a, conv_b, relu, f_fusion (with tail_x and tail_y), output_1: steps 0 to 5."""
    body = Graph("f_fusion")
    body.add(Node("f_fusion_in_0", FusionInput(VECTOR, 0), [], (VECTOR,)))
    body.add(unary("tail_x", Sigmoid(), "f_fusion_in_0"))
    body.add(unary("tail_y", Relu(), "tail_x"))
    body.add(Node("f_fusion_out_0", FusionOutput(0), [Ref("tail_y")], (VECTOR,)))
    graph = Graph("small")
    graph.add(Node("input_1", Input(VECTOR), [], (VECTOR,)))
    graph.add(unary("conv_a", Sigmoid(), "input_1"))
    graph.add(unary("conv_b", Sigmoid(), "conv_a"))
    graph.add(unary("relu", Relu(), "conv_b"))
    graph.add(Node("f_fusion", Fusion("test"), [Ref("relu")], (VECTOR,), body=body))
    graph.add(Node("output_1", Output(), [Ref("f_fusion")], (VECTOR,)))
    return graph


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("3", "relu"),
        ("-1", "output_1"),
        ("conv_b", "conv_b"),
        ("conv*", "conv_a conv_b"),
        ("*", "input_1 conv_a conv_b relu f_fusion output_1"),
        ("1:3", "conv_a conv_b relu"),
        (":1", "input_1 conv_a"),
        ("4:", "f_fusion output_1"),
        ("4:-1", "f_fusion output_1"),
        ("conv_a:relu", "conv_a conv_b relu"),
        ("2 : 2", "conv_b"),
        ("3, 1 ,conv_b", "relu conv_a conv_b"),
        ("1,1:2,conv*", "conv_a conv_b"),
        ("4_0", "f_fusion/tail_x"),
        ("f_fusion/tail_y", "f_fusion/tail_y"),
        ("f_fusion/*", "f_fusion/tail_x f_fusion/tail_y"),
        ("tail_x", "f_fusion/tail_x"),
    ],
)
def test_selects_by(graph: Graph, text: str, keys: str) -> None:
    found = select(graph, text)
    assert [key for key, _ in found] == keys.split()
    assert all(key.rpartition("/")[2] == node.name for key, node in found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("6", "no step 6"),
        ("-7", "steps go from 0 to 5"),
        ("99999999999999999999999", "no step"),
        ("conv_c", "did you mean conv_"),
        ("CONV_AA", "did you mean conv_a"),
        ("zzz*", "no node matches 'zzz*'"),
        ("*f_fusion/nothing", "no node matches"),
        ("3:1", "type 1:3"),
        ("nowhere:2", "no node is called 'nowhere'"),
        ("3_0", "not a fusion"),
        ("4_2", "4_0 to 4_1"),
        ("9_0", "no step 9"),
        ("", "is not a selector"),
        ("1,,2", "is not a selector"),
    ],
)
def test_refuses(graph: Graph, text: str, words: str) -> None:
    with pytest.raises(GraphError) as caught:
        select(graph, text)
    assert words in str(caught.value)


def test_select_one_refuses_several(graph: Graph) -> None:
    assert select_one(graph, "relu")[0] == "relu"
    with pytest.raises(GraphError, match="selects 2 nodes"):
        select_one(graph, "conv*")
