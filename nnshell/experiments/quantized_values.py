"""A handful of numbers quantized by every calibrator: the worked example of calibration.

For a range [low, high] that a calibrator keeps and an integer range [a, b]:

    symmetric   s = max(|low| / -a, |high| / b)      z = 0
    asymmetric  s = (high - low) / (b - a)           z = rnd(a - low / s),   0 lies in the range
    q = clip(rnd(x / s) + z, a, b)                   x' = s * (q - z)

A value that the integers cannot reach is clipped, all others are rounded. Both errors are sums of
|x - x'| over all values divided by their count, so that together they are the mean error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.requests import Range
from nnshell.quantization.options import ACCEPTED
from nnshell.quantization.ranges.clipping import clipped_range
from nnshell.quantization.ranges.observers import HistogramObserver
from nnshell.quantization.ranges.search import PERCENTILE
from nnshell.quantization.ranges.statistics import TensorStatistics
from nnshell.support.errors import UsageError

FORMS = ("symmetric", "asymmetric", "unsigned")
CLIP_TYPES: tuple[str, ...] = tuple(map(str, ACCEPTED["clip_type"]))
_FEWEST_BITS, _MOST_BITS = 2, 16
_MOST_VALUES = 100_000


@dataclass(frozen=True, slots=True)
class QuantizedValues:
    """What one calibrator makes of the numbers, in one form of integers."""

    clip_type: str
    form: str
    kept: Range
    limits: tuple[int, int]
    scale: float
    zero_point: int
    integers: tuple[int, ...]
    reals: tuple[float, ...]  # what the integers stand for
    rounding_error: float
    clipping_error: float
    clipped: int  # values beyond the integers
    why_nothing: str  # why the calibrator keeps the whole range, "" when it cuts

    @property
    def clipped_share(self) -> float:
        """Share of the values beyond the range, 0..1."""
        return self.clipped / len(self.integers)

    @property
    def mean_error(self) -> float:
        """Mean error of all values, from rounding and from clipping."""
        return self.rounding_error + self.clipping_error

    def to_json(self) -> dict[str, Any]:
        return {
            "clip_type": self.clip_type,
            "form": self.form,
            "range": [self.kept.minimum, self.kept.maximum],
            "scale": self.scale,
            "zero_point": self.zero_point,
            "integers": list(self.integers),
            "values": list(self.reals),
            "rounding_error": self.rounding_error,
            "clipping_error": self.clipping_error,
            "mean_error": self.mean_error,
            "clipped": self.clipped,
            "clipped_share": self.clipped_share,
            "note": self.why_nothing,
        }


def quantize_values(
    numbers: Sequence[float],
    *,
    bits: int = 8,
    levels: int | None = None,
    clip_types: Sequence[str] = CLIP_TYPES,
    forms: Sequence[str] = FORMS,
) -> list[QuantizedValues]:
    """The numbers quantized by each calibrator in each form of integers.

    ``levels`` are how many integers are used, by default all of ``bits``: with 255 of 8 bits,
    symmetric integers go from -127 to 127. Raises UsageError for numbers that are not finite, no
    numbers, or options out of reach.
    """
    values = np.asarray(numbers, np.float64)
    if not 1 <= values.size <= _MOST_VALUES or not np.isfinite(values).all():
        raise UsageError(f"1 to {_MOST_VALUES:,} finite numbers can be quantized")
    if not _FEWEST_BITS <= bits <= _MOST_BITS:
        raise UsageError(f"{bits} bits are out of reach", hint=f"{_FEWEST_BITS} to {_MOST_BITS}")
    levels = 1 << bits if levels is None else levels
    if not 3 <= levels <= 1 << bits:
        raise UsageError(f"{bits} bits have no {levels} levels", hint=f"3 to {1 << bits}")
    statistics = _statistics(values)
    return [
        _quantized(values, statistics, clip_type, form, bits, levels)
        for clip_type in clip_types
        for form in forms
    ]


def _statistics(values: NDArray[np.float64]) -> TensorStatistics:
    observer = HistogramObserver()
    observer.update({"values": values[np.newaxis]})
    return observer.result()


def _limits(form: str, levels: int) -> tuple[int, int]:
    """The integers in use; an odd number of signed ones lies evenly around 0."""
    if form == "unsigned":
        return 0, levels - 1
    return -(levels // 2), (levels - 1) // 2


def _quantized(
    values: NDArray[np.float64],
    statistics: TensorStatistics,
    clip_type: str,
    form: str,
    bits: int,
    levels: int,
) -> QuantizedValues:
    kept = clipped_range(statistics, clip_type, "the numbers", bits)
    limits = low, high = _limits(form, levels)
    scale, zero_point = _record(kept.including_zero(), form, limits)
    units = np.floor(values / scale + 0.5) + zero_point
    integers = np.clip(units, low, high).astype(np.int64)
    reals = scale * (integers - zero_point)
    clipped = (units < low) | (units > high)
    errors = np.abs(values - reals)
    return QuantizedValues(
        clip_type,
        form,
        kept,
        limits,
        scale,
        zero_point,
        tuple(int(q) for q in integers),
        tuple(float(x) for x in reals),
        float(errors[~clipped].sum() / values.size),
        float(errors[clipped].sum() / values.size),
        int(clipped.sum()),
        "" if clipped.any() else _why_nothing(clip_type, values.size),
    )


def _record(kept: Range, form: str, limits: tuple[int, int]) -> tuple[float, int]:
    low, high = limits
    if kept.minimum == kept.maximum:  # all numbers are 0
        return 1.0, 0 if form == "symmetric" else low
    if form == "symmetric":
        return max(abs(kept.minimum) / -low, abs(kept.maximum) / high), 0
    scale = (kept.maximum - kept.minimum) / (high - low)
    return scale, int(np.clip(np.round(low - kept.minimum / scale), low, high))


def _why_nothing(clip_type: str, count: int) -> str:
    if clip_type == "none":
        return ""
    return f"keeps all {count} values: {next(_reasons(clip_type, count))}"


def _reasons(clip_type: str, count: int) -> Iterator[str]:
    if clip_type == "percentile":
        yield f"it cuts {100 - PERCENTILE:.3g} % of them, less than one"
    if clip_type == "kth":
        yield "it cuts a share of 2^-(bits + 4) at each end, less than one value"
    if clip_type in ("mse", "histogram"):
        yield "cutting off more would cost more by clipping than it gains by rounding"
    if clip_type == "entropy":
        yield "with so few values in the histogram, no narrower range loses less information"
    if clip_type == "whiskers":
        yield "none lies 1.5 times the distance of the quartiles beyond them"
    yield "none lies as far out as it reaches"
