"""Rounding in training: what goes forward is on a grid, what comes back is each paper's gradient.

Grids are those of records: real = step * (q - zero), q within limits; halves go up, as in kernels.

    LSQ    (S. Esser et al., 2020)      dx = 1 inside, 0 outside
                                        ds = g (round(v) - v) inside, g * limit outside, v = x / s
    LSQ+   (Y. Bhalgat et al., 2020)    as LSQ with v = (x - offset) / s; doffset = 0 inside,
                                        g outside
    QAT    (B. Jacob et al., 2018)      dx = 1 inside, 0 outside
    PACT   (J. Choi et al., 2018)       dx = 1 below alpha, 0 from there; dalpha = 1 from alpha on
    DoReFa (S. Zhou et al., 2016)       x clipped to its range; dx as QAT; weights by their tanh

g is the gradient scale 1 / sqrt(elements of a step * largest integer).
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import torch

Tensor: TypeAlias = torch.Tensor
Limits: TypeAlias = tuple[int, int]


def rounded(values: Tensor) -> Tensor:
    """Halves up; without a gradient of its own."""
    return torch.floor(values + 0.5)


def gradient_scale(elements: int, limits: Limits) -> float:
    """LSQ's g: elements that share a step, and the largest integer of its grid."""
    return 1.0 / math.sqrt(max(1, elements) * max(1, limits[1], -limits[0]))


def reduced(gradient: Tensor, like: Tensor) -> Tensor:
    """Sums over the axes along which ``like`` was repeated."""
    if gradient.shape == like.shape:
        return gradient
    axes = list(range(gradient.ndim - like.ndim))
    axes += [
        n + len(axes)
        for n, extent in enumerate(like.shape)
        if extent == 1 and gradient.shape[n + len(axes)] != 1
    ]
    return gradient.sum(dim=axes).reshape(like.shape) if axes else gradient


class LearnedStep(torch.autograd.Function):
    """LSQ and LSQ+; ``limits`` count from the zero point, the step broadcasts."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, step: Tensor, offset: Tensor, limits: Limits, factor: float
    ) -> Tensor:
        scaled = (values - offset) / step
        integers = rounded(scaled).clamp_(*limits)
        inside = (scaled >= limits[0]) & (scaled <= limits[1])
        ctx.save_for_backward(inside, integers - scaled * inside, step, offset)
        ctx.factor = factor
        return integers * step + offset

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inside, change, step, offset = ctx.saved_tensors
        given = gradients[0]
        of_step = of_offset = None
        if ctx.needs_input_grad[1]:
            of_step = reduced(given * change, step) * ctx.factor
        if ctx.needs_input_grad[2]:
            of_offset = reduced(given * ~inside, offset) * ctx.factor
        return given * inside, of_step, of_offset, None, None


class ClippedAt(torch.autograd.Function):
    """PACT: clipped to alpha * low / high .. alpha and rounded; high, low from the zero point."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, alpha: Tensor, limits: Limits) -> Tensor:
        step = alpha / limits[1]
        above, below = values >= alpha, values < step * limits[0]
        ctx.save_for_backward(above, below, alpha)
        ctx.share = limits[0] / limits[1]
        return rounded(values / step).clamp_(*limits) * step

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        above, below, alpha = ctx.saved_tensors
        given = gradients[0]
        of_alpha = given * above + given * below * ctx.share
        return given * ~(above | below), reduced(of_alpha, alpha), None


class QuantizedGradient(torch.autograd.Function):
    """Nothing forward; DoReFa's stochastic rounding of the gradient, sample by sample.

    2 m (quantize(dr / 2m + 1/2 + noise) - 1/2) with m = max|dr| and noise within half a step.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, bits: int) -> Tensor:
        ctx.levels = 2**bits - 1
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        given, levels = gradients[0], ctx.levels
        reach = given.abs().amax(dim=tuple(range(1, given.ndim)), keepdim=True) + 1e-30
        noise = (torch.rand_like(given) - 0.5) / levels
        share = (given / (2 * reach) + 0.5 + noise).clamp(0, 1)
        return 2 * reach * (torch.floor(share * levels + 0.5) / levels - 0.5), None


def straight(values: Tensor, step: Tensor, limits: Limits) -> Tensor:
    """QAT and DoReFa: rounded and clipped; gradients pass inside the limits."""
    result: Tensor = LearnedStep.apply(
        values, step, torch.zeros((), device=values.device), limits, 1.0
    )
    return result


def tanh_normalized(values: Tensor, largest: Tensor) -> Tensor:
    """DoReFa's weights before rounding, within -1..1: tanh(w) / max|tanh(w)|.

    ``largest`` is max|tanh(w)| of the weights that share a grid; the gradient passes through it.
    """
    return torch.tanh(values) / largest
