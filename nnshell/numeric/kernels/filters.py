"""The integers of filters (convolution, linear, batch norm): weights, bias, multipliers.

    acc = sum(w_q * x_q) + bias_q          int32, wraps around
    y_q = sat8(RS(acc * multiplier, shift))

The bias holds all zero points, so the kernel never sees one:

    bias_q = rnd(b / s_acc) + offset,      s_acc = s_in * s_w
    offset = -zp_in * sum(w_q) + rnd(zp_out * (s_out / s_acc))

At the limits of int32 the parts behave differently, as NNTool computes them: a zero point's part
that int32 does not hold becomes the smallest int32, the two parts of the offset wrap around when
they are added, and the sum of bias and offset saturates.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.requests import ChosenFilter, KernelOptions, QuantizeRequest
from nnshell.numeric.fixed_point import (
    INT32_LIMITS,
    MAX_SHIFT,
    MULTIPLIER_BITS,
    IntArray,
    Multiplier,
    converted_to_int32,
    derive_multiplier,
    filter_available_bits,
    round_half_up,
    saturate,
    wrap_int32,
)
from nnshell.numeric.records import FloatArray, bias_record, weight_record
from nnshell.support.errors import QuantizationError

_FAR = 2.0**40  # beyond int32, within int64 with any offset
FITTED = 2.0**23  # what leaves 8 of 31 bits for a multiplier
GOOD_BITS = 6  # of a multiplier: with fewer its error is above 1 %


Stored = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class FilterKernel:
    """What a filter's kernel holds; arrays run over output channels."""

    weights: NDArray[np.int8]  # output channel first
    bias: NDArray[np.int32]  # zero points included
    scaling: Multiplier  # one element per channel, or one

    @property
    def multiplier(self) -> NDArray[np.uint8]:
        """Of each output channel, or one for all; uint8."""
        return self.scaling.multiplier

    @property
    def shift(self) -> NDArray[np.int8]:
        """Of each output channel, or one for all; to the right, int8."""
        return self.scaling.shift

    @property
    def available_bits(self) -> NDArray[np.int64]:
        """Bits that the accumulator leaves for each multiplier, not limited to 8."""
        return self.scaling.available_bits

    def accumulator_limits(self, data: tuple[int, int]) -> tuple[IntArray, IntArray]:
        """Between what the sums of each channel lie, bias included, for data within its limits."""
        rows = self.weights.reshape(self.weights.shape[0], -1).astype(np.int64)
        positive, negative = np.maximum(rows, 0).sum(axis=1), np.minimum(rows, 0).sum(axis=1)
        bias = self.bias.astype(np.int64)
        low, high = data
        return positive * low + negative * high + bias, positive * high + negative * low + bias

    def finish(self, products: IntArray, output: QParams, *, wraps: bool = True) -> IntArray:
        """From sums of products (samples, channels, ...) to the output's integers.

        An accumulator beyond int32 wraps around, or becomes the smallest int32: NNTool adds up
        convolutions in float64 and converts them.
        """
        per_channel = (-1, *(1 for _ in products.shape[2:]))
        exact = products + self.bias.astype(np.int64).reshape(per_channel)
        accumulator = wrap_int32(exact) if wraps else converted_to_int32(exact)
        return saturate(self.scaling.apply(accumulator, axis=1), output.limits)


@dataclass(frozen=True, slots=True, eq=False)
class FilterParameters:
    """A filter's float constants and what was chosen about them; output channels come first."""

    name: str
    weights: FloatArray
    bias: FloatArray
    options: KernelOptions
    chosen: ChosenFilter | None = None

    @classmethod
    def of(
        cls, request: QuantizeRequest, weights: FloatArray, bias: FloatArray
    ) -> FilterParameters:
        """Float weights (output channel first) and bias, with the options of a request."""
        return cls(request.name, weights, bias, request.options, request.chosen)

    def real_bias(self) -> FloatArray:
        """The file's bias, or the one that was learned."""
        chosen = None if self.chosen is None else self.chosen.bias
        if chosen is not None and chosen.shape != self.bias.shape:
            raise self._misfit("bias")
        bias = self.bias if chosen is None else chosen
        if not np.isfinite(bias).all():
            raise QuantizationError(
                "the bias holds NaN or infinity",
                where=f"node {self.name}",
                hint="open a model without them",
            )
        return bias

    def _misfit(self, what: str) -> QuantizationError:
        return QuantizationError(
            f"the {what} that was learned for it does not fit",
            where=f"node {self.name}",
            hint="run aquant and learn it again",
        )

    def plain_integers(self) -> tuple[QParams, Stored]:
        """Record and integers of the weights whatever the bias: nearest or chosen ones."""
        chosen = self.chosen
        if chosen is None or chosen.integers is None or chosen.scale is None:
            record = weight_record(
                self.weights,
                0 if self.options.per_channel else None,
                narrow=self.options.narrow_weights,
                where=f"node {self.name}",
                bits=self.options.weight_bits,
                clip=self.options.weight_clip,
            )
            double = self.weights.dtype == np.float64
            return record, record.stored(self.weights, double=double)
        record = chosen_record(chosen.scale, self.options)
        integers = chosen.integers
        low, high = record.limits
        fits = chosen.scale.size in (1, len(self.weights)) and integers.shape == self.weights.shape
        if not fits or integers.min(initial=0) < low or integers.max(initial=0) > high:
            raise self._misfit("rounding")
        return record, integers


@dataclass(frozen=True, slots=True, eq=False)
class FilterRecords:
    """Records of weights and bias, and the integers that they depend on."""

    weights: QParams
    bias: QParams
    integers: Stored  # of the weights, as small as they are kept
    units: NDArray[np.float64]  # rounded bias without offset
    offset: IntArray  # of the zero points

    @property
    def has_offset(self) -> bool:
        """Whether a zero point of the input is part of the bias."""
        return bool(self.offset.any())


Memo = MutableMapping[Any, Any]


def filter_records(
    parameters: FilterParameters, data: QParams, output: QParams, memo: Memo | None = None
) -> FilterRecords:
    """What follows from the records of a filter's data and output.

    ``memo`` keeps what does not depend on them from one call to the next.
    """
    memo = {} if memo is None else memo
    bias = np.asarray(parameters.real_bias(), np.float64)
    weights, integers, sums = _weights(parameters, data, output, bias, memo)
    bias_q = bias_record(data, weights)
    units = round_half_up(bias / bias_q.scale).clip(-_FAR, _FAR)
    offset = _zero_point_offset(sums, data, output, bias_q.scale)
    return FilterRecords(weights, bias_q, integers, units, offset)


def quantize_filter(
    request: QuantizeRequest, weights: FloatArray, bias: FloatArray
) -> NodeQuantization:
    """Records and kernel of a filter; ``weights`` has its output channels first."""
    data, output = request.record(0), request.output
    result = filter_records(FilterParameters.of(request, weights, bias), data, output)
    available = _available(weights[0].size, result.units, result.bias)
    kernel = FilterKernel(
        result.integers.astype(np.int8, copy=False),
        saturate(result.units.astype(np.int64) + result.offset, INT32_LIMITS).astype(np.int32),
        derive_multiplier(result.bias.scale / output.first_scale, available),
    )
    records = (data, result.weights, result.bias)
    constants = (None, kernel.weights, kernel.bias)
    return NodeQuantization(records, request.outputs, kernel, constants=constants)


def chosen_record(scale: NDArray[np.float32], options: KernelOptions) -> QParams:
    """The record of weights whose scales are given."""
    record = QParams(scale, 0, "int8", narrow=options.narrow_weights, bits=options.weight_bits)
    low, high = record.limits
    axis = 0 if scale.size > 1 else None
    return replace(record, axis=axis, minimum=low * scale, maximum=high * scale)


def _weights(
    parameters: FilterParameters,
    data: QParams,
    output: QParams,
    bias: NDArray[np.float64],
    memo: Memo,
) -> tuple[QParams, Stored, IntArray]:
    """Record, integers and sums of integers of each channel.

    A channel whose bias would not fit int32 gets scale 1, which makes its weights 0. With one
    scale for the whole tensor that would erase the layer, so there the bias saturates instead, and
    so it does where integers were chosen. With ``fit_scales`` its scale is raised no more than
    needed instead, and so are those of channels that would leave a multiplier too few bits.
    """
    if "weights" not in memo:
        record, integers = parameters.plain_integers()
        memo["weights"] = (record, integers, _channel_sums(integers))
    record, integers, sums = memo["weights"]
    chosen = parameters.chosen
    if record.axis is None or (chosen is not None and chosen.integers is not None):
        return record, integers, sums
    if parameters.options.fit_scales:
        scale = fitted_scales(record.scale, integers[0].size, data, output, bias)
        return _rescaled(parameters, record, scale, memo)
    with np.errstate(divide="ignore", invalid="ignore"):  # products of tiny scales may be 0
        units = np.abs(bias / bias_record(data, record).scale)
    far = units > INT32_LIMITS[1]
    if not far.any():
        return record, integers, sums
    scale = np.where(far, np.float32(1), record.scale).astype(np.float32)
    return _rescaled(parameters, record, scale, memo)


def _rescaled(
    parameters: FilterParameters, record: QParams, scale: NDArray[np.floating[Any]], memo: Memo
) -> tuple[QParams, Stored, IntArray]:
    """Record, integers and sums of the weights at other scales."""
    key = scale.tobytes()
    if key not in memo:
        limited = replace(record, scale=scale)
        double = parameters.weights.dtype == np.float64
        integers = limited.stored(parameters.weights, double=double)
        memo[key] = (limited, integers, _channel_sums(integers))
    limited, integers, sums = memo[key]
    return limited, integers, sums


def fitted_scales(
    scale: NDArray[np.floating[Any]],
    taps: int,
    data: QParams,
    output: QParams,
    bias: NDArray[np.float64],
) -> NDArray[np.floating[Any]]:
    """Weight scales of each channel, raised where an int32 accumulator cannot carry it.

    Bias and zero point's part stay below 2**23, which leaves a multiplier 8 bits. Where the sum of
    ``taps`` products leaves fewer than ``GOOD_BITS``, the scale is raised, by an eighth at most
    from 3 bits on, until the multiplier is exactly what it stands for.
    """
    s_in, s_out = data.first_scale, output.first_scale
    fixed = np.maximum(np.abs(bias), abs(output.zero_point) * s_out)
    wide = np.maximum(scale.astype(np.float64), fixed / (s_in * FITTED))
    factor = s_in * wide / s_out
    units = np.abs(bias) / (s_in * wide)
    bits = np.clip(filter_available_bits(taps, units), 1, MULTIPLIER_BITS)
    fraction, exponent = np.frexp(factor)
    steps = np.ldexp(1.0, np.clip(np.minimum(bits, MAX_SHIFT + exponent), 1, MULTIPLIER_BITS))
    exact = np.ldexp(np.ceil(fraction * steps) / steps, exponent) * s_out / s_in
    raised = np.where(bits < GOOD_BITS, exact, wide)
    fitted: NDArray[np.floating[Any]] = np.where(raised > scale, raised, scale).astype(scale.dtype)
    return fitted


def _channel_sums(integers: Stored) -> IntArray:
    sums: IntArray = integers.reshape(integers.shape[0], -1).sum(axis=1, dtype=np.int64)
    return sums


def _zero_point_offset(
    sums: IntArray, data: QParams, output: QParams, scale: FloatArray
) -> IntArray:
    """The zero points of data and output in accumulator units, for each channel."""
    offset = wrap_int32(-data.zero_point * sums)
    if output.zero_point == 0:
        return offset
    shifted = round_half_up(output.zero_point * (output.first_scale / scale)).clip(-_FAR, _FAR)
    return wrap_int32(offset + converted_to_int32(shifted.astype(np.int64)))


def _available(taps: int, units: NDArray[np.float64], record: QParams) -> IntArray:
    available = filter_available_bits(taps, units)
    return (
        available if record.scale.size > 1 or available.size == 1 else available.min(keepdims=True)
    )
