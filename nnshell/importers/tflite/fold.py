"""TFLite operators evaluated on constants: shape arithmetic, and what converters do to weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.importers.tflite.constants import INTEGER_TYPES, REAL_TYPES
from nnshell.importers.tflite.file import OperatorEntry, TensorEntry
from nnshell.importers.tflite.slices import slice_of
from nnshell.reading.registry import Unsupported

MOST_ELEMENTS = 1 << 24  # of one result: constants of a network for a microcontroller

Array = NDArray[Any]
Evaluation = Callable[[OperatorEntry, Sequence[Array]], Array]


def fold(
    operator: OperatorEntry, inputs: Sequence[Array | None], outputs: Sequence[TensorEntry]
) -> list[Array]:
    """What the operator makes of constants. Raises Unsupported where that cannot be computed."""
    values = [array for array in inputs if array is not None]
    if len(outputs) != 1 or not values:
        raise Unsupported(f"it has {len(values)} constant inputs and {len(outputs)} outputs")
    with np.errstate(all="ignore"):
        result = np.asarray(_EVALUATIONS[operator.op](operator, values))
    if result.size > MOST_ELEMENTS:
        raise Unsupported(f"its output has {result.size} elements", accepted=f"{MOST_ELEMENTS}")
    return [_as(result, outputs[0])]


def _as(result: Array, tensor: TensorEntry) -> Array:
    """In the file's element type, where that stands for itself."""
    scaled = tensor.quantization is not None and tensor.quantization.scale.size
    if tensor.dtype in (*REAL_TYPES, *INTEGER_TYPES) and not scaled:
        return result.astype(tensor.dtype)
    return result


def _elementwise(function: Callable[..., Array]) -> Evaluation:
    def evaluate(operator: OperatorEntry, arrays: Sequence[Array]) -> Array:
        _bounded(np.broadcast_shapes(*(array.shape for array in arrays)))
        return function(*arrays)

    return evaluate


def _bounded(shape: Sequence[int]) -> tuple[int, ...]:
    extents = tuple(int(n) for n in shape)
    if min(extents, default=1) < 0 or math.prod(extents) > MOST_ELEMENTS:
        raise Unsupported(f"its output has shape {list(extents)}")
    return extents


def _divided(x: Array, y: Array) -> Array:
    quotient: Array = x / y
    return np.trunc(quotient) if x.dtype.kind in "iu" else quotient


def _numbers(array: Array) -> tuple[int, ...]:
    return tuple(int(n) for n in array.reshape(-1))


def _option(operator: OperatorEntry, name: str, default: int = 0) -> int:
    value = operator.options.get(name, default)
    return int(value) if isinstance(value, int | float) else default


def _reshape(operator: OperatorEntry, arrays: Sequence[Array]) -> Array:
    shape = operator.options.get("NewShape", ()) if len(arrays) < 2 else _numbers(arrays[1])
    assert isinstance(shape, tuple)
    return arrays[0].reshape(shape)


def _squeeze(operator: OperatorEntry, arrays: Sequence[Array]) -> Array:
    axes = operator.options.get("SqueezeDims", ())
    assert isinstance(axes, tuple)
    return arrays[0].squeeze(axes or None)


def _slice(operator: OperatorEntry, arrays: Sequence[Array]) -> Array:
    value, begin, size = arrays
    limits = zip(_numbers(begin), _numbers(size), strict=True)
    return value[tuple(slice(b, None if n == -1 else b + n) for b, n in limits)]


def _strided_slice(operator: OperatorEntry, arrays: Sequence[Array]) -> Array:
    value = arrays[0]
    begin, end, strides = (_numbers(entry) for entry in arrays[1:])
    cut = slice_of(operator.options, begin, end, strides, value.shape)
    taken = value[cut.slices].squeeze(cut.removed)
    return np.expand_dims(taken, cut.added) if cut.added else taken


def _gather(operator: OperatorEntry, arrays: Sequence[Array]) -> Array:
    value, indices = arrays
    axis = _option(operator, "Axis")
    _bounded((*value.shape[:axis], *indices.shape))
    return value.take(indices.astype(np.int64), axis)


def _tile(operator: OperatorEntry, arrays: Sequence[Array]) -> Array:
    repeats = _numbers(arrays[1])
    _bounded([n * count for n, count in zip(arrays[0].shape, repeats, strict=True)])
    return np.tile(arrays[0], repeats)


def _fill(operator: OperatorEntry, arrays: Sequence[Array]) -> Array:
    return np.full(_bounded(_numbers(arrays[0])), arrays[1].reshape(-1)[0])


def _broadcast(operator: OperatorEntry, arrays: Sequence[Array]) -> Array:
    return np.broadcast_to(arrays[0], _bounded(_numbers(arrays[1])))


def _range(operator: OperatorEntry, arrays: Sequence[Array]) -> Array:
    start, limit, delta = (float(array.reshape(-1)[0]) for array in arrays)
    _bounded([max(math.ceil((limit - start) / delta), 0)])
    return np.arange(start, limit, delta)


def _same(operator: OperatorEntry, arrays: Sequence[Array]) -> Array:
    return arrays[0]


def _pad(operator: OperatorEntry, arrays: Sequence[Array]) -> Array:
    pads = arrays[1].reshape(-1, 2)
    _bounded([n + int(pair.sum()) for n, pair in zip(arrays[0].shape, pads, strict=True)])
    fill = arrays[2].reshape(-1)[0] if len(arrays) > 2 else 0
    return np.pad(arrays[0], pads, constant_values=fill)


_EVALUATIONS: dict[str, Evaluation] = {
    "ABS": _elementwise(np.abs),
    "ADD": _elementwise(np.add),
    "BROADCAST_TO": _broadcast,
    "CAST": _same,
    "CEIL": _elementwise(np.ceil),
    "CONCATENATION": lambda op, arrays: np.concatenate(arrays, _option(op, "Axis")),
    "COS": _elementwise(np.cos),
    "DEQUANTIZE": _same,
    "DIV": _elementwise(_divided),
    "EXP": _elementwise(np.exp),
    "EXPAND_DIMS": lambda op, arrays: np.expand_dims(arrays[0], _numbers(arrays[1])),
    "FILL": _fill,
    "FLOOR": _elementwise(np.floor),
    "FLOOR_DIV": _elementwise(np.floor_divide),
    "FLOOR_MOD": _elementwise(np.mod),
    "GATHER": _gather,
    "LOG": _elementwise(np.log),
    "MAXIMUM": _elementwise(np.maximum),
    "MINIMUM": _elementwise(np.minimum),
    "MUL": _elementwise(np.multiply),
    "NEG": _elementwise(np.negative),
    "PACK": lambda op, arrays: np.stack(arrays, _option(op, "Axis")),
    "PAD": _pad,
    "PADV2": _pad,
    "POW": _elementwise(np.power),
    "QUANTIZE": _same,
    "RANGE": _range,
    "REDUCE_PROD": lambda op, arrays: np.prod(arrays[0], axis=_numbers(arrays[1])),
    "RELU": _elementwise(lambda x: np.maximum(x, 0)),
    "RESHAPE": _reshape,
    "ROUND": _elementwise(np.round),
    "RSQRT": _elementwise(lambda x: 1 / np.sqrt(x)),
    "SHAPE": lambda op, arrays: np.array(arrays[0].shape, np.int32),
    "SIN": _elementwise(np.sin),
    "SLICE": _slice,
    "SQRT": _elementwise(np.sqrt),
    "SQUARE": _elementwise(np.square),
    "SQUARED_DIFFERENCE": _elementwise(lambda x, y: (x - y) ** 2),
    "SQUEEZE": _squeeze,
    "STRIDED_SLICE": _strided_slice,
    "SUB": _elementwise(np.subtract),
    "TILE": _tile,
    "TRANSPOSE": lambda op, arrays: arrays[0].transpose(_numbers(arrays[1])),
}
FOLDABLE = frozenset(_EVALUATIONS)
