"""The integers of sigmoid and tanh: a table read at a Q12 argument, then requantized.

In a fusion the filter gives the Q12 argument as int32. A stand-alone node has int8 inputs in
[-8, 8], which the kernel shifts left by 8 to Q12: it takes their scale 8/127 as 1/16. NNTool's
results do not tell this from an exact rescaling; the shift is what its kernel is known to do.

    y_q = sat8(RS(table_q15 * mu, sh) + zp_out)      mu, sh ~ 2**-15 / s_out
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nnshell.ir.operator import IntArray
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.requests import QuantizeRequest, Range, plain_quantization
from nnshell.numeric.fixed_point import Multiplier, derive_multiplier, saturate
from nnshell.numeric.records import fixed_record, symmetric_record

ARGUMENT_FRACTION_BITS = 12
RESULT_FRACTION_BITS = 15
INT8_ARGUMENT_SHIFT = 8


@dataclass(frozen=True, slots=True, eq=False)
class LookUpKernel:
    """The multiplier from Q15 to the output's scale."""

    scaling: Multiplier

    def apply(
        self,
        function: Callable[[IntArray], IntArray],
        quantization: NodeQuantization,
        x: IntArray,
    ) -> IntArray:
        """``function`` (a Q12 argument, a Q15 result), scaled to the output and saturated."""
        wide = quantization.input.dtype == "int32"
        argument = x if wide else (x - quantization.input.zero_point) << INT8_ARGUMENT_SHIFT
        output = quantization.output
        scaled = self.scaling.apply(function(argument))
        return saturate(scaled + output.zero_point, output.limits)


def quantize_look_up(request: QuantizeRequest) -> NodeQuantization:
    """The records as asked for, and the factor 2^-15 / s_out."""
    ratio = np.ldexp(1.0, -RESULT_FRACTION_BITS) / request.output.first_scale
    return plain_quantization(request, LookUpKernel(derive_multiplier(ratio)))


def argument_record() -> QParams:
    """int8 in [-8, 8]."""
    return symmetric_record(Range(-8.0, 8.0), forced=True)


def wide_argument_record() -> QParams:
    """int32 in Q12."""
    return fixed_record(float(np.ldexp(1.0, -ARGUMENT_FRACTION_BITS)), "int32")
