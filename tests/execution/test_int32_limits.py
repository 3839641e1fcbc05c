"""int32 at its limits, as nearly dead channels reach them: each rule, and all engines alike."""

from __future__ import annotations

import numpy as np
import pytest

from nnshell.execution.engines import make_engine
from nnshell.ir.basic_operators import Input, Output
from nnshell.ir.graph import Graph, Node, Ref, constant_node
from nnshell.ir.qparams import QParams
from nnshell.ir.requests import KernelOptions
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Window
from nnshell.numeric.fixed_point import converted_to_int32, rounding_term, scale_accumulator
from nnshell.numeric.kernels.filters import FilterParameters, filter_records
from nnshell.ops.conv2d import Conv2D
from nnshell.quantization import Statistics, quantize_graph
from nnshell.quantization.ranges.statistics import TensorStatistics
from nnshell.support.errors import NNShellError

TOP, BOTTOM = (1 << 31) - 1, -(1 << 31)


@pytest.mark.parametrize(
    ("accumulator", "multiplier", "shift", "expected"),
    [
        (TOP, 1, 26, -32),  # the rounding addition wraps
        (TOP - (1 << 25), 1, 26, 31),  # just below
        (BOTTOM, 1, 26, -32),
        (5, 1, 31, 0),
        (1 << 30, 1, 31, -1),  # 2**30 + 2**30 wraps
        (0, 1, 32, -1),  # the rounding term is -2**31, and the sign is left
        (7, 1, 32, -1),
        (-7, 1, 32, 0),
        (7, 1, 33, 0),
        (-7, 1, 33, -1),
        (TOP, 3, 0, TOP - 2),  # the product wraps
    ],
)
def test_products_and_their_rounding_wrap_around(
    accumulator: int, multiplier: int, shift: int, expected: int
) -> None:
    assert int(scale_accumulator(accumulator, multiplier, shift)) == expected


def test_the_rounding_term_is_what_a_register_holds() -> None:
    assert rounding_term([0, 1, 31, 32, 33, 40]).tolist() == [0, 1, 1 << 30, BOTTOM, 0, 0]


def test_what_int32_does_not_hold_is_converted_to_its_smallest() -> None:
    numbers = [BOTTOM - 1, BOTTOM, 0, TOP, TOP + 1]
    assert converted_to_int32(numbers).tolist() == [BOTTOM, BOTTOM, 0, TOP, BOTTOM]


def test_the_zero_points_part_is_converted_wraps_and_the_bias_saturates() -> None:
    weights = np.array([[1e-6], [1.0]], np.float32)
    parameters = FilterParameters("fc", weights, np.zeros(2, np.float32), KernelOptions())
    data, output = QParams(np.array([0.01]), 3), QParams(np.array([1.0]), -128)
    made = filter_records(parameters, data, output)
    # -128 / (0.01 * 1e-6 / 127) is beyond int32: -2**31, and -3 * 127 wraps around below it
    assert made.offset.tolist() == [TOP + 1 - 3 * 127, -3 * 127 - 128 * 12700]


def dead(groups: int) -> Graph:
    """A convolution of which channel 1 is nearly dead, asymmetric at both ends."""
    given = TensorType((2, 6, 6), Layout.CHW)
    random = np.random.default_rng(0)
    weights = random.normal(0, 0.3, (2, 2 // groups, 3, 3)).astype(np.float32)
    weights[1] *= 5e-7
    graph = Graph("net")
    graph.add(Node("input_1", Input(given, 0), [], (given,)))
    graph.add(constant_node("w", weights))
    graph.add(constant_node("b", np.array([0.1, -2e-6], np.float32)))
    op = Conv2D(Window((3, 3)), groups)
    edges = [Ref("input_1"), Ref("w"), Ref("b")]
    made = op.infer([graph.type_of(ref) for ref in edges])
    graph.add(Node("conv", op, edges, made))
    graph.add(Node("output_1", Output(0), [Ref("conv")], made))
    return graph


@pytest.mark.parametrize("groups", [1, 2], ids=["converted", "wrapped"])
@pytest.mark.parametrize("low", [-1.0, -0.2, -3.0])
def test_all_engines_agree_on_nearly_dead_channels(groups: int, low: float) -> None:
    graph = dead(groups)
    ranges = {"input_1": (0.0, 1.0), "conv": (low, 2.0)}
    statistics = {key: TensorStatistics(*pair) for key, pair in ranges.items()}
    quantize_graph(graph, Statistics(statistics))
    batch = [np.random.default_rng(1).uniform(0, 1, (4, 2, 6, 6)).astype(np.float32)]
    for target in ("simulation", "chip"):
        expected = make_engine(graph, "reference", keys=["conv"], target=target).run(batch)
        for name in ("lowered", "native"):
            try:
                found = make_engine(graph, name, keys=["conv"], target=target).run(batch)
            except NNShellError as error:
                if "compiler" not in str(error):
                    raise
                continue
            assert np.array_equal(found["conv"], expected["conv"]), (name, target)
