"""Rows of `qshow` and their JSON form."""

from __future__ import annotations

import json

import pytest

from nnshell.ops.add import Add
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.relu import Relu
from nnshell.quantization import quantization_rows
from nnshell.support.errors import QuantizationError

from .nets import Net, conv_op, quantized, ranges


def rows() -> dict[str, dict[str, object]]:
    net = Net(2, 6, 6)
    y = net.fused(net.x, ("conv", conv_op()), ("relu", Relu()))
    graph = net.output(net.node("sum", Add(), y, net.constant("shift", [[[0.5]]])))
    quantized(graph, ranges(input_1=(-1, 1), conv_fusion__relu=(0, 4), sum=(0, 4.5)))
    found = [json.loads(json.dumps(row.to_json())) for row in quantization_rows(graph)]
    assert [row["step"] for row in found] == sorted(row["step"] for row in found)
    return {row["name"]: row for row in found}


def test_every_node_constant_and_inner_node_has_a_row() -> None:
    assert set(rows()) == {
        *("input_1", "conv_weights", "conv_biases", "conv_fusion", "shift", "sum", "output_1"),
        *("conv_fusion/conv", "conv_fusion/relu"),
    }


def test_a_filter_row_has_weights_multipliers_and_shifts_per_channel() -> None:
    row = rows()["conv_fusion/conv"]
    assert row["op"] == "conv2d"
    assert row["scheme"] == "SQ8"
    assert len(row["inputs"]) == 1  # type: ignore[arg-type]
    assert len(row["weights"]["scale"]) == 2  # type: ignore[call-overload,index]
    assert row["weights"]["axis"] == 0  # type: ignore[call-overload,index]
    assert len(row["multiplier"]) == len(row["shift"]) == 2  # type: ignore[arg-type]
    assert row["outputs"] == [
        {"scale": 4 / 127, "zero_point": 0, "dtype": "int8", "min": 0.0, "max": 4.0}
    ]


def test_a_sum_row_says_which_input_is_scaled() -> None:
    row = rows()["sum"]
    assert {"scaled_input", "input_multiplier", "input_shift"} < set(row)
    assert row["scaled_input"] == 0


@pytest.mark.parametrize("op", [MaxPool(), AveragePool()])
def test_a_pool_row_says_that_it_keeps_the_scale(op: MaxPool | AveragePool) -> None:
    net = Net(2, 6, 6)
    graph = net.output(net.linear("fc", net.node("pool", op, net.conv("conv", net.x))))
    quantized(graph, ranges(input_1=(-1, 1), conv=(-1, 2), fc=(-1, 1)))
    row = next(row for row in quantization_rows(graph) if row.name == "pool").to_json()
    assert (row["multiplier"], row["shift"]) == ([1], [0])


def test_keys_that_do_not_apply_are_left_out() -> None:
    found = rows()
    assert set(found["output_1"]) == {"step", "name", "op", "scheme", "inputs", "outputs"}
    assert set(found["input_1"]) == {"step", "name", "op", "scheme", "outputs"}
    assert "weights" not in found["sum"]


def test_a_bias_row_has_the_scale_of_channel_zero() -> None:
    found = rows()
    scale = found["conv_biases"]["outputs"][0]["scale"]  # type: ignore[index]
    weights = found["conv_fusion/conv"]["weights"]["scale"]  # type: ignore[call-overload,index]
    assert scale == pytest.approx(weights[0] / 127)


def test_records_print_in_nntools_notation() -> None:
    net = Net(8)
    graph = net.output(net.linear("fc", net.x))
    quantized(graph, ranges(input_1=(0.0, 1.0), fc=(-1, 1)))
    first = quantization_rows(graph)[0]
    assert str(first.outputs[0]) == "0.000<(i8+128)*0.00392157<1.000"


def test_a_graph_that_is_not_quantized_has_no_rows() -> None:
    net = Net(8)
    with pytest.raises(QuantizationError, match="aquant"):
        quantization_rows(net.output(net.linear("fc", net.x)))
