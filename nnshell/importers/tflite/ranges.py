"""Ranges of activations that a quantized TFLite file implies: what its integers can stand for."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnshell.importers.tflite.file import TensorEntry, TfliteFile
from nnshell.ir.qparams import QParams
from nnshell.ir.requests import Range

_LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}


def range_of(tensor: TensorEntry) -> Range | None:
    """The extremes that the converter stored, or those of the integers; 0 is within.

    Stored extremes stay float32, as does what is made of them; computed ones are float64. None
    where the file says nothing, as of float tensors.
    """
    quantization = tensor.quantization
    if quantization is None or tensor.dtype not in _LIMITS:
        return None
    low, high = quantization.minimum, quantization.maximum
    if low is not None and high is not None and low.size and high.size:
        return _with_zero(np.float32(low[0]), np.float32(high[0]))
    if not quantization.scale.size:
        return None
    scale = float(np.float64(quantization.scale[0]))
    zero = int(quantization.zero_point[0]) if quantization.zero_point.size else 0
    least, most = _LIMITS[tensor.dtype]
    return _with_zero((least - zero) * scale, (most - zero) * scale)


def _with_zero(low: Any, high: Any) -> Range | None:
    if not (np.isfinite(low) and np.isfinite(high)) or low > high:
        return None
    return Range(low if low < 0 else 0.0, high if high > 0 else 0.0)


def stored_record(tensor: TensorEntry) -> QParams | None:
    """The record that int8 weights are stored with; None where they have zero points."""
    quantization = tensor.quantization
    if quantization is None or tensor.dtype != "int8" or quantization.zero_point.any():
        return None
    scale = quantization.scale
    low, high = quantization.minimum, quantization.maximum
    if low is None or high is None or low.size != scale.size or high.size != scale.size:
        low, high = np.float32(-128) * scale, np.float32(127) * scale
    axis = 0 if scale.size > 1 else None
    return QParams(scale, 0, "int8", axis, low, high, narrow=True) if scale.size else None


def ranges_of(file: TfliteFile) -> dict[int, Range]:
    """Ranges by tensor; a float end of the graph has that of the integers next to it."""
    results = {t.index: r for t in file.tensors if (r := range_of(t)) is not None}
    for operator in file.operators:
        if operator.op not in ("QUANTIZE", "DEQUANTIZE") or not operator.inputs:
            continue
        source, result = operator.inputs[0], operator.outputs[0]
        if source in results:
            results.setdefault(result, results[source])
        elif result in results:
            results.setdefault(source, results[result])
    return results
