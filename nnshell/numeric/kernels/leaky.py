"""The integers of leaky relu and prelu.

a   = x if x >= 0 else RS(x * slope_q7, 7)      slope_q7 = rnd(slope * 128)
y_q = sat8(RS(a * mu, sh) + zp_out)             mu, sh ~ s_in / s_out; (1, 0) in a fusion
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.operator import IntArray
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.numeric.fixed_point import (
    Multiplier,
    derive_multiplier,
    round_half_up,
    rounding_shift,
    saturate,
)
from nnshell.numeric.records import FloatArray
from nnshell.support.errors import QuantizationError

SLOPE_BITS = 7
LARGEST_SLOPE = 1e6  # keeps the product with any int32 within 64 bits


@dataclass(frozen=True, slots=True, eq=False)
class LeakyKernel:
    """``slope`` has one element, or those of a constant that broadcasts to the feature map."""

    slope: NDArray[np.int64]
    scaling: Multiplier

    def apply(self, x: IntArray, quantization: NodeQuantization) -> IntArray:
        """RS(x * slope, 7) below the zero point, else x; scaled by s_in / s_out, saturated."""
        output = quantization.output
        centred = x - quantization.input.zero_point
        bent = np.where(centred < 0, rounding_shift(centred * self.slope, SLOPE_BITS), centred)
        return saturate(self.scaling.apply(bent) + output.zero_point, output.limits)


def leaky_kernel(slope: FloatArray, given: QParams, output: QParams) -> LeakyKernel:
    """Slopes in Q7, limited to +-1e6, and s_in / s_out; QuantizationError for NaN."""
    if not np.isfinite(slope).all():
        raise QuantizationError("the slope of a leaky relu is NaN or infinite")
    bounded = np.clip(np.asarray(slope, np.float64), -LARGEST_SLOPE, LARGEST_SLOPE)
    slopes = round_half_up(bounded * (1 << SLOPE_BITS)).astype(np.int64)
    return LeakyKernel(slopes, derive_multiplier(given.first_scale / output.first_scale))


def wide_record(output: QParams) -> QParams:
    """int32 with the scale of the fusion's output."""
    return QParams(output.scale, 0, "int32", None, output.minimum, output.maximum)
