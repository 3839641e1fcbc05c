"""The integers of relu, relu6, relun and clip: bounds, then another record if there is one.

    y_q = min(max(x, q(lower)), q(upper))

After a filter both records are the same and that is all: the filter requantizes into the
rectifier's range, so that the lower bound is the zero point and the upper one is 127. Elsewhere
``sat8(RS((y_q - zp_in) * mu, sh) + zp_out)`` with the ratio s_in / s_out follows.

NNTool leaves the upper bound out while its switch force_relu is on, because 127 stands for it;
that does not hold where a concat gave the tensor a wider record, so it is applied here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nnshell.ir.operator import IntArray
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.requests import QuantizeRequest, plain_quantization
from nnshell.numeric.fixed_point import Multiplier, derive_multiplier, saturate


@dataclass(frozen=True, slots=True, eq=False)
class RectifierKernel:
    """Bounds in the integers of the input; None where there is no bound."""

    lower: int | None
    upper: int | None
    scaling: Multiplier
    same_record: bool

    def apply(self, x: IntArray, given: QParams, output: QParams) -> IntArray:
        """Limits in units of the input, then s_in / s_out unless records are equal; saturated."""
        bounded = x if self.lower is None else np.maximum(x, self.lower)
        if self.upper is not None:
            bounded = np.minimum(bounded, self.upper)
        if self.same_record:
            return bounded
        scaled = self.scaling.apply(bounded - given.zero_point)
        return saturate(scaled + output.zero_point, output.limits)


def quantize_rectifier(request: QuantizeRequest, lower: float, upper: float) -> NodeQuantization:
    """Records as requested, bounds quantized by the input's record."""
    source, output = request.record(0), request.output
    kernel = RectifierKernel(
        _bound(source, lower),
        _bound(source, upper),
        derive_multiplier(source.first_scale / output.first_scale),
        source.same_record(output),
    )
    return plain_quantization(request, kernel)


def _bound(record: QParams, value: float) -> int | None:
    return int(record.quantize(np.array([value], np.float32))[0]) if math.isfinite(value) else None
