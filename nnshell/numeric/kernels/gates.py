"""The integers of hard sigmoid and hard swish.

    t   = min(max(x + q(beta / alpha), 0), q(1 / alpha))
    y_q = sat8(RS(t * mu, sh) + zp_out)          mu, sh ~ s_in * alpha / s_out       hard sigmoid
    y_q = sat8(RS(x * t * mu, sh) + zp_out)      mu, sh ~ s_in**2 * alpha / s_out    hard swish

with q(v) = rnd(v / s_in), not limited to int8. Hard sigmoid is compared with NNTool to the bit;
hard swish follows its description only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nnshell.ir.operator import IntArray
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.requests import QuantizeRequest, Range, plain_quantization
from nnshell.numeric.fixed_point import (
    ACCUMULATOR_BITS,
    INT32_LIMITS,
    MULTIPLIER_BITS,
    Multiplier,
    derive_multiplier,
    round_half_up,
    saturate,
)
from nnshell.numeric.records import INT8_MAX, fixed_record
from nnshell.support.errors import QuantizationError

SMALLEST_SLOPE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class GateKernel:
    """Bounds of the gate in units of the input, and the multiplier after it."""

    offset: int  # beta / alpha: 3
    upper: int  # 1 / alpha: 6
    scaling: Multiplier
    times_input: bool  # hard swish

    def apply(self, x: IntArray, quantization: NodeQuantization) -> IntArray:
        """clip(x - zp_in + offset, 0, upper), for a swish times x - zp_in; scaled, saturated."""
        output = quantization.output
        centred = x - quantization.input.zero_point
        gate = np.clip(centred + self.offset, 0, self.upper)
        product = gate * centred if self.times_input else gate
        return saturate(self.scaling.apply(product) + output.zero_point, output.limits)


def quantize_gate(
    request: QuantizeRequest, alpha: float, beta: float, *, times_input: bool
) -> NodeQuantization:
    """Bounds are rounded to float32 first, as all values that NNTool quantizes."""
    source, output = request.record(0), request.output
    offset, upper = (_steps(real, source.first_scale) for real in (beta / alpha, 1.0 / alpha))
    ratio = source.first_scale * alpha / output.first_scale
    if not times_input:
        kernel = GateKernel(offset, upper, derive_multiplier(ratio), False)
        return plain_quantization(request, kernel)
    room = ACCUMULATOR_BITS - (upper * (INT8_MAX + 1)).bit_length()
    bits = min(MULTIPLIER_BITS, max(room, 0))
    scaling = derive_multiplier(ratio * source.first_scale, bits)
    return plain_quantization(request, GateKernel(offset, upper, scaling, True))


def _steps(real: float, scale: float) -> int:
    """``real`` in units of ``scale``, as far as int32 goes."""
    with np.errstate(over="ignore"):
        steps = round_half_up(np.float64(np.float32(real)) / scale)
    return int(np.clip(steps, *INT32_LIMITS))


def gate_input_scale(alpha: float) -> float:
    """127 steps from 0 to 1 / alpha."""
    if not SMALLEST_SLOPE <= alpha <= 1.0 / SMALLEST_SLOPE:
        raise QuantizationError(
            f"a hard sigmoid with alpha={alpha:g} cannot be quantized",
            hint="its alpha must be above 0, as in 0.2 or 1/6",
        )
    return (1.0 / alpha) / INT8_MAX


def gate_input_record(alpha: float, beta: float) -> QParams:
    """int8 input of a stand-alone hard sigmoid."""
    return fixed_record(gate_input_scale(alpha), "int8", Range(-beta / alpha, 1.0 / alpha))


def wide_gate_record(alpha: float) -> QParams:
    """int32 input inside a fusion."""
    return fixed_record(gate_input_scale(alpha), "int32")
