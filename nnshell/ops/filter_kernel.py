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

from nnshell.errors import QuantizationError
from nnshell.ir.operator import QuantizeRequest
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.numeric.fixed_point import (
    IntArray,
    Multiplier,
    derive_multiplier,
    filter_available_bits,
    round_half_up,
    saturate,
    wrap_int32,
)
from nnshell.numeric.records import FloatArray, bias_record, weight_record

_FAR = 2.0**40  # beyond int32, within int64 with any offset
_INT32 = QParams(np.ones(1), 0, "int32").limits


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
    if not np.isfinite(bias).all():
        raise QuantizationError(
            "the bias holds NaN or infinity",
            where=f"node {request.name}",
            hint="open a model without them",
        )
    weight_q = _weight_record(request, weights, bias)
    bias_q = bias_record(data, weight_q)
    integers = weight_q.quantize(weights)
    units = round_half_up(np.asarray(bias, np.float64) / bias_q.scale).clip(-_FAR, _FAR)
    offset = _zero_point_offset(integers, data, output, bias_q.scale)
    taps = weights[0].size
    kernel = FilterKernel(
        integers.astype(np.int8),
        saturate(units.astype(np.int64) + offset, _INT32).astype(np.int32),
        derive_multiplier(bias_q.scale / output.first_scale, _available(taps, units, bias_q)),
    )
    records = (data, weight_q, bias_q)
    constants = (None, kernel.weights, kernel.bias)
    return NodeQuantization(records, request.outputs, kernel, constants=constants)


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
    units = np.abs(np.asarray(bias, np.float64) / bias_record(request.record(0), record).scale)
    scale = np.where(units > _INT32[1], np.float32(1), record.scale)
    return replace(record, scale=scale.astype(np.float32))


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
