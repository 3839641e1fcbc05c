"""Cases small enough to follow with pencil and paper; docs/quantization.md works through one."""

from __future__ import annotations

import numpy as np
import pytest

from nnshell.ir.operator import Operator
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.requests import KernelOptions, QuantizeRequest
from nnshell.ir.types import TensorType
from nnshell.ir.work import Window
from nnshell.numeric.fixed_point import MULTIPLIER_BITS
from nnshell.ops.add import Add
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.div import Div
from nnshell.ops.exp import Exp
from nnshell.ops.global_pool import GlobalAveragePool
from nnshell.ops.hard_sigmoid import HardSigmoid
from nnshell.ops.leaky_relu import LeakyRelu
from nnshell.ops.linear import Linear
from nnshell.ops.matmul import MatMul
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.mul import Mul
from nnshell.ops.relu import Relu, Relu6
from nnshell.ops.resize import BilinearResizer, NearestNeighborResizer
from nnshell.ops.sigmoid import Sigmoid
from nnshell.ops.sub import Sub
from nnshell.support.errors import QuantizationError


def rec(scale: float, zero_point: int = 0, dtype: str = "int8") -> QParams:
    return QParams(np.array([scale]), zero_point, dtype)


def made(
    op: Operator,
    inputs: tuple[QParams | None, ...],
    output: QParams,
    constants: tuple[object, ...] = (),
    options: KernelOptions | None = None,
) -> NodeQuantization:
    values = tuple(None if v is None else np.asarray(v, np.float32) for v in constants)
    request = QuantizeRequest(
        "node",
        inputs,
        (output,),
        tuple(TensorType((1,)) for _ in inputs),
        (TensorType((1,)),),
        values or (None,) * len(inputs),
        options or KernelOptions(),
    )
    return op.quantize(request)


def scaling(kernel: object) -> tuple[int, int]:
    found = kernel.scaling  # type: ignore[attr-defined]
    return int(found.multiplier[0]), int(found.shift[0])


def row(*values: int) -> np.ndarray:
    return np.array([values], np.int64)


# -- filters ---------------------------------------------------------------------------------------


def test_the_worked_example_of_a_filter() -> None:
    quantization = made(
        Linear(), (rec(0.5, -2), None, None), rec(0.5, 3), (None, [[1.0, -0.5]], [0.25])
    )
    kernel = quantization.kernel
    assert kernel.weights.tolist() == [[127, -63]]  # -63.5 rounds up
    # 0.25 / (0.5/127) = 63.5 -> 64;  2 * (127 - 63) = 128;  3 * 0.5 / (0.5/127) = 381
    assert kernel.bias.tolist() == [64 + 128 + 381]
    assert scaling(kernel) == (129, 14)  # 1/127
    assert kernel.available_bits.tolist() == [31 - 15]
    # (4 + 2) * 0.5 = 3 and (10 + 2) * 0.5 = 6: 3 - 3 + 0.25 = 0.25, that is 0.5 steps above 3
    assert Linear().integer(quantization, [row(4, 10)]).tolist() == [[4]]


def test_both_zero_point_terms_are_rounded_on_their_own() -> None:
    # 0.4 and 0.4 accumulator units: rounded one by one they vanish, rounded as a sum they would not
    scale = 1 / 127
    quantization = made(
        Linear(),
        (rec(1.0), None, None),
        rec(0.4 * scale / 4, 4),
        (None, [[1.0]], [0.4 * scale]),
    )
    assert quantization.kernel.bias.tolist() == [0]


def test_one_scale_for_all_channels_keeps_the_fewest_bits() -> None:
    weights = np.ones((2, 4096))
    options = KernelOptions(per_channel=False)
    inputs = (rec(1.0), None, None)
    kernel = made(Linear(), inputs, rec(1.0), (None, weights, [0.0, 2.0**18]), options).kernel
    assert kernel.multiplier.size == 1
    assert kernel.available_bits.tolist() == [31 - 26]
    assert kernel.bias.tolist() == [0, 127 * 2**18]


def test_a_bias_beyond_int32_gives_up_its_channel() -> None:
    weights = np.array([[1e-6], [1.0]], np.float32)
    kernel = made(Linear(), (rec(1e-3), None, None), rec(1.0), (None, weights, [1e4, 1e4])).kernel
    assert kernel.weights.tolist() == [[0], [127]]
    assert kernel.bias.tolist() == [10**7, pytest.approx(1.27e9, rel=1e-7)]


def test_an_int32_result_of_a_filter_is_not_clipped_to_int8() -> None:
    output = rec(2.0**-12, 0, "int32")
    quantization = made(Linear(), (rec(1.0), None, None), output, (None, [[1.0]], [0.0]))
    assert Linear().integer(quantization, [row(100)])[0, 0] > 400_000


def test_a_constant_matrix_has_a_scale_per_column() -> None:
    quantization = made(MatMul(), (rec(1.0), None), rec(1.0), (None, [[1.0, 0.5], [0.0, 0.25]]))
    assert quantization.kernel.scaling.multiplier.size == 2
    assert quantization.constants[1].tolist() == [[127, 127], [0, 64]]  # type: ignore[union-attr]
    constant = quantization.constants[1][np.newaxis].astype(np.int64)  # type: ignore[index]
    product = MatMul().integer(quantization, [np.array([[[10, 4]]]), constant])
    assert product.tolist() == [[[10, 6]]]
    assert int(quantization.kernel.scaling.available_bits[0]) == MULTIPLIER_BITS


# -- sums and products -----------------------------------------------------------------------------


def test_a_sum_scales_its_larger_input_first_and_does_not_clip_between() -> None:
    quantization = made(Add(), (rec(1.0), rec(0.5)), rec(2.0))
    assert quantization.kernel.scaled_input == 0
    # 100 * 1.0 + 50 * 0.5 = 125, in steps of 2: 62.5 -> 63; the scaled 200 is beyond int8
    assert Add().integer(quantization, [row(100), row(50)]).tolist() == [[63]]


def test_zero_points_of_a_sum_become_one_bias() -> None:
    quantization = made(Add(), (rec(1.0, 10), rec(0.5, -4)), rec(1.0, 7))
    # 7 - 0.5 * (-4 + 2 * 10) = -1
    assert quantization.kernel.bias == -1
    assert Add().integer(quantization, [row(12), row(-2)]).tolist() == [[10]]  # 2 + 1 = 3


@pytest.mark.parametrize(
    ("scales", "expected"),
    [((1.0, 0.5), 10), ((0.5, 1.0), 4)],  # 10 - 0.5 = 9.5 rounds up; 5 - 1 = 4
)
def test_a_difference_subtracts_input_one_whichever_is_scaled(
    scales: tuple[float, float], expected: int
) -> None:
    quantization = made(Sub(), (rec(scales[0]), rec(scales[1])), rec(1.0))
    assert Sub().integer(quantization, [row(10), row(1)]).tolist() == [[expected]]


def test_a_product_of_two_feature_maps() -> None:
    quantization = made(Mul(), (rec(1 / 127), rec(1.0)), rec(1.0))
    assert scaling(quantization.kernel) == (129, 14)
    assert Mul().integer(quantization, [row(127, -64), row(100, 100)]).tolist() == [[100, -50]]


def test_a_quotient_saturates_where_the_divisor_is_zero() -> None:
    quantization = made(Div(), (rec(1.0), rec(1.0)), rec(0.5))
    found = Div().integer(quantization, [row(10, -10, 0, 7, -7), row(4, 0, 0, 2, -2)])
    assert found.tolist() == [[5, -128, 0, 7, 7]]


def test_a_constant_divisor_is_exact_and_may_be_negative() -> None:
    divisor = [[[2.0]], [[-4.0]]]
    quantization = made(Div(), (rec(1.0), None), rec(1.0), (None, divisor))
    constant = quantization.constants[1][np.newaxis].astype(np.int64)  # type: ignore[index]
    x = np.full((1, 2, 1, 1), 100)
    assert Div().integer(quantization, [x, constant]).reshape(-1).tolist() == [50, -25]


# -- activations -----------------------------------------------------------------------------------


def test_a_leaky_relu_rounds_its_negative_side() -> None:
    quantization = made(LeakyRelu(0.1), (rec(0.1, 0, "int32"),), rec(0.1))
    assert quantization.kernel.slope.tolist() == [13]
    found = LeakyRelu(0.1).integer(quantization, [row(-5, -4, 300, 7)])
    assert found.tolist() == [[-1, 0, 127, 7]]  # -65/128 -> -1, -52/128 -> 0


def test_the_hard_sigmoid_of_a_sixth() -> None:
    op = HardSigmoid(float(np.float32(1 / 6)), 0.5)
    quantization = made(op, (op.wide_record(rec(1 / 127)),), rec(1 / 127))
    assert (quantization.kernel.offset, quantization.kernel.upper) == (64, 127)
    assert scaling(quantization.kernel) == (1, 0)
    assert op.integer(quantization, [row(-64, 0, 63, 1000)]).tolist() == [[0, 64, 127, 127]]


@pytest.mark.parametrize("alpha", [0.0, -0.2, float("inf"), float("nan")])
def test_a_hard_sigmoid_that_does_not_rise_is_refused(alpha: float) -> None:
    with pytest.raises(QuantizationError, match="alpha"):
        HardSigmoid(alpha, 0.5).input_record(0)


def test_a_slope_that_is_not_finite_is_refused() -> None:
    with pytest.raises(QuantizationError, match="slope"):
        made(LeakyRelu(float("nan")), (rec(1.0),), rec(1.0))


def test_a_sigmoid_of_int8_is_shifted_to_q12() -> None:
    quantization = made(Sigmoid(), (rec(8 / 127),), rec(1 / 127))
    assert scaling(quantization.kernel) == (127, 15)
    assert Sigmoid().integer(quantization, [row(0, 127, -127)]).tolist() == [[64, 127, 0]]


def test_a_relu_in_the_filter_range_changes_nothing() -> None:
    quantization = made(Relu(), (rec(0.1, -128),), rec(0.1, -128))
    assert Relu().integer(quantization, [row(-128, 5, 127)]).tolist() == [[-128, 5, 127]]


def test_a_relu_between_two_records_rescales_around_its_zero_points() -> None:
    quantization = made(Relu(), (rec(0.2, 10),), rec(0.1, -128))
    assert Relu().integer(quantization, [row(0, 10, 20)]).tolist() == [[-128, -128, -108]]


def test_relu6_cuts_off_at_six_in_a_wider_record() -> None:
    quantization = made(Relu6(), (rec(0.1),), rec(0.1))
    assert Relu6().integer(quantization, [row(-5, 59, 100)]).tolist() == [[0, 59, 60]]


def test_a_table_holds_every_result() -> None:
    quantization = made(Exp(), (rec(0.1),), rec(0.1, -128))
    found = Exp().integer(quantization, [row(-128, 0, 10, 127)])
    assert found.tolist() == [[-128, -118, -128 + 27, 127]]


# -- pools and resizers ----------------------------------------------------------------------------


def image(values: list[list[int]]) -> np.ndarray:
    return np.array([[values]], np.int64)


def same(record: QParams) -> NodeQuantization:
    return NodeQuantization((record,), (record,))


def test_an_average_of_three_is_slightly_low() -> None:
    op = AveragePool(Window((1, 3), (1, 3)))
    # 65536 div 3 = 21845: 3 * 127 * 21845 = 8322945, +32768 >> 16 is 127 still; 1 + 1 + 0 -> 1
    found = op.integer(same(rec(1.0)), [image([[127, 127, 127, 1, 1, 0, -1, -1, 0]])])
    assert found.reshape(-1).tolist() == [127, 1, -1]


def test_padding_of_a_mean_is_counted_only_when_asked() -> None:
    window = Window((2, 2), (2, 2), pads=(1, 1, 1, 1))
    x = image([[8, 8], [8, 8]])
    left_out = AveragePool(window).integer(same(rec(1.0)), [x])
    counted = AveragePool(window, count_include_pad=True).integer(same(rec(1.0)), [x])
    assert left_out.reshape(-1).tolist() == [8] * 4
    assert counted.reshape(-1).tolist() == [2] * 4


def test_padding_of_a_maximum_is_the_zero_point() -> None:
    op = MaxPool(Window((2, 2), (2, 2), pads=(1, 1, 1, 1)))
    found = op.integer(same(rec(1.0, -3)), [image([[-9, 2], [-8, -7]])])
    assert found.reshape(-1).tolist() == [-3, 2, -3, -3]


def test_a_global_mean_truncates_towards_zero_before_it_rounds() -> None:
    quantization = made(GlobalAveragePool(), (rec(1.0),), rec(1.0))
    assert scaling(quantization.kernel) == (1, 7)
    # 1 + 1 + 0 = 2: 256 / 3 = 85 (of 128) rounds to 1;  -2: -85 to -1;  -190: -63 rounds to 0
    for values, expected in (([1, 1, 0], 1), ([-1, -1, 0], -1), ([-1, -1, 1], 0)):
        found = GlobalAveragePool().integer(quantization, [image([values])])
        assert found.reshape(-1).tolist() == [expected]


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1, 4), [0, 25, 75, 100]), ((1, 3), [0, 50, 100])],
)
def test_bilinear_weights_are_in_q8(size: tuple[int, int], expected: list[int]) -> None:
    op = BilinearResizer(size, "half_pixel")
    found = op.integer(same(rec(1.0)), [image([[0, 100]])])
    assert found.reshape(-1).tolist() == expected


def test_nearest_neighbours_are_copied() -> None:
    op = NearestNeighborResizer((2, 4), "asymmetric", None, "floor")
    found = op.integer(same(rec(1.0)), [image([[1, 2]])])
    assert found[0, 0].tolist() == [[1, 1, 2, 2]] * 2


def test_feature_maps_of_other_ranks_line_up_behind_the_samples() -> None:
    quantization = made(Add(), (rec(1.0), rec(1.0)), rec(1.0))
    x, per_column = np.ones((2, 3, 1, 4), np.int64), np.arange(8).reshape(2, 4)
    found = Add().integer(quantization, [x, per_column])
    assert found[1, 2, 0].tolist() == [5, 6, 7, 8]
