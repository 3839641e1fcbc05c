"""Weights of filters in training: what each quantizer rounds them to, and the integers it chose."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nnshell.ir.qparams import FLOAT_BITS, INT8_BITS, QParams
from nnshell.learning.training.options import TANH_WEIGHTS
from nnshell.learning.training.rounding import (
    LearnedStep,
    Tensor,
    gradient_scale,
    rounded,
    straight,
    tanh_normalized,
)

_SMALLEST = 1e-8  # of a step
_REACH = 0.8  # tanh of the largest weight at the start, where tanh is nearly straight


class FloatWeights(torch.nn.Module):
    """Weights as they are."""

    def start(self, weights: Tensor) -> Tensor:
        """The values to train that stand for ``weights``."""
        return weights

    def real(self, values: Tensor) -> Tensor:
        """The weights that trained values stand for, before rounding."""
        return values

    def forward(self, values: Tensor) -> Tensor:
        """The weights as the layer uses them; output channel first, as everywhere here."""
        return values

    def step(self, values: Tensor) -> Tensor | None:
        """Size of a step for each output channel, or one; None without rounding."""
        return None


class RoundedWeights(FloatWeights):
    """Weights on the grid of a record whose zero point is 0."""

    def __init__(self, record: QParams, weights: NDArray[Any]) -> None:
        super().__init__()
        self.limits, self.bits = record.limits, record.bits
        scale = torch.from_numpy(np.array(record.scale, np.float32))
        self.register_buffer("first", scale.reshape(-1, *(1 for _ in weights.shape[1:])))
        self.shared = math.prod(weights.shape) // scale.numel()  # weights that have one step

    def integers(self, values: Tensor) -> Tensor:
        """What the weights are as integers."""
        step = self.step(values)
        assert step is not None
        return rounded(self.real(values) / step).clamp(*self.limits)

    def reach(self, values: Tensor) -> Tensor:
        """The largest of the weights that share a step."""
        magnitudes = values.abs()
        if self.first.numel() == 1:
            return magnitudes.amax().reshape(self.first.shape)
        return magnitudes.amax(dim=tuple(range(1, values.ndim)), keepdim=True)


class StepWeights(RoundedWeights):
    """LSQ and LSQ+: steps are learned; they begin at those of the record."""

    def __init__(self, record: QParams, weights: NDArray[Any]) -> None:
        super().__init__(record, weights)
        self.learned = torch.nn.Parameter(self.first.clone())
        self.factor = gradient_scale(self.shared, self.limits)

    def step(self, values: Tensor) -> Tensor:
        return self.learned.detach().clamp(min=_SMALLEST)

    def forward(self, values: Tensor) -> Tensor:
        step = self.learned.clamp(min=_SMALLEST)
        zero = torch.zeros((), device=values.device)
        result: Tensor = LearnedStep.apply(values, step, zero, self.limits, self.factor)
        return result


class RangeWeights(RoundedWeights):
    """QAT: steps follow from the largest weight of each channel, at every step of training."""

    def step(self, values: Tensor) -> Tensor:
        reach = self.reach(values.detach())
        return torch.where(reach < _SMALLEST, torch.ones_like(reach), reach) / self.limits[1]

    def forward(self, values: Tensor) -> Tensor:
        return straight(values, self.step(values), self.limits)


class TanhWeights(RoundedWeights):
    """DoReFa and PACT: w = m tanh(v) / max|tanh(v)|, m the largest weight at the start.

    The paper has m = 1, as a batch norm follows; where norms are folded into filters the scale has
    to stay. Below 8 bits the grid is the paper's, -1 to 1 in 2^k values; at 8 bits that of int8.
    """

    def __init__(self, record: QParams, weights: NDArray[Any]) -> None:
        super().__init__(record, weights)
        reach = self.reach(torch.from_numpy(np.array(weights, np.float32)))
        self.register_buffer("scale", torch.where(reach < _SMALLEST, torch.ones_like(reach), reach))
        self.odd = self.bits < INT8_BITS  # the record has a bit more than the weights

    def start(self, weights: Tensor) -> Tensor:
        return torch.atanh((weights / self.scale * _REACH).clamp(-_REACH, _REACH))

    def real(self, values: Tensor) -> Tensor:
        largest = self.reach(torch.tanh(values)).clamp(min=_SMALLEST)
        return tanh_normalized(values, largest) * self.scale

    def step(self, values: Tensor) -> Tensor:
        return self.scale / self.limits[1]

    def integers(self, values: Tensor) -> Tensor:
        units = self.real(values) / self.step(values)
        if not self.odd:
            return rounded(units).clamp(*self.limits)
        half = (units + self.limits[1]) / 2  # 0 to 2^k - 1
        return 2 * rounded(half).clamp(0, self.limits[1]) - self.limits[1]

    def forward(self, values: Tensor) -> Tensor:
        real = self.real(values)
        with torch.no_grad():
            change = self.integers(values) * self.step(values) - real
        return real + change


def weights_of(quantizer: str, record: QParams | None, weights: NDArray[Any]) -> FloatWeights:
    """How a quantizer treats a filter with this record of its weights (output channel first)."""
    if record is None or record.bits == FLOAT_BITS:
        return FloatWeights()
    if quantizer in TANH_WEIGHTS:
        return TanhWeights(record, weights)
    return RangeWeights(record, weights) if quantizer == "qat" else StepWeights(record, weights)
