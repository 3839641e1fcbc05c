"""Narrower ranges than what was seen: a few clipped outliers for finer steps.

``std3`` and ``std5`` keep mean +- 3 or 5 standard deviations. ``laplace`` and ``gaus`` keep what
minimizes the expected squared error of 8-bit values of such a distribution (R. Banner et al.,
"Post training 4-bit quantization of convolutional networks for rapid-deployment", 2019, table of
optimal clipping values); ``mix`` takes the one of the two with the smaller expected error.
A clipped range never exceeds the observed one. NNTool's own factors were not compared.
"""

from __future__ import annotations

import math

from nnshell.errors import QuantizationError
from nnshell.ir.operator import Range
from nnshell.quantization.statistics import TensorStatistics

LAPLACE_8_BITS = 9.89675982  # times the mean absolute deviation
GAUSS_8_BITS = 3.92403714  # times the standard deviation
_LEVELS = 256


def clipped_range(entry: TensorStatistics, clip_type: str, where: str) -> Range:
    """The range that ``clip_type`` keeps of what was seen."""
    if clip_type == "none":
        return entry.range
    mean, std, b = entry.mean, entry.std, entry.b
    if mean is None or std is None or b is None:
        raise QuantizationError(
            f"the statistics have no mean and deviation for clip_type {clip_type}",
            where=where,
            hint=f"calibrate with it: aquant IMAGES --clip_type {clip_type}",
        )
    reach = _reach(clip_type, std, b)
    kept = Range(max(entry.minimum, mean - reach), min(entry.maximum, mean + reach))
    return kept if kept.minimum < kept.maximum else entry.range


def _reach(clip_type: str, std: float, b: float) -> float:
    """How far from the mean values are kept."""
    if clip_type == "std3":
        return 3.0 * std
    if clip_type == "std5":
        return 5.0 * std
    laplace, gauss = LAPLACE_8_BITS * b, GAUSS_8_BITS * std
    if clip_type == "laplace":
        return laplace
    if clip_type == "gaus":
        return gauss
    return laplace if _laplace_error(laplace, b) < _gauss_error(gauss, std) else gauss


def _laplace_error(reach: float, b: float) -> float:
    """Expected squared error of clipping at +-reach and rounding, values of deviation ``b``."""
    return 2 * b * b * math.exp(-reach / b) + _rounding_error(reach) if b > 0 else 0.0


def _gauss_error(reach: float, std: float) -> float:
    if std <= 0:
        return 0.0
    ratio = reach / (std * math.sqrt(2))
    tail = (std * std + reach * reach) * math.erfc(ratio)
    edge = math.sqrt(2 / math.pi) * reach * std * math.exp(-ratio * ratio)
    return tail - edge + _rounding_error(reach)


def _rounding_error(reach: float) -> float:
    step = 2 * reach / _LEVELS
    return step * step / 12
