"""The integers of filters (convolution, linear, batch norm): weights, bias, multipliers.

    acc = sum(w_q * x_q) + bias_q          int32, wraps around
    y_q = sat8(RS(acc * multiplier, shift))

The bias holds all zero points, so the kernel never sees one:

    bias_q = rnd(b / s_acc) - zp_in * sum(w_q) + rnd(zp_out * s_out / s_acc),  s_acc = s_in * s_w
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.requests import KernelOptions, QuantizeRequest
from nnshell.numeric.fixed_point import (
    INT32_LIMITS,
    IntArray,
    Multiplier,
    derive_multiplier,
    filter_available_bits,
    round_half_up,
    saturate,
    wrap_int32,
)
from nnshell.numeric.records import FloatArray, bias_record, weight_record
from nnshell.support.errors import QuantizationError

_FAR = 2.0**40  # beyond int32, within int64 with any offset


@dataclass(frozen=True, slots=True, eq=False)
class FilterKernel:
    """What a filter's kernel holds; arrays run over output channels."""

    weights: NDArray[np.int8]  # output channel first
    bias: NDArray[np.int32]  # zero points included
    scaling: Multiplier  # one element per channel, or one

    @property
    def multiplier(self) -> NDArray[np.uint8]:
        return self.scaling.multiplier

    @property
    def shift(self) -> NDArray[np.int8]:
        return self.scaling.shift

    @property
    def available_bits(self) -> NDArray[np.int64]:
        return self.scaling.available_bits

    def finish(self, products: IntArray, output: QParams) -> IntArray:
        """From sums of products (samples, channels, ...) to the output's integers."""
        per_channel = (-1, *(1 for _ in products.shape[2:]))
        accumulator = wrap_int32(products + self.bias.astype(np.int64).reshape(per_channel))
        return saturate(self.scaling.apply(accumulator, axis=1), output.limits)


def quantize_filter(
    request: QuantizeRequest, weights: FloatArray, bias: FloatArray
) -> NodeQuantization:
    """Records and kernel of a filter; ``weights`` has its output channels first."""
    data, output = request.record(0), request.output
    bias = _chosen_bias(request, bias)
    if not np.isfinite(bias).all():
        raise QuantizationError(
            "the bias holds NaN or infinity",
            where=f"node {request.name}",
            hint="open a model without them",
        )
    weight_q, integers = _weights(request, weights, bias)
    bias_q = bias_record(data, weight_q)
    units = round_half_up(np.asarray(bias, np.float64) / bias_q.scale).clip(-_FAR, _FAR)
    offset = _zero_point_offset(integers, data, output, bias_q.scale)
    taps = weights[0].size
    kernel = FilterKernel(
        integers.astype(np.int8),
        saturate(units.astype(np.int64) + offset, INT32_LIMITS).astype(np.int32),
        derive_multiplier(bias_q.scale / output.first_scale, _available(taps, units, bias_q)),
    )
    records = (data, weight_q, bias_q)
    constants = (None, kernel.weights, kernel.bias)
    return NodeQuantization(records, request.outputs, kernel, constants=constants)


def _chosen_bias(request: QuantizeRequest, bias: FloatArray) -> FloatArray:
    chosen = None if request.chosen is None else request.chosen.bias
    if chosen is not None and chosen.shape != bias.shape:
        raise _misfit(request, "bias")
    return bias if chosen is None else chosen


def _misfit(request: QuantizeRequest, what: str) -> QuantizationError:
    return QuantizationError(
        f"the {what} that was learned for it does not fit",
        where=f"node {request.name}",
        hint="run aquant and learn it again",
    )


def _weights(
    request: QuantizeRequest, weights: FloatArray, bias: FloatArray
) -> tuple[QParams, IntArray]:
    """Record and integers of the weights: the nearest ones, or those that were chosen."""
    chosen = request.chosen
    if chosen is None or chosen.integers is None or chosen.scale is None:
        record = _weight_record(request, weights, bias)
        return record, record.quantize(weights, double=weights.dtype == np.float64)
    record = chosen_record(chosen.scale, request.options)
    integers = chosen.integers.astype(np.int64)
    low, high = record.limits
    fits = chosen.scale.size in (1, len(weights)) and integers.shape == weights.shape
    if not fits or integers.min(initial=0) < low or integers.max(initial=0) > high:
        raise _misfit(request, "rounding")
    return record, integers


def chosen_record(scale: NDArray[np.float32], options: KernelOptions) -> QParams:
    """The record of weights whose scales are given."""
    record = QParams(scale, 0, "int8", narrow=options.narrow_weights, bits=options.weight_bits)
    low, high = record.limits
    axis = 0 if scale.size > 1 else None
    return replace(record, axis=axis, minimum=low * scale, maximum=high * scale)


def _weight_record(request: QuantizeRequest, weights: FloatArray, bias: FloatArray) -> QParams:
    """Weight scales; a channel whose bias would not fit int32 gets scale 1.

    That rule was read in NNTool, no compared network exercises it. With one scale for the whole
    tensor it would erase the layer, so there the bias saturates instead.
    """
    options = request.options
    axis = 0 if options.per_channel else None
    where = f"node {request.name}"
    record = weight_record(
        weights,
        axis,
        narrow=options.narrow_weights,
        where=where,
        bits=options.weight_bits,
        clip=options.weight_clip,
    )
    if axis is None:
        return record
    with np.errstate(divide="ignore", invalid="ignore"):  # products of tiny scales may be 0
        units = np.abs(np.asarray(bias, np.float64) / bias_record(request.record(0), record).scale)
    scale = np.where(units > INT32_LIMITS[1], 1, record.scale)
    return replace(record, scale=scale.astype(record.scale.dtype))


def _zero_point_offset(
    weights: IntArray, data: QParams, output: QParams, scale: FloatArray
) -> IntArray:
    per_channel = weights.reshape(weights.shape[0], -1).sum(axis=1)
    shifted = round_half_up(output.zero_point * output.first_scale / scale).clip(-_FAR, _FAR)
    offset: IntArray = shifted.astype(np.int64) - data.zero_point * per_channel
    return offset


def _available(taps: int, units: NDArray[np.float64], record: QParams) -> IntArray:
    available = filter_available_bits(taps, units)
    return (
        available if record.scale.size > 1 or available.size == 1 else available.min(keepdims=True)
    )
