"""Formatter, cuts, extraction and frozen inputs: what users change by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nnshell.execution.float_engine import FloatEngine
from nnshell.ir.graph import Graph
from nnshell.ir.types import Layout, TensorType
from nnshell.ops.add import Add
from nnshell.ops.image_format import ImageFormat
from nnshell.ops.relu import Relu
from nnshell.ops.tanh import Tanh
from nnshell.ops.transpose import Transpose
from nnshell.passes.edit import extract_step, freeze_io, insert_image_format, remove_nodes
from nnshell.passes.regions import FROZEN
from nnshell.support.errors import GraphError, NNShellError, UsageError

from .nets import Net, lines, sample, text


@pytest.fixture
def graph() -> Graph:
    net = Net(3, 6, 5)
    y = net.node("relu", Relu(), net.conv(net.x, 4))
    z = net.node("tanh", Tanh(), y)
    return net.output(net.linear(z, 2))


def test_formatter_follows_the_input_which_takes_pixels(graph: Graph) -> None:
    insert_image_format(graph, "input_1", "rgb888", "offset_int8")
    assert text(graph).splitlines()[:3] == [
        "input_1 = input : 6x5x3",
        "input_1_formatter = image_format input_1 : 3x6x5",
        "conv = conv2d input_1_formatter : 4x4x3",
    ]
    assert graph["input_1"].type == TensorType((6, 5, 3), Layout.HWC, "uint8")
    assert graph.step_numbers()["input_1_formatter"] == 1


def test_formatter_gives_the_network_what_the_pixels_mean(graph: Graph) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size=(2, 6, 5, 3)).astype(np.uint8)
    values = (pixels / np.float32(128) - 1).transpose(0, 3, 1, 2).astype(np.float32)
    expected = FloatEngine(graph, threads=1).run([values])["output_1"]
    insert_image_format(graph, "input_1", "rgb888", "offset_int8", scale=1 / 128, offset=-1.0)
    found = FloatEngine(graph, threads=1).run([pixels])["output_1"]
    assert np.allclose(found, expected, atol=1e-5)


def test_second_formatter_replaces_the_first(graph: Graph) -> None:
    insert_image_format(graph, "input_1", "rgb888", "offset_int8")
    insert_image_format(graph, "input_1", "rgb565_rgb888", "shift_int8")
    assert graph["input_1_formatter"].op == ImageFormat("rgb565_rgb888", "shift_int8")
    assert graph["input_1"].type == TensorType((6, 5, 1), Layout.HWC, "uint16")
    assert [node.kind for node in graph].count("image_format") == 1


def test_none_none_takes_the_formatter_out(graph: Graph) -> None:
    before = text(graph)
    insert_image_format(graph, "input_1", "rgb888", "offset_int8")
    insert_image_format(graph, "input_1", "none", "none")
    assert text(graph) == before and graph["input_1"].type.dtype == "float32"
    (record,) = insert_image_format(graph, "input_1", "none", "none")
    assert not record.changed and "has no formatter" in record.notes[0].text


@pytest.mark.parametrize(
    ("name", "format", "norm", "error", "words"),
    [
        ("input_2", "rgb888", "offset_int8", GraphError, "inputs: input_1"),
        ("conv", "rgb888", "offset_int8", GraphError, "inputs: input_1"),
        ("input_1", "rgb999", "offset_int8", UsageError, "one of rgb888, rgb565_rgb888"),
        ("input_1", "rgb888", "halve", UsageError, "one of shift_int8, offset_int8"),
        ("input_1", "bw8", "offset_int8", GraphError, "formats that fit: rgb888, rgb565_rgb888"),
    ],
)
def test_formatter_that_does_not_fit_changes_nothing(
    graph: Graph, name: str, format: str, norm: str, error: type[NNShellError], words: str
) -> None:
    before = text(graph)
    with pytest.raises(error) as caught:
        insert_image_format(graph, name, format, norm)
    assert words in str(caught.value) and text(graph) == before


def test_formatter_needs_a_feature_map() -> None:
    net = Net(12)
    graph = net.output(net.linear(net.x, 2))
    with pytest.raises(GraphError, match="channels x height x width"):
        insert_image_format(graph, "input_1", "bw8", "offset_int8")


def test_nodes_between_two_nodes_go(graph: Graph) -> None:
    remove_nodes(graph, "conv", "linear")
    assert text(graph) == lines(
        """
        input_1 = input : 3x6x5
        conv = conv2d input_1 : 4x4x3
        linear = linear conv : 2
        output_1 = output linear : 2
        """
    )


def test_nodes_that_change_the_shape_cannot_go(graph: Graph) -> None:
    before = text(graph)
    with pytest.raises(GraphError, match="cannot connect input_1"):
        remove_nodes(graph, "input_1", "tanh")
    with pytest.raises(GraphError, match="type `remove conv tanh`"):
        remove_nodes(graph, "tanh", "conv")
    assert text(graph) == before


def test_node_and_all_behind_it_go(graph: Graph) -> None:
    remove_nodes(graph, "tanh")
    assert text(graph).splitlines()[-2:] == [
        "relu = relu conv : 4x4x3",
        "output_1 = output relu : 4x4x3",
    ]


def test_all_behind_a_node_that_is_left_go(graph: Graph) -> None:
    remove_nodes(graph, "tanh", leave=True)
    assert text(graph).splitlines()[-1] == "output_1 = output tanh : 4x4x3"


def test_node_and_all_before_it_go(graph: Graph) -> None:
    remove_nodes(graph, "relu", up=True)
    assert text(graph) == lines(
        """
        input_1 = input : 4x4x3
        tanh = tanh input_1 : 4x4x3
        linear = linear tanh : 2
        output_1 = output linear : 2
        """
    )
    assert FloatEngine(graph, threads=1).run(sample(graph))["output_1"].shape == (2, 2)


def test_branch_that_is_not_cut_keeps_its_input() -> None:
    net = Net(2, 3, 3)
    other = net.input(2, 3, 3)
    total = net.node("sum", Add(), net.node("relu", Relu(), net.x), net.node("tanh", Tanh(), other))
    graph = net.output(net.node("end", Relu(), total))
    remove_nodes(graph, "relu", up=True)
    assert text(graph) == lines(
        """
        input_2 = input : 2x3x3
        tanh = tanh input_2 : 2x3x3
        input_3 = input : 2x3x3
        sum = add input_3 tanh : 2x3x3
        end = relu sum : 2x3x3
        output_1 = output end : 2x3x3
        """
    )


def test_cut_that_leaves_nothing_is_refused(graph: Graph) -> None:
    before = text(graph)
    with pytest.raises(GraphError, match="nothing would be left"):
        remove_nodes(graph, "input_1")
    with pytest.raises(GraphError, match="did you mean relu"):
        remove_nodes(graph, "reul")
    assert text(graph) == before


@pytest.mark.parametrize("leave", [False, True])
@pytest.mark.parametrize(("port", "up"), [("input_1", True), ("output_1", False)])
def test_cut_at_an_end_of_the_graph_is_refused(
    graph: Graph, port: str, up: bool, leave: bool
) -> None:
    before = text(graph)
    with pytest.raises(GraphError, match=f"nothing .* {port}"):
        remove_nodes(graph, port, up=up, leave=leave)
    assert text(graph) == before


@pytest.mark.parametrize("last", [None, "tanh"])
def test_constant_is_no_place_to_cut(graph: Graph, last: str | None) -> None:
    before = text(graph)
    with pytest.raises(GraphError, match="conv_weights is a constant"):
        remove_nodes(graph, "conv_weights", last, leave=last is None)
    assert text(graph) == before


def test_pixels_are_no_output(graph: Graph) -> None:
    insert_image_format(graph, "input_1", "rgb888", "offset_int8")
    before = text(graph)
    with pytest.raises(GraphError, match="input_1 gives uint8 pixels"):
        remove_nodes(graph, "input_1_formatter")
    assert text(graph) == before


def test_one_step_is_extracted_with_its_constants(graph: Graph) -> None:
    extract_step(graph, "conv")
    assert text(graph) == lines(
        """
        input_1 = input : 3x6x5
        conv = conv2d input_1 : 4x4x3
        output_1 = output conv : 4x4x3
        """
    )


def test_step_with_several_tensors_is_extracted() -> None:
    net = Net(2, 3, 3)
    total = net.node("sum", Add(), net.node("relu", Relu(), net.x), net.x)
    graph = net.output(net.node("end", Relu(), total))
    extract_step(graph, "sum")
    assert text(graph) == lines(
        """
        input_1 = input : 2x3x3
        input_2 = input : 2x3x3
        sum = add input_1 input_2 : 2x3x3
        output_1 = output sum : 2x3x3
        """
    )


def test_input_cannot_be_extracted(graph: Graph) -> None:
    with pytest.raises(GraphError, match="nothing to extract"):
        extract_step(graph, "input_1")


def test_frozen_input_and_output_are_marked_and_released(graph: Graph) -> None:
    for name in ("input_1", "output_1"):
        freeze_io(graph, name)
        assert FROZEN in graph[name].options
        freeze_io(graph, name, frozen=False)
        assert FROZEN not in graph[name].options
    with pytest.raises(GraphError, match="there are input_1, output_1"):
        freeze_io(graph, "conv")


def test_frozen_input_takes_another_order(graph: Graph) -> None:
    values = sample(graph)[0]
    expected = FloatEngine(graph, threads=1).run([values])["output_1"]
    freeze_io(graph, "input_1", transpose=(1, 2, 0))
    assert graph["input_1"].type == TensorType((6, 5, 3), Layout.HWC)
    assert graph["input_1_transpose"].op == Transpose((2, 0, 1))
    found = FloatEngine(graph, threads=1).run([values.transpose(0, 2, 3, 1)])["output_1"]
    assert np.array_equal(found, expected)


def test_frozen_output_takes_another_order() -> None:
    net = Net(2, 3, 4)
    graph = net.output(net.node("relu", Relu(), net.x))
    freeze_io(graph, "output_1", transpose=(1, 2, 0))
    assert graph["output_1"].type.shape == (3, 4, 2)
    with pytest.raises(GraphError, match="name each axis from 0 to 2 once"):
        freeze_io(graph, "output_1", transpose=(0, 0, 1))
