"""Do preprocessed inputs look right? The mistakes that cost accuracy and raise no error.

``InputChecker`` looks at batches as they pass (calibration reads them anyway) and keeps only a few
numbers; its findings are warnings with a reason, for the caller to show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nnshell.inputs.input_set import Batch
from nnshell.inputs.layout import InputSpec

LARGEST_USUAL = 4.0  # what (x - mean) / std leaves of 0..255 stays within about +-3
_FEWEST_PIXELS = 64  # of an image; the smallest digits in use are 8x8
SMALLEST_USUAL = 1 / 64  # values divided by 255 twice stay below 1/255
_NORMALIZE = 'use -D 255, or set input_norm_func "x: x/128-1": what the network was trained with'


@dataclass(frozen=True, slots=True)
class InputWarning:
    """Something that looks wrong, and why that matters or what to do."""

    message: str
    reason: str

    def __str__(self) -> str:
        return f"{self.message} - {self.reason}"


@dataclass(slots=True)
class _Column:
    """What was seen of one graph input."""

    spec: InputSpec
    low: float = np.inf
    high: float = -np.inf
    constant: int = 0
    first_constant: str = ""
    not_finite: str = ""
    first: npt.NDArray[Any] | None = None
    all_alike: bool = True

    @property
    def pictures(self) -> bool:
        """Whether samples may be images; a few numbers may be large or all alike."""
        return len(self.spec.shape) > 1 or math.prod(self.spec.shape) >= _FEWEST_PIXELS

    def update(self, array: npt.NDArray[Any], names: Sequence[str]) -> None:
        """Look at a batch of one graph input, (samples, *shape)."""
        if self.spec.optional:  # zeros are what it gets
            self.all_alike = False
            return
        rows = array.reshape(len(array), -1)
        lows, highs = rows.min(axis=1), rows.max(axis=1)
        finite = np.isfinite(lows) & np.isfinite(highs)
        if not finite.all() and not self.not_finite:
            self.not_finite = names[int(finite.argmin())]
        if finite.any():
            self.low = min(self.low, float(lows[finite].min()))
            self.high = max(self.high, float(highs[finite].max()))
        constant = lows == highs
        if constant.any() and not self.constant:
            self.first_constant = names[int(constant.argmax())]
        self.constant += int(constant.sum())
        if self.first is None:
            self.first = rows[0].copy()
        self.all_alike = self.all_alike and bool((rows == self.first).all())


@dataclass(slots=True)
class InputChecker:
    """Gathers what is needed to judge inputs, batch by batch."""

    specs: Sequence[InputSpec]
    count: int = 0
    labelled: int = 0
    classes: set[int] = field(default_factory=set)
    _columns: list[_Column] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._columns = [_Column(spec) for spec in self.specs]

    def update(self, batch: Batch) -> None:
        """Look at a batch: its labels, and the values of every graph input."""
        labels = [label for label in batch.labels if label is not None]
        self.count += len(batch)
        self.labelled += len(labels)
        self.classes.update(labels)
        for column, array in zip(self._columns, batch.arrays, strict=True):
            column.update(array, batch.names)

    def warnings(self) -> list[InputWarning]:
        """What looked wrong so far."""
        results = [warning for column in self._columns for warning in self._of_column(column)]
        if self.labelled > 1 and len(self.classes) == 1:
            message = f"all {self.labelled} labelled samples are of class {min(self.classes)}"
            reason = "ranges and accuracy of one class say little about the others"
            results.append(InputWarning(message, reason))
        return results

    def _of_column(self, column: _Column) -> list[InputWarning]:
        name, result = column.spec.name, []
        if column.not_finite:
            message = f"{name}: NaN or infinite values in {column.not_finite}"
            result.append(InputWarning(message, "they spoil every range after them"))
        if column.constant and column.pictures:
            message = f"{name}: {column.constant} of {self.count} samples are constant"
            message += f", the first is {column.first_constant}"
            result.append(InputWarning(message, "an empty image adds nothing to calibration"))
        if self.count > 1 and column.all_alike:
            message = f"{name}: all {self.count} samples are identical"
            result.append(InputWarning(message, "give images that differ, as those in use will"))
        if column.pictures and not column.spec.raw and column.low <= column.high:
            result += _range_warnings(name, column.low, column.high)
        return result


def _range_warnings(name: str, low: float, high: float) -> list[InputWarning]:
    largest = max(abs(low), abs(high))
    seen = f"{name}: preprocessed values are {low:g} to {high:g}"
    if largest > LARGEST_USUAL:
        pixels = low >= 0 and high <= 255
        why = "these look like pixels that were not normalized; " if pixels else ""
        message = f"{seen}, outside {-LARGEST_USUAL:g} to {LARGEST_USUAL:g}"
        return [InputWarning(message, why + _NORMALIZE)]
    if 0 < largest < SMALLEST_USUAL:
        message = f"{seen}, hardly different from 0"
        return [InputWarning(message, "was the division done twice, here and in the files?")]
    return []
