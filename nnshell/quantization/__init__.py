"""Calibration, quantization options and the solver that gives every tensor its record.

What needs ONNX Runtime (``calibrate``) is imported from its own module.
"""

from nnshell.quantization.options import QuantizationOptions
from nnshell.quantization.quantize import QuantizedConstant, quantize_graph, remove_quantization
from nnshell.quantization.statistics import Statistics, TensorStatistics, load_statistics

__all__ = [
    "QuantizationOptions",
    "QuantizedConstant",
    "Statistics",
    "TensorStatistics",
    "load_statistics",
    "quantize_graph",
    "remove_quantization",
]
