"""Activations in training: one module for each group of tensors that share a record."""

from __future__ import annotations

import math

import numpy as np
import torch

from nnshell.ir.facts import EVERYTHING
from nnshell.ir.qparams import QParams
from nnshell.ir.requests import Range
from nnshell.learning.training.rounding import (
    ClippedAt,
    LearnedStep,
    Tensor,
    gradient_scale,
    rounded,
    straight,
)

_SMALLEST = 1e-8  # of a step
_MOMENTUM = 0.01  # share of a batch in a moving average (0.001 to 0.01 in the paper)


class FixedActivations(torch.nn.Module):
    """DoReFa, and records that a kernel fixes: clipped to the record's range and rounded."""

    def __init__(self, record: QParams, within: Range = EVERYTHING) -> None:
        """``within`` is what the tensors never leave, as a rectifier's output."""
        super().__init__()
        self.record, self.within = record, within
        self.register_buffer("scale", torch.tensor(record.first_scale, dtype=torch.float32))
        self.register_buffer("zero", torch.tensor(float(record.zero_point)))

    @property
    def learns(self) -> bool:
        """Whether the range may end elsewhere than it began."""
        return False

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest integer, counted from the zero point."""
        low, high = self.record.limits
        zero = int(self.zero)
        return low - zero, high - zero

    @property
    def largest_step(self) -> float:
        """The step at which the grid ends where the tensors do."""
        above = self.limits[1]
        return self.within.maximum / above if above > 0 else math.inf

    def step(self) -> Tensor:
        """The size of a step."""
        result: Tensor = self.scale
        return result

    def forward(self, values: Tensor) -> Tensor:
        return straight(values, self.step().clone(), self.limits)

    def range(self) -> Range:
        """The real numbers of the smallest and the largest integer: gives just this record."""
        step = float(self.step().detach())
        low, high = self.limits
        return Range(low * step, high * step)


class StepActivations(FixedActivations):
    """LSQ: the step is learned, the zero point stays."""

    def __init__(self, record: QParams, within: Range = EVERYTHING) -> None:
        super().__init__(record, within)
        self.learned = torch.nn.Parameter(self.scale.clone())

    @property
    def learns(self) -> bool:
        return True

    def step(self) -> Tensor:
        return self.learned.clamp(_SMALLEST, self.largest_step)

    def forward(self, values: Tensor) -> Tensor:
        factor = gradient_scale(values[0].numel(), self.limits)
        zero = torch.zeros((), device=values.device)
        result: Tensor = LearnedStep.apply(values, self.step(), zero, self.limits, factor)
        return result


class OffsetActivations(StepActivations):
    """LSQ+: step and offset are learned; the offset used is the nearest zero point's."""

    def __init__(self, record: QParams, within: Range = EVERYTHING) -> None:
        super().__init__(record, within)
        low = record.limits[0]
        start = (low - record.zero_point) * record.first_scale  # real value of the lowest integer
        self.offset = torch.nn.Parameter(torch.tensor(start, dtype=torch.float32))

    def _place(self) -> None:
        """Takes the zero point from the offset."""
        low, high = self.record.limits
        with torch.no_grad():
            self.zero.copy_((low - rounded(self.offset / self.step())).clamp(low, high))

    def forward(self, values: Tensor) -> Tensor:
        self._place()
        low, high = self.record.limits
        limits = (0, high - low)
        on_grid = (low - self.zero) * self.step().detach()
        offset = self.offset + (on_grid - self.offset).detach()
        factor = gradient_scale(values[0].numel(), limits)
        result: Tensor = LearnedStep.apply(values, self.step(), offset, limits, factor)
        return result

    def range(self) -> Range:
        self._place()
        return super().range()


class RangeActivations(FixedActivations):
    """QAT: the range is a moving average of those of the batches."""

    def __init__(self, record: QParams, within: Range = EVERYTHING) -> None:
        super().__init__(record, within)
        low, high = self.limits
        ends = np.array([low, high]) * record.first_scale
        self.register_buffer("ends", torch.tensor(ends, dtype=torch.float32))

    @property
    def learns(self) -> bool:
        return True

    def forward(self, values: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                inside = values.clamp(self.within.minimum, self.within.maximum)
                batch = torch.stack([inside.min().clamp(max=0), inside.max().clamp(min=0)])
                self.ends.lerp_(batch, _MOMENTUM)
                self._follow()
        return straight(values, self.step().clone(), self.limits)

    def _follow(self) -> None:
        """Scale and zero point of the range, as ``numeric.records`` makes them."""
        low, high = self.record.limits
        if self.record.asymmetric:
            step = ((self.ends[1] - self.ends[0]) / (high - low)).clamp(min=_SMALLEST)
            self.zero.copy_(torch.round(low - self.ends[0] / step).clamp(low, high))
        else:
            below, above = self.limits
            step = self.ends[1] / max(above, 1)
            if below:
                step = torch.maximum(step, self.ends[0] / below)
            step = step.clamp(min=_SMALLEST)
        self.scale.copy_(step)


class ClippedActivations(FixedActivations):
    """PACT: the largest value is learned; weight decay draws it in."""

    def __init__(self, record: QParams, within: Range = EVERYTHING) -> None:
        super().__init__(record, within)
        self.alpha = torch.nn.Parameter(self.scale * self.limits[1])

    @property
    def learns(self) -> bool:
        return True

    def step(self) -> Tensor:
        return self._reach() / self.limits[1]

    def _reach(self) -> Tensor:
        return self.alpha.clamp(_SMALLEST, self.within.maximum)

    def forward(self, values: Tensor) -> Tensor:
        result: Tensor = ClippedAt.apply(values, self._reach(), self.limits)
        return result


def activations_of(
    quantizer: str, record: QParams, free: bool, within: Range = EVERYTHING
) -> FixedActivations:
    """How a quantizer treats tensors of this record; ``free``: their range is ours to choose."""
    if not free or record.limits[1] <= record.zero_point:
        return FixedActivations(record, within)
    if quantizer == "lsq+" and record.asymmetric and within.minimum < 0:
        return OffsetActivations(record, within)
    if quantizer in ("lsq", "lsq+"):
        return StepActivations(record, within)
    if quantizer == "qat":
        return RangeActivations(record, within)
    if quantizer == "pact":
        return ClippedActivations(record, within)
    return FixedActivations(record, within)
