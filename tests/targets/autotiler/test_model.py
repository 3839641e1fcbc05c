"""model.c: options, memories, controls, arguments, stacked tensors and bindings."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nnshell.ir.basic_operators import Input, Output, Reshape
from nnshell.ir.examples import graph_of
from nnshell.ir.graph import Graph, Node, Ref, constant_node
from nnshell.ir.operator import Operator
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Window
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.concat import Concat
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.image_format import ImageFormat
from nnshell.ops.matmul import MatMul
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.relu import Relu
from nnshell.ops.split import Split
from nnshell.ops.tanh import Tanh
from nnshell.ops.transpose import Transpose
from nnshell.support.errors import GraphError, QuantizationError, UsageError
from nnshell.support.settings import Settings
from nnshell.targets.autotiler import render_model
from nnshell.targets.autotiler.options import c_string, option_lines

Quantizer = Callable[..., Graph]
IMAGE = TensorType((4, 8, 8), Layout.CHW)


def network(outputs: list[str], *nodes: tuple[str, Operator, list[str]]) -> Graph:
    """Nodes on ``input_1``; references are names, ``name:1`` is output 1."""
    graph = Graph("net")
    graph.add(Node("input_1", Input(IMAGE), [], (IMAGE,)))
    for name, op, inputs in nodes:
        refs = [_ref(text) for text in inputs]
        graph.add(Node(name, op, refs, op.infer([graph.type_of(ref) for ref in refs])))
    for index, text in enumerate(outputs):
        ref = _ref(text)
        graph.add(Node(f"output_{index + 1}", Output(index), [ref], (graph.type_of(ref),)))
    return graph


def _ref(text: str) -> Ref:
    name, _, index = text.partition(":")
    return Ref(name, int(index or 0))


def bindings(text: str) -> dict[str, list[str]]:
    """Variables of each AddNode, by kernel."""
    found = re.findall(r'AddNode\("(\w+)", Bindings\((\d+),\n(.*?)\)\);', text, re.DOTALL)
    made = {name: re.findall(r'"(\w+)"', body) for name, _, body in found}
    assert all(len(made[name]) == int(count) for name, count, _ in found)
    return made


def arguments(text: str) -> tuple[list[str], list[str]]:
    """Names of the graph's arguments and of its local tensors."""
    graph, _, inner = text.partition("CreateGraph")[2].partition("AddNode")[0].rpartition("CArgs(")
    names = re.compile(r'TCArgInfoA?\("[^"]*", "(\w+)"')
    return names.findall(graph), names.findall(inner)


# -- settings ------------------------------------------------------------------------------


def test_defaults_write_no_option() -> None:
    assert option_lines(Settings()) == []


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        (
            "graph_produce_node_names",
            True,
            "AT_SetGraphCtrl(AT_GRAPH_PRODUCE_NODE_NAMES, AT_OPT_ON);",
        ),
        (
            "graph_reorder_constant_in",
            False,
            "AT_SetGraphCtrl(AT_GRAPH_REORDER_CONSTANT_IN, AT_OPT_OFF);",
        ),
        ("graph_warm_construct", 3, "AT_SetGraphCtrl(AT_GRAPH_WARM_CONSTRUCT, AT_OPT_VAL(3));"),
        ("graph_dump_one_node", "S3", 'AT_SetGraphCtrl(AT_GRAPH_DUMP_ONE_NODE, AT_OPT_VAL("S3"));'),
        ("kernel_buffer_promote", False, "AT_SetKernelCtrl(AT_KERNEL_BUFFER_PROMOTE, AT_OPT_OFF);"),
        (
            "graph_pref_l3_exec",
            "AT_MEM_L3_QSPIRAM",
            "AT_SetGraphCtrl(AT_GRAPH_PREF_L3_EXEC, AT_OPT_VAL(AT_MEM_L3_QSPIRAM));",
        ),
    ],
)
def test_an_option_that_differs_is_a_line(name: str, value: bool | int | str, line: str) -> None:
    settings = Settings()
    settings.assign(name, value)
    assert option_lines(settings) == [line]


def test_kernel_options_come_before_graph_options() -> None:
    settings = Settings()
    settings.assign("graph_checksum", 1)
    settings.assign("kernel_nosolution_error", False)
    assert [line.partition("(")[0] for line in option_lines(settings)] == [
        "AT_SetKernelCtrl",
        "AT_SetGraphCtrl",
    ]


def test_memories_follow_their_settings(quantized: Quantizer) -> None:
    settings = Settings()
    settings.assign("l3_ram_device", "AT_MEM_L3_QSPIRAM")
    settings.assign("l3_flash_device", "AT_MEM_L3_QSPIFLASH")
    settings.assign("default_global_home_location", "AT_MEM_L3_QSPIFLASH")
    settings.assign("l3_ram_ext_managed", True)
    settings.assign("l2_size", 400000)
    text = render_model(quantized(network(["a"], ("a", MaxPool(), ["input_1"]))), settings)
    assert 'AT_MEM_L3_QSPIRAM, L3Memory, "net_L3_Memory", 0, 1' in text
    assert 'AT_MEM_L3_QSPIFLASH, L3Flash, "net_L3_Flash", "net_L3_Flash_Const.dat", 0' in text
    assert (
        '"S1_Infos", ARG_SCOPE_GLOBAL, ARG_DIR_CONSTIN, AT_MEM_L3_QSPIFLASH, AT_MEM_UNDEF' in text
    )
    assert "netModel(64000, 400000, 8000000, 64*1024*1024);" in text


def test_a_device_that_does_not_exist_is_refused(quantized: Quantizer) -> None:
    settings = Settings()
    settings.assign("l3_ram_device", "AT_MEM_L3_TAPE")
    with pytest.raises(UsageError, match="l3_ram_device does not take 'AT_MEM_L3_TAPE'"):
        render_model(quantized(network(["a"], ("a", MaxPool(), ["input_1"]))), settings)


def test_a_place_that_does_not_exist_is_refused(quantized: Quantizer) -> None:
    settings = Settings()
    settings.assign("default_local_home_location", 'AT_MEM_L2, "x"')
    graph = network(["b"], ("a", MaxPool(), ["input_1"]), ("b", Tanh(), ["a"]))
    with pytest.raises(UsageError, match="default_local_home_location"):
        render_model(quantized(graph), settings)


def test_a_project_header_can_be_included(quantized: Quantizer) -> None:
    settings = Settings()
    settings.assign("include_project_header", True)
    text = render_model(quantized(network(["a"], ("a", MaxPool(), ["input_1"]))), settings)
    assert '#include "net.h"' in text


def test_the_graph_name_can_be_set(quantized: Quantizer) -> None:
    settings = Settings()
    settings.assign("graph_name", "my-net")
    text = render_model(quantized(network(["a"], ("a", MaxPool(), ["input_1"]))), settings)
    assert 'CreateGraph("my_netCNN"' in text and "void my_netModel(" in text


@given(st.text())
def test_any_text_is_one_c_string(text: str) -> None:
    quoted = c_string(text)
    assert quoted.isascii() and quoted.isprintable()
    assert re.fullmatch(r'"([^"\\]|\\.)*"', quoted)


# -- node options --------------------------------------------------------------------------


def test_ports_can_be_allocated_or_belong_to_the_application(quantized: Quantizer) -> None:
    graph = quantized(network(["a"], ("a", MaxPool(), ["input_1"])))
    graph["input_1"].options.update(ALLOCATE="1", EXTERN_INPUT_POINTER="")
    graph["output_1"].options["ALLOCATE"] = "0"
    text = render_model(graph)
    assert (
        'TCArgInfoA("signed char * __restrict__", "Input_1", ARG_SCOPE_ARG_ALLOC, ARG_DIR_IN'
        in text
    )
    assert '"Output_1", ARG_SCOPE_ARG, ARG_DIR_OUT, AT_MEM_L2, AT_MEM_L2, 0)' in text


def test_a_tensor_can_be_placed(quantized: Quantizer) -> None:
    graph = quantized(network(["b"], ("a", MaxPool(), ["input_1"]), ("b", Tanh(), ["a"])))
    graph["a"].options.update(OUT_HOME_MEM_LOC="AT_MEM_L2", OUT_EXEC_MEM_LOC="L2")
    text = render_model(graph)
    assert '"S1_Output", ARG_SCOPE_LOCAL, ARG_DIR_INOUT, AT_MEM_L2, AT_MEM_L2, 0)' in text
    graph["a"].options["OUT_HOME_MEM_LOC"] = "attic"
    with pytest.raises(UsageError, match="OUT_HOME_MEM_LOC of a does not take 'attic'"):
        render_model(graph)


def test_generator_options_become_a_control_block(quantized: Quantizer) -> None:
    graph = quantized(network(["a"], ("a", MaxPool(), ["input_1"])))
    graph["a"].options.update(PARALLELFEATURES="0", TILEORIENTATION="1")
    text = render_model(graph)
    block = "gen_ctrl_S1_MaxPool_2x2"
    lines = [
        f"CNN_GenControl_T {block};",
        f"CNN_InitGenCtrl(&{block});",
        f'CNN_SetGenCtrl(&{block}, "PARALLELFEATURES", AT_OPT_VAL(0));',
        f'CNN_SetGenCtrl(&{block}, "TILEORIENTATION", AT_OPT_VAL(1));',
        f'CNN_PoolAct_SQ8("S1_MaxPool_2x2", &{block}, 4, 8, 8, KOP_MAXPOOL',
    ]
    places = [text.index(line) for line in lines]
    assert places == sorted(places)


@pytest.mark.parametrize("value", ["x", "1.5", "99999999999"])
def test_a_generator_option_is_a_whole_number(value: str, quantized: Quantizer) -> None:
    graph = quantized(network(["a"], ("a", MaxPool(), ["input_1"])))
    graph["a"].options["PARALLELFEATURES"] = value
    with pytest.raises(UsageError, match="PARALLELFEATURES"):
        render_model(graph)


def test_a_pointwise_convolution_is_a_matrix_product(quantized: Quantizer) -> None:
    graph = quantized(graph_of(Conv2D.examples()[1]))
    assert '"ENABLEIM2COL", AT_OPT_VAL(1)' in render_model(graph)
    graph["node"].options["ENABLEIM2COL"] = "0"
    text = render_model(graph)
    assert text.count("ENABLEIM2COL") == 1 and '"ENABLEIM2COL", AT_OPT_VAL(0)' in text


def test_one_sided_padding_sets_the_pad_type(quantized: Quantizer) -> None:
    pool = MaxPool(Window((2, 2), pads=(0, 0, 1, 1)))
    text = render_model(quantized(network(["a"], ("a", pool, ["input_1"]))))
    assert '"PADTYPE", AT_OPT_VAL(1)' in text
    assert "KOP_MAXPOOL, 2, 2, 1, 1, 1, 1, 1, KOP_NONE" in text


def test_tracing_calls_a_function_before_the_node(quantized: Quantizer) -> None:
    graph = quantized(network(["a"], ("a", MaxPool(), ["input_1"])))
    graph["a"].options["VCD_TRACE_ON"] = "5"
    call = 'AddCallToNode("S1_MaxPool_2x2", CALL_PROLOG, "gv_vcd_configure",'
    assert f"{call} Bindings(2, Imm(5), Imm(0)));" in render_model(graph)


# -- calls ---------------------------------------------------------------------------------


def test_width_comes_before_height(quantized: Quantizer) -> None:
    graph = quantized(graph_of(Conv2D.examples()[4]))  # 3x3, dilations (2, 3), input 2x9x9
    text = render_model(graph)
    assert (
        "4, 1, 2, 2, 9, 9, KOP_CONV, 3, 3, 3, 2, 1, 1, 1, KOP_NONE, 0, 0, 0, 0, 0, 0, 0, KOP_NONE"
        in text
    )


def test_a_grouped_convolution_gives_its_group_first(quantized: Quantizer) -> None:
    text = render_model(quantized(graph_of(Conv2D.examples()[7])))
    assert (
        'CNN_GroupedConvolutionPoolAct_SQ8("S3_Conv2d_6x2x1x3", 0, 2, 3, 4, 1, 4, 6, 6, 5,' in text
    )


@pytest.mark.parametrize(
    ("shape", "perm", "call"),
    [
        ((4, 16, 16), (1, 2, 0), "CNN_MatTranspose({}, 0, 1, 1, 256, 4, KOP_MATTRANSP)"),
        ((16, 16, 4), (2, 0, 1), "CNN_MatTranspose({}, 0, 1, 1, 4, 256, KOP_MATTRANSP)"),
        ((2, 3, 5), (1, 0, 2), "CNN_3DTensorPermute({}, 0, 1, 2, 5, 3, KOP_MATPERM_CHW2HCW)"),
        ((2, 3, 5), (0, 2, 1), "CNN_3DTensorPermute({}, 0, 1, 2, 5, 3, KOP_MATPERM_CHW2CWH)"),
        ((2, 3, 5), (2, 1, 0), "CNN_3DTensorPermute({}, 0, 1, 2, 5, 3, KOP_MATPERM_CHW2WHC)"),
        ((2, 1, 3), (2, 1, 0), "CNN_MatTranspose({}, 0, 1, 1, 3, 2, KOP_MATTRANSP)"),
    ],
)
def test_a_transpose_is_written_with_as_few_axes_as_possible(
    shape: tuple[int, ...], perm: tuple[int, ...], call: str, quantized: Quantizer
) -> None:
    given = TensorType(shape)
    graph = Graph("net")
    graph.add(Node("input_1", Input(given), [], (given,)))
    made = Transpose(perm).infer([given])
    graph.add(Node("t", Transpose(perm), [Ref("input_1")], made))
    graph.add(Node("output_1", Output(), [Ref("t")], made))
    assert call.format('"S1_Op_t"') in render_model(quantized(graph))


def test_a_transpose_of_axes_of_one_element_is_no_kernel(quantized: Quantizer) -> None:
    given = TensorType((5, 1, 1), Layout.CHW)
    op = Transpose((1, 2, 0))
    graph = network(
        ["b"],
        ("p", AveragePool(Window((8, 8))), ["input_1"]),
        ("t", op, ["p"]),
        ("b", Tanh(), ["t"]),
    )
    assert given.size == 5
    made = bindings(render_model(quantized(graph)))
    assert list(made) == ["S1_AveragePool_8x8", "S3_Act_Tanh"]
    assert made["S3_Act_Tanh"][0] == "S1_Output"


def test_a_matrix_product_binds_its_second_operand_first(quantized: Quantizer) -> None:
    text = render_model(quantized(graph_of(MatMul.examples()[0])))
    assert "4, 1, 1, 4, 3, 5, 4, 0, 0, 1, 1, KOP_MATMUL_SCALE_SCALAR, KOP_NONE" in text
    assert bindings(text)["S2_Op_node"] == [
        "Input_2",
        "Input_1",
        "S2_Biases",
        "Output_1",
        "S2_Infos",
    ]


@pytest.mark.parametrize(
    ("format", "norm", "call"),
    [
        ("rgb888", "offset_int8", '("S1_Op_input_1_formatter", 12, 10, 1, KOP_NORM_RGB888)'),
        ("rgb888", "shift_int8", '("S1_Op_input_1_formatter", 12, 10, 0, KOP_NORM_RGB888)'),
        ("bw8", "offset_int8", '("S1_Op_input_1_formatter", 12, 10, 1, KOP_NORM_BW)'),
    ],
)
def test_a_formatter_takes_unsigned_pixels(
    format: str, norm: str, call: str, quantized: Quantizer
) -> None:
    pixels = TensorType((10, 12, 3 if format == "rgb888" else 1), Layout.HWC, "uint8")
    scale, offset = (1 / 128, -1.0) if norm == "offset_int8" else (1 / 256, 0.0)
    op = ImageFormat(format, norm, scale, offset)  # integers around 0
    graph = Graph("net")
    graph.add(Node("input_1", Input(pixels), [], (pixels,)))
    made = op.infer([pixels])
    graph.add(Node("input_1_formatter", op, [Ref("input_1")], made))
    graph.add(Node("pool", MaxPool(), [Ref("input_1_formatter")], MaxPool().infer(made)))
    graph.add(Node("output_1", Output(), [Ref("pool")], graph["pool"].outputs))
    text = render_model(quantized(graph))
    assert f"CNN_Norm{call};" in text
    assert 'TCArgInfo("unsigned char * __restrict__", "Input_1", ARG_SCOPE_ARG' in text
    assert "LoadCNN_Copy_Library" not in text


# -- tensors that share memory -------------------------------------------------------------


def two_pools(
    op: Operator, *more: tuple[str, Operator, list[str]]
) -> list[tuple[str, Operator, list[str]]]:
    pools = [("a", MaxPool(), ["input_1"]), ("b", AveragePool(), ["input_1"])]
    return [*pools, ("c", op, ["a", "b"]), *more]


def test_a_concat_of_channels_is_a_stack(quantized: Quantizer) -> None:
    graph = network(["r"], *two_pools(Concat(0), ("r", Relu(), ["c"])))
    text = render_model(quantized(graph))
    assert 'AddStackedTensors("S3_Output", 2, "S1_Output", "S2_Output");' in text
    assert "S3_Output" in arguments(text)[1] and "S1_Output" not in arguments(text)[1]
    assert "S3_Concat" not in bindings(text)


def test_a_concat_of_columns_is_a_kernel(quantized: Quantizer) -> None:
    text = render_model(quantized(network(["c"], *two_pools(Concat(2)))))
    assert 'CNN_ConcatLastAxis_Generator("S3_Concat", 0, 1, 16, 4, 4, 0, 0, KOP_CONCAT);' in text
    assert bindings(text)["S3_Concat"] == ["S1_Output", "S2_Output", "Output_1"]
    rows = render_model(quantized(network(["c"], *two_pools(Concat(1)))))
    assert 'CNN_ConcatLastAxis_Generator("S3_Concat", 0, 1, 4, 16, 16, 0, 0, KOP_CONCAT);' in rows


def test_parts_that_cannot_be_stacked_are_copied(quantized: Quantizer) -> None:
    graph = network([], ("a", MaxPool(), ["input_1"]))
    graph.add(constant_node("k", _ramp((4, 8, 8))))
    inputs = [Ref("input_1"), Ref("k"), Ref("input_1")]
    made = Concat(0).infer([graph.type_of(ref) for ref in inputs])
    graph.add(Node("c", Concat(0), inputs, made))
    graph.add(Node("output_1", Output(), [Ref("c")], made))
    graph.add(Node("output_2", Output(1), [Ref("a")], graph["a"].outputs))
    text = render_model(quantized(graph))
    stack = re.search(r'AddStackedTensors\("\w+", 3, "(\w+)", "(\w+)", "(\w+)"\)', text)
    assert stack is not None and len(set(stack.groups())) == 3
    copied = {v[1]: v[0] for name, v in bindings(text).items() if "_copy" in name}
    assert [copied[part] for part in stack.groups()] == ["Input_1", "K", "Input_1"]
    assert text.count("CNN_Copy(") == 4 and '"CNN_Copy.h"' in text


def test_a_split_of_channels_is_a_stack_and_names_what_is_unused(quantized: Quantizer) -> None:
    split = ("s", Split(0, (1, 3)), ["a"])
    graph = network(["r"], ("a", MaxPool(), ["input_1"]), split, ("r", Tanh(), ["s:1"]))
    text = render_model(quantized(graph))
    assert 'AddStackedTensors("S1_Output", 2, "S2_Output_0", "S2_Output_1");' in text
    assert 'AT_UnusedStackMember("S2_Output_0", 16);' in text
    assert arguments(text)[1] == ["S1_Output"]


def test_a_split_of_the_graph_input_is_copied_first(quantized: Quantizer) -> None:
    split = ("s", Split(0, (2, 2)), ["input_1"])
    graph = network(["a", "b"], split, ("a", Tanh(), ["s"]), ("b", Tanh(), ["s:1"]))
    made = bindings(render_model(quantized(graph)))
    copy = next(variables for name, variables in made.items() if name.endswith("_copy"))
    assert copy[0] == "Input_1"


def test_a_split_of_columns_is_a_kernel(quantized: Quantizer) -> None:
    split = ("s", Split(2, (1, 3)), ["a"])
    graph = network(["s", "s:1"], ("a", MaxPool(), ["input_1"]), split)
    text = render_model(quantized(graph))
    assert 'CNN_SplitLastAxis_Generator("S2_Op_s", 0, 1, 16, 1, 3, 0, 0, KOP_SPLIT);' in text
    assert bindings(text)["S2_Op_s"] == ["S1_Output", "Output_1", "Output_2"]


def test_one_tensor_as_two_outputs_is_copied(quantized: Quantizer) -> None:
    graph = network(["a", "a", "input_1"], ("a", MaxPool(), ["input_1"]))
    made = bindings(render_model(quantized(graph)))
    assert made["S1_MaxPool_2x2"][1] == "Output_1"
    copies = {v[1]: v[0] for name, v in made.items() if name.endswith("_copy")}
    assert copies == {"Output_2": "Output_1", "Output_3": "Input_1"}


def test_reshapes_are_joined_through(quantized: Quantizer) -> None:
    flat = ("f", Reshape((64,)), ["a"])
    graph = network(["f"], ("a", MaxPool(), ["input_1"]), flat)
    assert bindings(render_model(quantized(graph))) == {
        "S1_MaxPool_2x2": ["Input_1", "Output_1", "S1_Infos"]
    }


# -- refusals ------------------------------------------------------------------------------


def test_a_float_graph_is_refused() -> None:
    with pytest.raises(QuantizationError, match="not quantized") as caught:
        render_model(network(["a"], ("a", MaxPool(), ["input_1"])))
    assert "aquant" in caught.value.hint


def test_every_node_without_a_kernel_is_named_at_once(quantized: Quantizer) -> None:
    short = Window((5, 5), pads=(1, 1, 1, 1))
    graph = network(["b"], ("a", MaxPool(short), ["input_1"]), ("b", AveragePool(short), ["a"]))
    with pytest.raises(GraphError, match="2 nodes have no AutoTiler kernel") as caught:
        render_model(quantized(graph))
    assert "node a" in str(caught.value) and "node b" in str(caught.value)
    assert "\n" not in str(caught.value)


def _ramp(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
