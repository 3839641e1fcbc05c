"""Losses of filters at the limits of 32 bits: biases, zero points' parts, multipliers, sums.

A channel whose weights are nearly 0 while its bias or its layer's output is not has an accumulator
with a tiny unit: bias and zero point's part are then large numbers of it. What that costs is
computed with the kernel's own integers: sums whose results lie on a grid over the output's range,
and the sum that inputs of 0 give, are finished as the kernel does and compared with exact results.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.flat import FlatGraph, Item
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import Range
from nnshell.numeric.fixed_point import INT32_LIMITS, IntArray
from nnshell.numeric.kernels.filters import FilterKernel
from nnshell.quantization.losses.loss import FIT_SCALES, SYMMETRIC, Loss, channels_text

FEWEST_BITS = 4  # of a multiplier
_VISIBLE = 2.0  # steps of the output: what rounding alone does not do
_WRONG = 16.0  # steps, more than a poor multiplier makes
_GRID = 17
_STEPS = 256
_LARGEST = INT32_LIMITS[1]
_INEXACT = 2.0**40

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Channels:
    """A filter's numbers by output channel, in units of its accumulator unless said otherwise."""

    kernel: FilterKernel
    quantization: NodeQuantization
    unit: Vector  # real size of an accumulator's 1
    bias: Vector  # real bias, not rounded
    at_zero: Vector  # sum of products when all inputs are real 0
    part: Vector  # of the output's zero point

    @classmethod
    def of(cls, quantization: NodeQuantization, bias: NDArray[np.floating]) -> _Channels:
        kernel: FilterKernel = quantization.kernel
        count = len(kernel.weights)
        unit = np.broadcast_to(np.ravel(quantization.inputs[2].scale), (count,)).astype(np.float64)
        sums = kernel.weights.reshape(count, -1).astype(np.int64).sum(axis=1)
        output = quantization.output
        part = output.zero_point * output.first_scale / unit
        real = np.ravel(bias).astype(np.float64)
        return cls(
            kernel,
            quantization,
            unit,
            real / unit,
            quantization.input.zero_point * sums * 1.0,
            part,
        )

    @property
    def available(self) -> IntArray:
        return np.broadcast_to(self.kernel.available_bits, self.unit.shape)

    def limits(self) -> tuple[IntArray, IntArray]:
        """Between what sums with their bias lie."""
        return self.kernel.accumulator_limits(self.quantization.input.limits)

    def deviation(self, seen: Range | None) -> Vector:
        """The largest difference from exact results, in 256ths of the output's range."""
        output = self.quantization.output
        low, high = (float(limit) for limit in output.limits)
        if output.dtype != "int8":  # an activation reads all of int32: what was seen counts
            if seen is None:
                return np.zeros_like(self.unit)
            low, high = (limit / output.first_scale for limit in (seen.minimum, seen.maximum))
        factor = self.unit / output.first_scale
        results = np.linspace(low, high, _GRID)[:, np.newaxis]
        targets = (results - output.zero_point) / factor - self.bias + self.at_zero
        products = np.concatenate([targets, self.at_zero[np.newaxis]])
        bottom, top = (limit - self.kernel.bias.astype(np.int64) for limit in self.limits())
        products = np.floor(np.clip(products, bottom, top)).astype(np.int64)
        exact = output.zero_point + (products - self.at_zero + self.bias) * factor
        made = self.kernel.finish(products, output, wraps=False)
        step = max((high - low) / _STEPS, 1.0)
        bounded = np.clip(exact, *output.limits)
        difference: Vector = np.abs(made - bounded).max(axis=0) / step
        return difference

    def gain_error(self) -> Vector:
        """How far multipliers are from the factors they stand for."""
        error = np.abs(self.kernel.scaling.value / self.kernel.scaling.scale - 1)
        return np.broadcast_to(error, self.unit.shape)


def filter_losses(flat: FlatGraph, item: Item, seen: Range | None) -> Iterator[Loss]:
    """Losses of a quantized filter; ``seen`` is what calibration saw of what it makes."""
    quantization = item.node.quantization
    assert quantization is not None
    if not isinstance(quantization.kernel, FilterKernel) or len(quantization.inputs) < 3:
        return
    bias, weights = (flat.maker(item.inputs[index]).node.op.known_value for index in (2, 1))
    if bias is None or weights is None or np.size(bias) != len(quantization.kernel.weights):
        return
    channels = _Channels.of(quantization, bias)
    deviation = channels.deviation(seen)
    misfit = _misfits(channels, weights, item) & (deviation >= _VISIBLE)
    poor = (channels.available < FEWEST_BITS) & (deviation >= _VISIBLE) & ~misfit
    yield from _bias_part(item, channels, misfit, deviation)
    yield from _multiplier_bits(item, channels, poor, deviation)
    yield from _sum_wraps(item, channels, misfit | poor, deviation)


def _misfits(channels: _Channels, weights: NDArray[np.floating], item: Item) -> NDArray[np.bool_]:
    """Channels whose bias, or a part of it, is beyond int32; those erased for that included."""
    fixed = np.abs(channels.part) > _LARGEST
    total = np.abs(channels.bias + channels.part - channels.at_zero) > _LARGEST
    order = item.node.op.weights_order
    rows = np.abs(np.transpose(weights, order) if order else weights).reshape(
        len(channels.unit), -1
    )
    scale = np.broadcast_to(np.ravel(channels.quantization.inputs[1].scale), channels.unit.shape)
    erased = (scale == 1) & (rows.max(axis=1) < 0.5) & (rows.max(axis=1) > 0)
    return np.asarray(fixed | total | erased)


def _bias_part(
    item: Item, channels: _Channels, where: NDArray[np.bool_], deviation: Vector
) -> Iterator[Loss]:
    if not where.any():
        return
    numbers = tuple(int(n) for n in np.flatnonzero(where))
    needed = np.abs(channels.bias) + np.abs(channels.part)
    bits = int(np.ceil(np.log2(max(needed[where].max(), 2.0)))) + 1
    what = "its bias and the zero point's part of it"
    wide = f"{what} need {bits} bits of 32" if bits > 32 else f"{what} erase its weights"
    steps = float(deviation[where].max())
    text = (
        f"{channels_text(numbers, len(where))} nearly dead: {wide}, "
        f"results are up to {steps:.0f} of {_STEPS} steps off"
    )
    yield Loss(
        "bias_part", item.path, steps, "steps", text, numbers, len(where), (FIT_SCALES, SYMMETRIC)
    )


def _multiplier_bits(
    item: Item, channels: _Channels, where: NDArray[np.bool_], deviation: Vector
) -> Iterator[Loss]:
    if not where.any():
        return
    numbers = tuple(int(n) for n in np.flatnonzero(where))
    bits = max(int(channels.available[where].min()), 0)
    error, steps = float(channels.gain_error()[where].max()), float(deviation[where].max())
    noun = "bit" if bits == 1 else "bits"
    text = (
        f"{channels_text(numbers, len(where))}: {bits} {noun} of multiplier left, "
        f"scales are up to {100 * error:.3g} % and results up to {steps:.0f} of {_STEPS} steps off"
    )
    yield Loss(
        "multiplier_bits", item.path, steps, "steps", text, numbers, len(where), (FIT_SCALES,)
    )


def _sum_wraps(
    item: Item, channels: _Channels, known: NDArray[np.bool_], deviation: Vector
) -> Iterator[Loss]:
    low, high = channels.limits()
    reach = np.maximum(-low, high) / _LARGEST
    where = ~known & ((reach > 1) | (deviation >= _WRONG))
    if not where.any():
        return
    numbers = tuple(int(n) for n in np.flatnonzero(where))
    largest = float(reach[where].max())
    what = f"sums can reach {largest:.3g} times what int32 holds and wrap around"
    if largest <= 1:
        what = (
            "products with the multiplier wrap around in int32, results are up to "
            f"{deviation[where].max():.0f} of {_STEPS} steps off"
        )
    text = f"{channels_text(numbers, len(where))}: {what}"
    advice = "fewer products in a sum help: a pool before it, or two layers"
    yield Loss(
        "sum_wraps",
        item.path,
        largest,
        "times int32",
        text,
        numbers,
        len(where),
        (FIT_SCALES, SYMMETRIC),
        advice,
    )
