"""Small TFLite networks, one for each kind of operator: for tests, and to be spoiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tflite_files import TfliteModel

RANDOM = np.random.default_rng(7)
SAME, VALID = 0, 1
NONE, RELU, RELU_N1_TO_1, RELU6 = range(4)

Array = NDArray[Any]


def normal(*shape: int) -> Array:
    return RANDOM.normal(size=shape).astype(np.float32)


def integers(*numbers: Any) -> Array:
    return np.array(numbers, np.int32)


def conv(
    net: TfliteModel,
    x: int,
    size: tuple[int, int, int],
    filters: int,
    kernel: tuple[int, int],
    *,
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    padding: int = SAME,
    activation: int = NONE,
    groups: int = 1,
) -> tuple[int, tuple[int, int, int, int]]:
    weights = net.constant(normal(filters, *kernel, size[2] // groups))
    bias = net.constant(normal(filters))
    shape = _filtered(size, filters, kernel, stride, dilation, padding)
    options = window_options(stride, dilation, padding, activation)
    return net.op("CONV_2D", [x, weights, bias], shape, "Conv2DOptions", **options), shape


def window_options(
    stride: tuple[int, int], dilation: tuple[int, int], padding: int, activation: int
) -> dict[str, int]:
    return {
        "Padding": padding,
        "StrideH": stride[0],
        "StrideW": stride[1],
        "DilationHFactor": dilation[0],
        "DilationWFactor": dilation[1],
        "FusedActivationFunction": activation,
    }


def _filtered(
    size: tuple[int, int, int],
    filters: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: int,
) -> tuple[int, int, int, int]:
    extents = []
    for axis in (0, 1):
        reach = 0 if padding == SAME else dilation[axis] * (kernel[axis] - 1)
        extents.append(-(-(size[axis] - reach) // stride[axis]))
    return (1, extents[0], extents[1], filters)


def depthwise(
    net: TfliteModel,
    x: int,
    size: tuple[int, int, int],
    multiplier: int,
    kernel: tuple[int, int],
    *,
    stride: tuple[int, int] = (1, 1),
    padding: int = SAME,
    activation: int = NONE,
) -> tuple[int, tuple[int, int, int, int]]:
    filters = size[2] * multiplier
    operands = [x, net.constant(normal(1, *kernel, filters)), net.constant(normal(filters))]
    shape = _filtered(size, filters, kernel, stride, (1, 1), padding)
    options = window_options(stride, (1, 1), padding, activation) | {"DepthMultiplier": multiplier}
    code = "DEPTHWISE_CONV_2D"
    return net.op(code, operands, shape, "DepthwiseConv2DOptions", **options), shape


def pool(
    net: TfliteModel,
    code: str,
    x: int,
    size: tuple[int, int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: int,
    activation: int = NONE,
) -> int:
    shape = _filtered(size, size[2], kernel, stride, (1, 1), padding)
    options = {
        "Padding": padding,
        "StrideH": stride[0],
        "StrideW": stride[1],
        "FilterHeight": kernel[0],
        "FilterWidth": kernel[1],
        "FusedActivationFunction": activation,
    }
    return net.op(code, [x], shape, "Pool2DOptions", **options)


Case = Callable[[], TfliteModel]
CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


@case
def conv_same() -> TfliteModel:
    net = TfliteModel()
    made, _ = conv(net, net.input(1, 7, 9, 3), (7, 9, 3), 5, (3, 3), stride=(2, 2), activation=RELU)
    return net.output(made)


@case
def conv_valid_dilated_uneven() -> TfliteModel:
    net = TfliteModel()
    x = net.input(1, 11, 9, 2)
    made, _ = conv(net, x, (11, 9, 2), 4, (3, 2), dilation=(2, 3), padding=VALID, activation=RELU6)
    return net.output(made)


@case
def conv_even_kernel_pads_more_after() -> TfliteModel:
    net = TfliteModel()
    made, _ = conv(net, net.input(1, 6, 5, 2), (6, 5, 2), 3, (4, 2), activation=RELU_N1_TO_1)
    return net.output(made)


@case
def conv_grouped() -> TfliteModel:
    net = TfliteModel()
    made, _ = conv(net, net.input(1, 5, 5, 4), (5, 5, 4), 6, (3, 3), groups=2)
    return net.output(made)


@case
def fully_connected_without_bias() -> TfliteModel:
    net = TfliteModel()
    operands = [net.input(1, 6), net.constant(normal(4, 6)), -1]
    return net.output(net.op("FULLY_CONNECTED", operands, (1, 4), "FullyConnectedOptions"))


@case
def depthwise_with_multiplier() -> TfliteModel:
    net = TfliteModel()
    made, _ = depthwise(net, net.input(1, 6, 7, 3), (6, 7, 3), 2, (3, 3), stride=(2, 2))
    return net.output(made)


@case
def depthwise_of_one_channel() -> TfliteModel:
    net = TfliteModel()
    made, _ = depthwise(net, net.input(1, 6, 7, 1), (6, 7, 1), 4, (3, 3), activation=RELU)
    return net.output(made)


@case
def residual_block() -> TfliteModel:
    net = TfliteModel()
    first, _ = conv(net, net.input(1, 8, 8, 3), (8, 8, 3), 6, (3, 3), activation=RELU)
    second, _ = conv(net, first, (8, 8, 6), 6, (3, 3))
    shape = (1, 8, 8, 6)
    total = net.op("ADD", [first, second], shape, "AddOptions", FusedActivationFunction=RELU)
    pooled = pool(net, "AVERAGE_POOL_2D", total, (8, 8, 6), (8, 8), (8, 8), VALID)
    flat = net.op("RESHAPE", [pooled, net.constant(integers(1, 6))], (1, 6), "ReshapeOptions")
    return net.output(_dense(net, flat, 6, 4))


def _dense(net: TfliteModel, x: int, columns: int, rows: int, **options: int) -> int:
    operands = [x, net.constant(normal(rows, columns)), net.constant(normal(rows))]
    return net.op("FULLY_CONNECTED", operands, (1, rows), "FullyConnectedOptions", **options)


@case
def fully_connected_on_a_feature_map() -> TfliteModel:
    net = TfliteModel()
    first, _ = conv(net, net.input(1, 4, 5, 2), (4, 5, 2), 3, (3, 3), activation=RELU)
    return net.output(_dense(net, first, 60, 4, FusedActivationFunction=RELU))


@case
def fully_connected_on_rows() -> TfliteModel:
    net = TfliteModel()
    x = net.input(1, 5, 6)
    operands = [x, net.constant(normal(4, 6)), net.constant(normal(4))]
    options = {"KeepNumDims": 1}
    made = net.op("FULLY_CONNECTED", operands, (1, 5, 4), "FullyConnectedOptions", **options)
    return net.output(made)


@case
def fully_connected_keeps_dimensions() -> TfliteModel:
    net = TfliteModel()
    operands = [net.input(1, 1, 6), net.constant(normal(4, 6)), net.constant(normal(4))]
    options = {"KeepNumDims": 1, "FusedActivationFunction": RELU}
    made = net.op("FULLY_CONNECTED", operands, (1, 1, 4), "FullyConnectedOptions", **options)
    return net.output(made)


@case
def pools_same() -> TfliteModel:
    net = TfliteModel()
    x = net.input(1, 7, 5, 3)
    best = pool(net, "MAX_POOL_2D", x, (7, 5, 3), (3, 2), (2, 2), SAME)
    mean = pool(net, "AVERAGE_POOL_2D", x, (7, 5, 3), (3, 3), (2, 2), SAME, RELU)
    return net.output(best, mean)


@case
def pools_over_everything() -> TfliteModel:
    net = TfliteModel()
    x = net.input(1, 4, 5, 3)
    best = pool(net, "MAX_POOL_2D", x, (4, 5, 3), (4, 5), (1, 1), VALID)
    mean = pool(net, "AVERAGE_POOL_2D", x, (4, 5, 3), (4, 5), (1, 1), VALID)
    return net.output(best, mean)


@case
def means_over_other_axes() -> TfliteModel:
    net = TfliteModel()
    x = net.input(1, 4, 5, 3)
    made = [
        net.op("MEAN", [x, net.constant(integers(1, 2))], (1, 3), "ReducerOptions", KeepDims=0),
        net.op(
            "MEAN", [x, net.constant(integers(2, 1))], (1, 1, 1, 3), "ReducerOptions", KeepDims=1
        ),
        net.op("MEAN", [x, net.constant(integers(3))], (1, 4, 5), "ReducerOptions", KeepDims=0),
        net.op("MEAN", [x, net.constant(integers(-3))], (1, 1, 5, 3), "ReducerOptions", KeepDims=1),
        net.op("SUM", [x, net.constant(integers(1, 2))], (1, 3), "ReducerOptions", KeepDims=0),
        net.op("REDUCE_MAX", [x, net.constant(integers(2))], (1, 4, 3), "ReducerOptions"),
    ]
    return net.output(*made)


@case
def arithmetic() -> TfliteModel:
    net = TfliteModel()
    shape = (1, 4, 5, 3)
    x, y = net.input(*shape), net.input(*shape)
    channel = net.constant(normal(3))
    one = net.constant(np.float32([0.5]))
    positive = net.constant(np.abs(normal(1, 1, 3)) + 1)
    made = [
        net.op("ADD", [x, channel], shape, "AddOptions", FusedActivationFunction=RELU6),
        net.op("SUB", [channel, x], shape, "SubOptions"),
        net.op("MUL", [x, y], shape, "MulOptions"),
        net.op("DIV", [x, positive], shape, "DivOptions"),
        net.op("MAXIMUM", [x, one], shape, "MaximumMinimumOptions"),
        net.op("MINIMUM", [one, x], shape, "MaximumMinimumOptions"),
        net.op("SQUARED_DIFFERENCE", [x, y], shape, "SquaredDifferenceOptions"),
        net.op("SQUARE", [x], shape, "SquareOptions"),
        net.op("NEG", [x], shape, "NegOptions"),
        net.op("ADD", [x, x], shape, "AddOptions"),
    ]
    return net.output(*made)


@case
def activations() -> TfliteModel:
    net = TfliteModel()
    shape = (1, 4, 5, 3)
    x = net.input(*shape)
    slope = net.constant(np.float32([[[0.1, 0.2, -0.3]]]))
    names = ("RELU", "RELU6", "RELU_N1_TO_1", "TANH", "LOGISTIC", "HARD_SWISH", "EXP")
    made = [net.op(name, [x], shape) for name in names]
    made.append(net.op("LEAKY_RELU", [x], shape, "LeakyReluOptions", Alpha=0.125))
    made.append(net.op("PRELU", [x, slope], shape))
    made.append(net.op("SOFTMAX", [x], shape, "SoftmaxOptions", Beta=2.0))
    return net.output(*made)


@case
def activations_after_filters() -> TfliteModel:
    net = TfliteModel()
    x = net.input(1, 6, 6, 2)
    for name in ("HARD_SWISH", "LOGISTIC", "RELU6"):
        made, shape = conv(net, x, (6, 6, 2), 3, (3, 3))
        net.output(net.op(name, [made], shape))
    made, shape = conv(net, x, (6, 6, 2), 3, (3, 3))
    slope = net.constant(np.float32([[[0.1, 0.2, -0.3]]]))
    return net.output(net.op("PRELU", [made, slope], shape))


@case
def pads() -> TfliteModel:
    net = TfliteModel()
    x = net.input(1, 5, 5, 2)
    border = net.constant(integers((0, 0), (1, 2), (0, 1), (0, 0)))
    padded = net.op("PAD", [x, border], (1, 8, 6, 2), "PadOptions")
    valid, _ = conv(net, padded, (8, 6, 2), 3, (3, 3), padding=VALID)
    same, _ = conv(net, padded, (8, 6, 2), 3, (3, 3), stride=(2, 2), padding=SAME)
    channels = net.constant(integers((0, 0), (0, 0), (0, 0), (1, 2)))
    wider = net.op("PAD", [x, channels], (1, 5, 5, 5), "PadOptions")
    fill = net.constant(np.float32([1.5]))
    filled = net.op("PADV2", [x, border, fill], (1, 8, 6, 2), "PadV2Options")
    return net.output(valid, same, wider, filled)


@case
def padded_residual() -> TfliteModel:
    net = TfliteModel()
    x = net.input(1, 6, 6, 3)
    made, _ = conv(net, x, (6, 6, 3), 5, (3, 3))
    channels = net.constant(integers((0, 0), (0, 0), (0, 0), (0, 2)))
    wider = net.op("PAD", [x, channels], (1, 6, 6, 5), "PadOptions")
    options = {"FusedActivationFunction": RELU}
    return net.output(net.op("ADD", [wider, made], (1, 6, 6, 5), "AddOptions", **options))


@case
def resizes() -> TfliteModel:
    net = TfliteModel()
    x = net.input(1, 4, 6, 2)
    size = net.constant(integers(9, 8))
    for align, center in ((0, 0), (1, 0), (0, 1)):
        options = {"AlignCorners": align, "HalfPixelCenters": center}
        for code, table in (
            ("RESIZE_BILINEAR", "ResizeBilinearOptions"),
            ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
        ):
            net.output(net.op(code, [x, size], (1, 9, 8, 2), table, **options))
    return net


@case
def concats() -> TfliteModel:
    net = TfliteModel()
    x = net.input(1, 4, 5, 2)
    a, _ = conv(net, x, (4, 5, 2), 3, (3, 3), activation=RELU)
    b, _ = conv(net, x, (4, 5, 2), 2, (1, 1))
    table = "ConcatenationOptions"
    channels = net.op("CONCATENATION", [a, b, x], (1, 4, 5, 7), table, Axis=3)
    last, _ = conv(net, channels, (4, 5, 7), 2, (1, 1))
    rows = net.op("CONCATENATION", [last, b], (1, 8, 5, 2), table, Axis=1)
    columns = net.op("CONCATENATION", [last, b], (1, 4, 10, 2), table, Axis=-2)
    many = net.op("CONCATENATION", [a, b, x, a, b], (1, 4, 5, 12), table, Axis=-1)
    return net.output(rows, columns, many)


@case
def heads_of_a_detector() -> TfliteModel:
    net = TfliteModel()
    x = net.input(1, 8, 8, 3)
    parts = []
    for filters in (2, 6):
        made, _ = conv(net, x, (8, 8, 3), filters, (1, 1))
        shape = (1, 64 * filters // 2, 2)
        target = net.constant(integers(*shape))
        parts.append(net.op("RESHAPE", [made, target], shape, "ReshapeOptions"))
    table = "ConcatenationOptions"
    return net.output(net.op("CONCATENATION", parts, (1, 256, 2), table, Axis=1))


@case
def shapes() -> TfliteModel:
    net = TfliteModel()
    x = net.input(1, 4, 1, 6)
    squeezed = net.op("SQUEEZE", [x], (1, 4, 6), "SqueezeOptions", SqueezeDims=(2,))
    wider = net.op("EXPAND_DIMS", [squeezed, net.constant(integers(1))], (1, 1, 4, 6))
    turned = net.op(
        "TRANSPOSE", [squeezed, net.constant(integers(0, 2, 1))], (1, 6, 4), "TransposeOptions"
    )
    reversed_ = net.op("REVERSE_V2", [squeezed, net.constant(integers(1))], (1, 4, 6))
    packed = net.op(
        "PACK", [squeezed, reversed_], (1, 4, 2, 6), "PackOptions", Axis=2, ValuesCount=2
    )
    halves = net.multi("UNPACK", [packed], [(1, 4, 6)] * 2, "UnpackOptions", Axis=2, Num=2)
    tiled = net.op("TILE", [squeezed, net.constant(integers(1, 2, 3))], (1, 8, 18), "TileOptions")
    return net.output(wider, turned, *halves, tiled)


@case
def cuts() -> TfliteModel:
    net = TfliteModel()
    x = net.input(1, 6, 5, 4)
    table = "StridedSliceOptions"

    def strided(begin: Any, end: Any, strides: Any, shape: Any, **masks: int) -> int:
        limits = [net.constant(integers(*numbers)) for numbers in (begin, end, strides)]
        return net.op("STRIDED_SLICE", [x, *limits], shape, table, **masks)

    begin, size = net.constant(integers(0, 1, 0, 2)), net.constant(integers(1, 3, -1, 2))
    made = [
        net.op("SLICE", [x, begin, size], (1, 3, 5, 2), "SliceOptions"),
        strided((0, 1, 0, 0), (1, 6, 5, 4), (1, 2, 1, 1), (1, 3, 5, 4)),
        strided((0, -1, 0, 0), (1, -7, 5, 4), (1, -2, 1, 1), (1, 3, 5, 4)),
        strided((0, 2, 0, 0), (1, 3, 9, 4), (1, 1, 1, 1), (1, 5, 4), ShrinkAxisMask=2),
        strided((0, 0), (1, 2), (1, 1), (1, 6, 5, 2), EllipsisMask=1),
        strided((0, 0, 1, 0), (0, 0, 3, 0), (1, 1, 1, 1), (1, 6, 2, 4), BeginMask=11, EndMask=11),
    ]
    axis = net.constant(integers(3))
    made += net.multi("SPLIT", [axis, x], [(1, 6, 5, 2)] * 2, "SplitOptions", NumSplits=2)
    sizes = net.constant(integers(1, -1))
    rows = net.constant(integers(1))
    shapes = [(1, 1, 5, 4), (1, 5, 5, 4)]
    made += net.multi("SPLIT_V", [x, sizes, rows], shapes, "SplitVOptions", NumSplits=2)
    picked = net.constant(integers(3, 0))
    made.append(net.op("GATHER", [x, picked], (1, 6, 5, 2), "GatherOptions", Axis=3))
    return net.output(*made)


@case
def shape_arithmetic() -> TfliteModel:
    net = TfliteModel()
    x = net.input(1, 4, 3, 2)
    shape = net.op("SHAPE", [x], (4,), "ShapeOptions", "int32", OutType=2)
    limits = [net.constant(integers(n)) for n in (0, 1, 1)]
    options = {"ShrinkAxisMask": 1}
    batch = net.op("STRIDED_SLICE", [shape, *limits], (), "StridedSliceOptions", "int32", **options)
    rest = net.constant(np.array(24, np.int32))
    target = net.op("PACK", [batch, rest], (2,), "PackOptions", "int32", ValuesCount=2, Axis=0)
    return net.output(net.op("RESHAPE", [x, target], (1, 24), "ReshapeOptions"))


@case
def half_weights() -> TfliteModel:
    net = TfliteModel()
    x = net.input(1, 5, 5, 3)
    stored = net.constant(normal(4, 3, 3, 3).astype(np.float16))
    weights = net.op("DEQUANTIZE", [stored], (4, 3, 3, 3), "DequantizeOptions")
    options = window_options((1, 1), (1, 1), SAME, RELU)
    bias = net.constant(normal(4))
    made = net.op("CONV_2D", [x, weights, bias], (1, 5, 5, 4), "Conv2DOptions", **options)
    return net.output(made)


@case
def products_of_matrices() -> TfliteModel:
    net = TfliteModel()
    a, b = net.input(1, 4, 5), net.input(1, 6, 5)
    made = net.op("BATCH_MATMUL", [a, b], (1, 4, 6), "BatchMatMulOptions", AdjY=1)
    return net.output(made)


def lstm(
    net: TfliteModel, x: int, width: int, size: int, *, shape: tuple[int, ...], **options: Any
) -> int:
    """UNIDIRECTIONAL_SEQUENCE_LSTM without optional parts; ``shape`` is that of the output."""
    batch = shape[1] if options.get("TimeMajor") else shape[0]
    weights = [net.constant(normal(size, width) / 2) for _ in range(4)]
    recurrent = [net.constant(normal(size, size) / 2) for _ in range(4)]
    biases = [net.constant(normal(size)) for _ in range(4)]
    states = [net.tensor((batch, size), variable=True) for _ in range(2)]
    none = [-1]
    inputs = [x, *weights, *recurrent, *none * 3, *biases, *none * 2, *states]
    table = "UnidirectionalSequenceLSTMOptions"
    options = {"FusedActivationFunction": 4, **options}
    return net.op("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, shape, table, **options)


@case
def lstms() -> TfliteModel:
    net = TfliteModel()
    first = lstm(net, net.input(1, 5, 3), 3, 4, shape=(1, 5, 4))
    second = lstm(net, first, 4, 2, shape=(1, 5, 2), CellClip=10.0)
    return net.output(first, second)


@case
def lstm_with_a_limited_cell() -> TfliteModel:
    net = TfliteModel()
    return net.output(lstm(net, net.input(1, 6, 3), 3, 4, shape=(1, 6, 4), CellClip=0.5))


@case
def lstm_time_major() -> TfliteModel:
    net = TfliteModel()
    perm = net.constant(integers(1, 0, 2))
    x = net.op("TRANSPOSE", [net.input(1, 5, 3), perm], (5, 1, 3), "TransposeOptions")
    made = lstm(net, x, 3, 4, shape=(5, 1, 4), TimeMajor=True)
    return net.output(net.op("TRANSPOSE", [made, perm], (1, 5, 4), "TransposeOptions"))


@case
def lstms_of_both_directions() -> TfliteModel:
    """As Keras writes them: the sequence turned around before one of them, and after it."""
    net = TfliteModel()
    x = net.input(1, 5, 3)
    axis = net.constant(integers(1))
    turned = net.op("REVERSE_V2", [x, axis], (1, 5, 3), "ReverseV2Options")
    back = lstm(net, turned, 3, 4, shape=(1, 5, 4))
    back = net.op("REVERSE_V2", [back, axis], (1, 5, 4), "ReverseV2Options")
    both = [lstm(net, x, 3, 4, shape=(1, 5, 4)), back]
    return net.output(net.op("CONCATENATION", both, (1, 5, 8), "ConcatenationOptions", Axis=2))


@case
def rnn() -> TfliteModel:
    net = TfliteModel()
    x = net.input(1, 5, 3)
    constants = [net.constant(v) for v in (normal(4, 3), normal(4, 4) / 2, normal(4))]
    inputs = [x, *constants, net.tensor((1, 4), variable=True)]
    options = {"FusedActivationFunction": 4}
    made = net.op("UNIDIRECTIONAL_SEQUENCE_RNN", inputs, (1, 5, 4), "SequenceRNNOptions", **options)
    return net.output(made)
