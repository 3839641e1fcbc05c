"""Calibration, quantization options and the solver that gives every tensor its record.

What needs ONNX Runtime is resolved on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nnshell.quantization.basis import Basis
from nnshell.quantization.imported import ImportedQuantization
from nnshell.quantization.learned import Learned
from nnshell.quantization.options import QuantizationOptions
from nnshell.quantization.quantize import QuantizedConstant, quantize_graph, remove_quantization
from nnshell.quantization.ranges.statistics import Statistics, TensorStatistics, load_statistics
from nnshell.quantization.rows import QuantizationRow, quantization_rows

if TYPE_CHECKING:
    from nnshell.quantization.ranges.calibration import calibrate_graph, random_batches

_LAZY = ("calibrate_graph", "random_batches")

__all__ = [
    "Basis",
    "ImportedQuantization",
    "Learned",
    "QuantizationOptions",
    "QuantizationRow",
    "QuantizedConstant",
    "Statistics",
    "TensorStatistics",
    "calibrate_graph",
    "load_statistics",
    "quantization_rows",
    "quantize_graph",
    "random_batches",
    "remove_quantization",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nnshell.quantization.ranges import calibration

    return getattr(calibration, name)
