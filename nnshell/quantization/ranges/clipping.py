"""Narrower ranges than what was seen: a few clipped outliers for finer steps.

``std1`` to ``std5`` keep mean +- so many standard deviations. ``laplace`` and ``gaus`` keep what
minimizes the expected squared error of such a distribution at the bits in use (R. Banner et al.,
"Post training 4-bit quantization of convolutional networks for rapid-deployment", 2019, table of
optimal clipping values); ``mix`` takes the one of the two with the smaller expected error. With
fewer than 8 bits, a tensor that is never negative counts as one half of a distribution around 0,
which has a bit more. The others are searched in a histogram (``range_search``).
A clipped range never exceeds the observed one. NNTool's own factors were not compared.
"""

from __future__ import annotations

import math
from functools import lru_cache

from nnshell.ir.qparams import INT8_BITS
from nnshell.ir.requests import Range
from nnshell.numeric.weight_clipping import GAUSS_REACH, LAPLACE_REACH
from nnshell.quantization.options import HISTOGRAM_CLIPS
from nnshell.quantization.ranges.histogram import Histogram
from nnshell.quantization.ranges.search import (
    entropy_range,
    kth_range,
    least_error_range,
    percentile_range,
    trimmed_range,
    whiskers_range,
)
from nnshell.quantization.ranges.statistics import TensorStatistics
from nnshell.support.errors import QuantizationError


def clipped_range(
    entry: TensorStatistics, clip_type: str, where: str, bits: int = INT8_BITS
) -> Range:
    """The range that ``clip_type`` keeps of what was seen, for so many bits."""
    if clip_type == "none":
        return entry.range
    bits = min(bits, INT8_BITS)
    if clip_type in HISTOGRAM_CLIPS:
        if entry.histogram is None:
            raise _not_collected("histogram", clip_type, where)
        return _searched(entry.histogram, clip_type, bits) or entry.range
    mean, std, b = entry.mean, entry.std, entry.b
    if mean is None or std is None or b is None:
        raise _not_collected("mean and deviation", clip_type, where)
    center = mean
    if bits < INT8_BITS and entry.minimum >= 0 and not clip_type.startswith("std"):
        bits, center = bits + 1, 0.0
        std, b = math.sqrt(2 * (std * std + mean * mean)), 2 * mean  # of both halves
    reach = _reach(clip_type, std, b, bits)
    kept = Range(max(entry.minimum, center - reach), min(entry.maximum, center + reach))
    return kept if kept.minimum < kept.maximum else entry.range


def _not_collected(what: str, clip_type: str, where: str) -> QuantizationError:
    return QuantizationError(
        f"the statistics have no {what} for clip_type {clip_type}",
        where=where,
        hint=f"calibrate with it: aquant IMAGES --clip_type {clip_type}",
    )


@lru_cache(maxsize=1024)  # experiments quantize the same statistics hundreds of times
def _searched(histogram: Histogram, clip_type: str, bits: int) -> Range | None:
    """None when there is nothing to choose from."""
    if not histogram.total or not histogram.reach:
        return None
    result = {
        "percentile": lambda: percentile_range(histogram),
        "kth": lambda: kth_range(histogram, bits),
        "entropy": lambda: entropy_range(histogram, bits),
        "mse": lambda: least_error_range(histogram, bits),
        "histogram": lambda: trimmed_range(histogram, bits),
        "whiskers": lambda: whiskers_range(histogram),
    }[clip_type]()
    return result if result.minimum < result.maximum else None


def _reach(clip_type: str, std: float, b: float, bits: int) -> float:
    """How far from the mean values are kept."""
    if clip_type.startswith("std"):
        return int(clip_type[3:]) * std
    laplace, gauss = LAPLACE_REACH[bits] * b, GAUSS_REACH[bits] * std
    if clip_type == "laplace":
        return laplace
    if clip_type == "gaus":
        return gauss
    better = _laplace_error(laplace, b, bits) < _gauss_error(gauss, std, bits)
    return laplace if better else gauss


def _laplace_error(reach: float, b: float, bits: int) -> float:
    """Expected squared error of clipping at +-reach and rounding, values of deviation ``b``."""
    return 2 * b * b * math.exp(-reach / b) + _rounding_error(reach, bits) if b > 0 else 0.0


def _gauss_error(reach: float, std: float, bits: int) -> float:
    if std <= 0:
        return 0.0
    ratio = reach / (std * math.sqrt(2))
    tail = (std * std + reach * reach) * math.erfc(ratio)
    edge = math.sqrt(2 / math.pi) * reach * std * math.exp(-ratio * ratio)
    return tail - edge + _rounding_error(reach, bits)


def _rounding_error(reach: float, bits: int) -> float:
    step = 2 * reach / (1 << bits)
    return step * step / 12
