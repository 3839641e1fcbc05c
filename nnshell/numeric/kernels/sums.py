"""The integers of add and sub: both inputs in units of the smaller scale, then requantized.

    big'  = RS(big * mu1, sh1)                   mu1, sh1 ~ s_big / s_small
    y_q   = sat8(RS((small +- big') * mu2, sh2) + bias)     mu2, sh2 ~ s_small / s_out

Neither ``big'`` nor the sum is clipped. Input 1 is scaled when its scale is the larger one, else
input 0. ``bias`` is 0 unless a zero point is not 0, which the solver avoids on inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nnshell.ir.operator import IntArray
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.requests import QuantizeRequest, plain_quantization
from nnshell.numeric.fixed_point import Multiplier, derive_multiplier, round_half_up, saturate
from nnshell.numeric.kernels.samples import align_samples


@dataclass(frozen=True, slots=True, eq=False)
class SumKernel:
    """Multipliers of a sum; ``sign`` is -1 for a difference."""

    scaled_input: int
    input_scaling: Multiplier
    scaling: Multiplier
    bias: int
    sign: int = 1

    def apply(self, inputs: Sequence[IntArray], output: QParams) -> IntArray:
        """The larger scale brought to the smaller, the sum scaled to the output, saturated."""
        terms = align_samples(inputs)
        terms[self.scaled_input] = self.input_scaling.apply(terms[self.scaled_input])
        total = terms[0] + self.sign * terms[1]
        return saturate(self.scaling.apply(total) + self.bias, output.limits)


def quantize_sum(request: QuantizeRequest, sign: int) -> NodeQuantization:
    """Records as requested, and which input is scaled by what."""
    records, signs = (request.record(0), request.record(1)), (1, sign)
    scaled = 1 if records[1].first_scale > records[0].first_scale else 0
    big, small = records[scaled], records[1 - scaled]
    to_small = big.first_scale / small.first_scale
    to_output = small.first_scale / request.output.first_scale
    zeros = (
        signs[1 - scaled] * small.zero_point + signs[scaled] * to_small * big.zero_point
    ) * to_output
    kernel = SumKernel(
        scaled,
        derive_multiplier(to_small),
        derive_multiplier(to_output),
        int(round_half_up(float(request.output.zero_point - zeros))),
        sign,
    )
    return plain_quantization(request, kernel)
