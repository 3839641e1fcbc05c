"""Graphs as text: what is printed is parsed back, and what cannot be read is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nnshell.ops  # noqa: F401 - fills the registry
from nnshell.execution.float_engine import FloatEngine
from nnshell.importers.onnx.importer import import_onnx
from nnshell.ir.basic_operators import Constant
from nnshell.ir.examples import graph_of
from nnshell.ir.graph import Graph
from nnshell.ir.operator import OPERATORS, Example
from nnshell.ir.text import large_constants, parse_graph, print_graph
from nnshell.ir.verify import verify
from nnshell.support.errors import GraphError

EXAMPLES = [
    pytest.param(example, id=f"{kind} {number} {example.name}".strip())
    for kind, operator in OPERATORS.items()
    for number, example in enumerate(operator.examples())
]

FUSION = """\
graph fused
%input_1 = input : 3x8x8 chw
%weights = constant : 4x3x3x3 = normal(1)
%biases = constant : 4 = [0.5, 0.0, -1.0, 2.0]
%conv_fusion = fusion(%input_1, %weights, %biases) {name='conv_fusion_conv_active_pool'} : 4x3x3 chw (
  %in_0 = fusion_input : 3x8x8 chw
  %in_1 = fusion_input {index=1} : 4x3x3x3
  %in_2 = fusion_input {index=2} : 4
  %conv = conv2d(%in_0, %in_1, %in_2) {window=Window(kernel=(3, 3))} : 4x6x6 chw
  %relu = relun(%conv) {upper=4.5} : 4x6x6 chw
  %pool = max_pool(%relu) : 4x3x3 chw
  %out_0 = fusion_output(%pool) : 4x3x3 chw
)
%parts = split(%conv_fusion) {sizes=(1, 3)} : 1x3x3 chw, 3x3x3 chw
%low = clip(%parts[1]) {minimum=-1.5, maximum=0.25} : 3x3x3 chw
%output_1 = output(%low) : 3x3x3 chw
%output_2 = output(%parts) {index=1} : 1x3x3 chw
"""  # noqa: E501 - a line of the text form


def same(first: Graph, second: Graph) -> bool:
    """Equal nodes in the same order, constants bit for bit."""
    if list(first.nodes) != list(second.nodes) or first.name != second.name:
        return False
    for node, twin in zip(first, second, strict=True):
        if (node.inputs, node.outputs, node.kind) != (twin.inputs, twin.outputs, twin.kind):
            return False
        if isinstance(node.op, Constant) and isinstance(twin.op, Constant):
            if not np.array_equal(node.op.value, twin.op.value):
                return False
        elif node.op != twin.op:
            return False
        bodies = (node.body, twin.body)
        if bodies[0] is not None and (bodies[1] is None or not same(bodies[0], bodies[1])):
            return False
    return True


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_is_printed_is_parsed_back(example: Example) -> None:
    graph = graph_of(example)
    twin = parse_graph(print_graph(graph), large_constants(graph))
    verify(twin)
    assert same(graph, twin)


def test_fusions_are_printed_with_their_body() -> None:
    graph = parse_graph(FUSION)
    verify(graph)
    printed = print_graph(graph)
    assert printed == FUSION.replace("= normal(1)", "= value(weights)")
    assert same(parse_graph(printed, large_constants(graph)), graph)


def test_a_parsed_graph_runs() -> None:
    results = FloatEngine(parse_graph(FUSION), threads=1).run([np.ones((2, 3, 8, 8), np.float32)])
    assert results["output_1"].shape == (2, 3, 3, 3)
    assert results["output_1"].max() <= 0.25


def test_types_may_be_left_out() -> None:
    graph = parse_graph("%x = input : 3x4x4 chw\n# a comment\n\n%y = relu(%x)\n%o = output(%y)\n")
    assert str(graph["y"].type) == "3x4x4"


def test_seeds_say_the_same_every_time() -> None:
    text = "%c = constant : 2x3 = normal(7)\n%d = constant : 2 = ones\n%e = constant : 1 = zeros"
    first, second = parse_graph(text), parse_graph(text)
    assert same(first, second)
    assert first["d"].op.value.tolist() == [1.0, 1.0]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("%x = input", "line 1"),
        ("%x = input : 3\n%y = frobnicate(%x)", "no operator is called 'frobnicate' (line 2)"),
        ("%x = input : 3\n%y = relu(x)", "'x' is not an input (line 2)"),
        ("%x = input : 3\n%y = relu(%z)", "no node is called %z (line 2)"),
        ("%x = input : 3\n%y = linear(%x)", "too few or too many inputs"),
        ("%x = input : 3\n%y = relu(%x[2])", "too few or too many inputs"),
        ("%x = input : 3\n%y = relu(%x) : 4", "%y is 3 (line 2)"),
        ("%x = input : 3xa", "'3xa' is not a type (line 1)"),
        ("%x = input : 3\n%y = softmax(%x) {axis=__import__('os')}", "cannot be read (line 2)"),
        ("%x = input : 3\n%y = softmax(%x) {wrong=1}", "line 2"),
        ("%c = constant : 40 = value(c)", "no value is given for 'c'"),
        ("%c = constant : 3 = [1, 2]", "cannot be read (line 1)"),
        ("what is this", "cannot be read: what is this (line 1)"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, message: str) -> None:
    with pytest.raises(GraphError) as caught:
        parse_graph(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["pulp_dronet_v2.onnx", "ultraface_rfb_320.onnx"])
def test_real_models_are_printed_and_parsed_back(name: str, test_data: Path) -> None:
    graph = import_onnx(test_data / "models" / name).graph
    assert same(parse_graph(print_graph(graph), large_constants(graph)), graph)
