"""TFLite operators that compute, in ONNX spelling: filters, pools, arithmetic, activations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.importers.tflite.moves import MOVES
from nnshell.importers.tflite.nodes import Step
from nnshell.importers.tflite.recurrent import sequence_lstm, sequence_rnn
from nnshell.ir.foreign import AttributeValue
from nnshell.ops.channels_last import DEPTHWISE, FILTER
from nnshell.reading.registry import Unsupported

Translation = Callable[[Step], None]

_PADDINGS = {0: "SAME_UPPER", 1: "VALID"}  # the schema's numbers: the larger pad comes after


def _padding(step: Step) -> str:
    padding = _PADDINGS.get(step.option("Padding"))
    if padding is None:
        step.refuse("Padding", accepted="SAME, VALID")
    return padding


def _pair(step: Step, height: str, width: str) -> tuple[int, int]:
    return int(step.option(height)), int(step.option(width))


# -- filters -------------------------------------------------------------------------------


def _conv(step: Step) -> None:
    weights = step.constant(1)
    if weights.ndim != 4:
        raise Unsupported(f"its weights have shape {list(weights.shape)}", accepted="4 axes")
    channels = step.value(0).shape[-1]
    if not weights.shape[3] or channels % weights.shape[3]:
        raise Unsupported(f"weights {list(weights.shape)} on {channels} channels")
    _filter(step, weights, FILTER, channels // weights.shape[3])


def _depthwise(step: Step) -> None:
    """Weights are 1 x height x width x (channels * multiplier); of one channel it is a filter."""
    weights = step.constant(1)
    channels = step.value(0).shape[-1]
    if weights.ndim != 4 or weights.shape[0] != 1 or weights.shape[3] % channels:
        shape = list(weights.shape)
        raise Unsupported(f"its weights have shape {shape}, its input {channels} channels")
    multiplier = step.option("DepthMultiplier", 0)
    if multiplier and multiplier * channels != weights.shape[3]:
        step.refuse("DepthMultiplier", accepted=f"{weights.shape[3] // channels}")
    if channels == 1:
        _filter(step, weights.transpose(3, 1, 2, 0), FILTER, 1)
    else:
        _filter(step, weights, DEPTHWISE, channels)


def _filter(step: Step, weights: NDArray[Any], order: tuple[int, ...], groups: int) -> None:
    attributes: dict[str, AttributeValue] = {
        "group": groups,
        "strides": _pair(step, "StrideH", "StrideW"),
        "dilations": _pair(step, "DilationHFactor", "DilationWFactor"),
        "auto_pad": _padding(step),
    }
    operands = [step.made_constant(weights.transpose(order), step.key(1)), step.key(2)]
    step.activated(
        lambda result: step.channels_last("Conv", operands, attributes, result, weights=order)
    )


def _fully_connected(step: Step) -> None:
    """Rows of as many elements as the weights have columns; one row is a linear layer."""
    if step.option("WeightsFormat", 0):
        step.refuse("WeightsFormat", accepted="DEFAULT")
    value, weights = step.value(0), step.constant(1)
    if weights.ndim != 2:
        raise Unsupported(f"its weights have shape {list(weights.shape)}", accepted="2 axes")
    outputs, columns = weights.shape
    size = int(np.prod(value.inner, dtype=object))
    if not columns or size % columns:
        raise Unsupported(f"weights {outputs}x{columns} on {size} values")
    kept = bool(step.option("KeepNumDims", 0))
    shape = (*value.shape[:-1], outputs) if kept else (-1, outputs)
    if size == columns:
        step.activated(lambda result: _linear(step, result, shape if kept else None))
    else:
        step.activated(lambda result: _rows(step, size // columns, weights, shape, result))


def _linear(step: Step, output: str, shape: tuple[int, ...] | None) -> None:
    vector = step.as_vector(0)
    result = step.fresh() if shape is not None else output
    step.emit("Gemm", [vector, *step.inputs[1:3]], {"transB": 1}, outputs=[result])
    if shape is not None:
        target = step.made_constant(np.array(shape, np.int64))
        step.emit("Reshape", [result, target], outputs=[output], suffix="_keepdims")


def _rows(
    step: Step, rows: int, weights: NDArray[Any], shape: tuple[int, ...], output: str
) -> None:
    """Several rows in one sample: a product of matrices."""
    batch = step.context.batch_size
    target = step.made_constant(np.array([batch, rows, weights.shape[1]], np.int64))
    matrix = step.emit("Reshape", [step.key(0), target], outputs=[step.fresh()], suffix="_batch")
    factor = step.made_constant(np.ascontiguousarray(weights.T), step.key(1))
    product = step.emit("MatMul", [matrix, factor], outputs=[step.fresh()])
    if step.key(2):
        product = step.emit("Add", [product, step.key(2)], outputs=[step.fresh()], suffix="_add")
    final = step.made_constant(np.array(shape, np.int64))
    step.emit("Reshape", [product, final], outputs=[output], suffix="_keepdims")


def _batch_matmul(step: Step) -> None:
    operands = step.operands(2)
    for index, option in ((0, "AdjX"), (1, "AdjY")):
        if step.option(option, 0):
            rank = len(step.shape(index))
            perm = (*range(rank - 2), rank - 1, rank - 2)
            operands[index] = step.emit(
                "Transpose",
                [operands[index]],
                {"perm": perm},
                outputs=[step.fresh()],
                suffix=f"_transpose{index}",
            )
    step.emit("MatMul", operands)


# -- pools and means -----------------------------------------------------------------------


def _pool(step: Step, op: str, whole: str) -> None:
    """A window over all of the input that does not move is a global pool."""
    kernel, strides = _pair(step, "FilterHeight", "FilterWidth"), _pair(step, "StrideH", "StrideW")
    padding = _padding(step)
    if kernel == step.value(0).shape[1:3] and strides == (1, 1) and padding == "VALID":
        step.activated(lambda result: step.channels_last(whole, [], {}, result))
        return
    attributes: dict[str, AttributeValue] = {
        "kernel_shape": kernel,
        "strides": strides,
        "auto_pad": padding,
    }
    step.activated(lambda result: step.channels_last(op, [], attributes, result))


def _reduce(step: Step, op: str, scale: bool = False) -> None:
    """A mean, maximum or (``scale``) sum over axes; over height and width a global pool."""
    shape = step.value(0).shape
    axes = sorted({step.axis(axis, len(shape)) for axis in step.integers(1)})
    if scale:
        count = int(np.prod([shape[axis] for axis in axes], dtype=object))
        mean = step.fresh()
        _reduced(step, op, axes, mean)
        step.emit("Mul", [mean, step.made_constant(np.array([count], np.float32))], suffix="_mul")
    else:
        _reduced(step, op, axes, step.outputs[0])


def _reduced(step: Step, op: str, axes: list[int], output: str) -> None:
    value = step.value(0)
    attributes = {"keepdims": int(bool(step.option("KeepDims", 0)))}
    axes = [axis for axis in axes if axis != value.batch or step.context.batch_size > 1]
    if len(value.shape) == 4 and value.batch == 0 and axes == [1, 2]:
        first = step.made_constant(np.array([2, 3], np.int64))
        step.channels_last(op, [first], attributes, output)
    elif axes:
        step.emit(
            op,
            [step.key(0), step.made_constant(np.array(axes, np.int64))],
            attributes,
            outputs=[output],
        )
    else:
        step.emit("Identity", [step.key(0)], outputs=[output])


def _resize(step: Step, mode: str) -> None:
    """TFLite's own coordinates; nearest rounds half up where it centers or aligns, else down."""
    height, width = step.integers(1)
    align = bool(step.option("AlignCorners", 0))
    center = bool(step.option("HalfPixelCenters", 0))
    if align and center:
        step.refuse("AlignCorners", accepted="false together with HalfPixelCenters")
    shape = step.value(0).shape
    coordinates = "align_corners" if align else "half_pixel" if center else "asymmetric"
    attributes: dict[str, AttributeValue] = {
        "mode": mode,
        "coordinate_transformation_mode": coordinates,
        "nearest_mode": "round_prefer_ceil" if align or center else "floor",
    }
    sizes = step.made_constant(np.array([shape[0], shape[-1], height, width], np.int64))
    step.channels_last("Resize", ["", "", sizes], attributes, step.outputs[0])


# -- element by element --------------------------------------------------------------------


def _arithmetic(step: Step, op: str) -> None:
    step.emit_activated(op, step.operands(2))


def _squared_difference(step: Step) -> None:
    difference = step.emit("Sub", step.operands(2), outputs=[step.fresh()], suffix="_sub1")
    step.context.uses[difference] = 2
    step.emit("Mul", [difference, difference], suffix="_mul")


def _square(step: Step) -> None:
    step.emit("Mul", step.operands(1) * 2)


def _negate(step: Step) -> None:
    step.emit("Mul", [*step.operands(1), step.made_constant(np.array([-1], np.float32))])


def _limit(step: Step, lower: bool) -> None:
    """MAXIMUM and MINIMUM with one constant number clip; of two tensors there is no kernel."""
    for constant, other in ((1, 0), (0, 1)):
        bound = step.context.constants.get(step.key(constant))
        if bound is not None and bound.size == 1 and step.key(other) in step.context.values:
            number = float(bound.reshape(-1)[0])
            step.clip(step.key(other), *((number, None) if lower else (None, number)))
            return
    raise Unsupported("it compares two tensors", accepted="a tensor and one constant number")


def _softmax(step: Step) -> None:
    beta = float(step.option("Beta", 1.0))
    key = step.key(0)
    if not np.isfinite(beta):
        step.refuse("Beta", accepted="a finite number")
    if beta != 1.0:
        factor = step.made_constant(np.array([beta], np.float32))
        key = step.emit("Mul", [key, factor], outputs=[step.fresh()], suffix="_beta")
    step.emit("Softmax", [key], {"axis": -1})


def _plain(step: Step, op: str, operands: int = 1) -> None:
    step.emit(op, step.operands(operands))


_FUNCTIONS = ("Abs", "Ceil", "Cos", "Elu", "Floor", "Log", "Round", "Sign", "Sin", "Sqrt")


def _gelu(step: Step) -> None:
    approximate = "tanh" if step.option("Approximate", False) else "none"
    step.emit("Gelu", [step.key(0)], {"approximate": approximate})


def _inverse_root(step: Step) -> None:
    exponent = step.made_constant(np.array([-0.5], np.float32))
    step.emit("Pow", [step.key(0), exponent])


def _leaky(step: Step) -> None:
    step.emit("LeakyRelu", [step.key(0)], {"alpha": float(step.option("Alpha"))})


def _clip(step: Step, low: float, high: float) -> None:
    step.clip(step.key(0), low, high)


TRANSLATIONS: dict[str, Translation] = {
    **MOVES,
    "ADD": partial(_arithmetic, op="Add"),
    "AVERAGE_POOL_2D": partial(_pool, op="AveragePool", whole="GlobalAveragePool"),
    "BATCH_MATMUL": _batch_matmul,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DIV": partial(_arithmetic, op="Div"),
    "EXP": partial(_plain, op="Exp"),
    **{name.upper(): partial(_plain, op=name) for name in _FUNCTIONS},
    "GELU": _gelu,
    "RSQRT": _inverse_root,
    "FULLY_CONNECTED": _fully_connected,
    "HARD_SWISH": partial(_plain, op="HardSwish"),
    "LEAKY_RELU": _leaky,
    "LOGISTIC": partial(_plain, op="Sigmoid"),
    "MAXIMUM": partial(_limit, lower=True),
    "MAX_POOL_2D": partial(_pool, op="MaxPool", whole="GlobalMaxPool"),
    "MEAN": partial(_reduce, op="ReduceMean"),
    "MINIMUM": partial(_limit, lower=False),
    "MUL": partial(_arithmetic, op="Mul"),
    "NEG": _negate,
    "PRELU": partial(_plain, op="PRelu", operands=2),
    "REDUCE_MAX": partial(_reduce, op="ReduceMax"),
    "RELU": partial(_plain, op="Relu"),
    "RELU6": partial(_clip, low=0.0, high=6.0),
    "RELU_0_TO_1": partial(_clip, low=0.0, high=1.0),
    "RELU_N1_TO_1": partial(_clip, low=-1.0, high=1.0),
    "RESIZE_BILINEAR": partial(_resize, mode="linear"),
    "RESIZE_NEAREST_NEIGHBOR": partial(_resize, mode="nearest"),
    "SOFTMAX": _softmax,
    "SQUARE": _square,
    "SQUARED_DIFFERENCE": _squared_difference,
    "SUB": partial(_arithmetic, op="Sub"),
    "SUM": partial(_reduce, op="ReduceMean", scale=True),
    "TANH": partial(_plain, op="Tanh"),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": sequence_lstm,
    "UNIDIRECTIONAL_SEQUENCE_RNN": sequence_rnn,
}
