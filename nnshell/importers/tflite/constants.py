"""Constants of a TFLite file as numbers: real where the file says what integers stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.importers.tflite.file import TensorEntry, TensorQuantization, array_of
from nnshell.reading.context import MAX_ELEMENTS
from nnshell.reading.registry import Unsupported

REAL_TYPES = ("float32", "float16", "float64")
INTEGER_TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "bool")


class ConstantReader:
    """Reads constants one at a time, within a budget of elements: buffers may be shared."""

    def __init__(self) -> None:
        self._budget = MAX_ELEMENTS

    def read(self, tensor: TensorEntry) -> NDArray[Any]:
        """The tensor's numbers; integers with a scale as float64. Raises Unsupported."""
        where = f"'{tensor.name}'"
        if tensor.sparse:
            raise Unsupported(f"{where} is stored sparsely", accepted="dense tensors")
        if tensor.dtype not in (*REAL_TYPES, *INTEGER_TYPES):
            accepted = ", ".join((*REAL_TYPES, *INTEGER_TYPES))
            raise Unsupported(f"{where} has element type {tensor.dtype}", accepted=accepted)
        try:
            array = array_of(tensor)
        except ValueError as error:
            raise Unsupported(f"{where} cannot be read: {error}") from error
        self._budget -= array.size
        if self._budget < 0:
            raise Unsupported(f"{where} is too large", accepted=f"{MAX_ELEMENTS} elements in all")
        quantization = tensor.quantization
        if quantization is None or not quantization.scale.size or tensor.dtype in REAL_TYPES:
            return array
        return dequantized(array, quantization, where)


def dequantized(
    array: NDArray[Any], quantization: TensorQuantization, where: str
) -> NDArray[np.float64]:
    """(q - zero_point) * scale in float64, per tensor or along the quantized axis."""
    axis = quantization.axis
    extent = array.shape[axis] if 0 <= axis < array.ndim else 0
    scale, zero_point = quantization.scale, quantization.zero_point
    if scale.size not in (1, extent) or zero_point.size not in (1, extent):
        raise Unsupported(
            f"{where} has {scale.size} scales along axis {axis} of shape {list(array.shape)}"
        )
    shape = [1] * array.ndim
    if max(scale.size, zero_point.size) > 1:
        shape[axis] = -1
    steps, zeros = (
        numbers.astype(np.float64).reshape(shape if numbers.size > 1 else ())
        for numbers in (scale, zero_point)
    )
    with np.errstate(over="ignore", invalid="ignore"):  # scales may be anything
        real: NDArray[np.float64] = (array.astype(np.float64) - zeros) * steps
    return real
