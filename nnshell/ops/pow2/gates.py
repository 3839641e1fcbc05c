"""Hard sigmoid and hard swish in fixed point.

    t   = clip(x + q(beta / alpha), 0, q(1 / alpha))         q(v) in units of the input
    y_q = sat(RS(t * floor(32768 alpha), n_x + 15 - n_y))                       hard sigmoid
    u   = RS(t * x, n_x),    y_q = sat(RS(u * floor(32768 alpha), n_x + 15 - n_y))   hard swish

In NNTool's simulation q(v) saturates in the input's bits and products are int32, which those of a
31-bit accumulator exceed: its results are noise there. With ``int8_target chip`` bounds are exact
and products have 64 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nnshell.ir.arithmetic import arithmetic
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import IntArray, Operator, Types
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import RecordRule
from nnshell.ir.requests import POW2
from nnshell.lowering.qmn import lower_shift
from nnshell.lowering.requantize import settled, wrapped
from nnshell.numeric.fixed_point import (
    INT32_LIMITS,
    round_half_up,
    rounding_shift,
    scale_accumulator,
    wrap_int32,
)
from nnshell.numeric.kernels.fixed import reduced
from nnshell.numeric.qmn import fixed_point_record, fraction_of
from nnshell.ops.hard_sigmoid import HardSigmoid
from nnshell.ops.hard_swish import ALPHA, BETA, HardSwish
from nnshell.ops.pow2.base import OVERFLOW, FixedPoint
from nnshell.ops.pow2.rules import activation_decision, rule

GATE_BITS = 15
SATURATED = (
    "its upper bound is beyond the integers of its input, so large values come out too small; "
    "`set int8_target chip` computes them right"
)


@dataclass(frozen=True, slots=True)
class _Gate:
    """Bounds in units of the input, and the slope in Q15."""

    offset: int
    upper: int
    slope: int

    @classmethod
    def of(cls, op: Operator, quantization: NodeQuantization, saturates: bool) -> _Gate:
        alpha, beta = (op.alpha, op.beta) if isinstance(op, HardSigmoid) else (ALPHA, BETA)
        record = quantization.input
        bounds = round_half_up(np.array([beta / alpha, 1.0 / alpha]) / record.first_scale)
        low, high = record.limits
        offset, upper = (np.clip(bounds, low, high) if saturates else bounds).astype(np.int64)
        return cls(int(offset), int(upper), int(alpha * (1 << GATE_BITS)))


class _FixedGate(FixedPoint[Operator]):
    times_input = False

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return rule(activation_decision(lambda question: question.seen.output(0)))

    def caution(self, quantization: NodeQuantization, inputs: Types) -> str:
        """Where a product of the gate does not fit int32, or its bounds not the input."""
        exact = _Gate.of(self.op, quantization, False)
        saturated = _Gate.of(self.op, quantization, True)
        if exact.upper * exact.slope >= INT32_LIMITS[1]:
            return OVERFLOW
        return "" if exact == saturated else SATURATED

    def compute(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray], wraps: bool
    ) -> IntArray:
        gate, fraction = _Gate.of(self.op, quantization, wraps), fraction_of(quantization.input)
        x = inputs[0]
        value = np.clip(x + gate.offset, 0, gate.upper)
        if self.times_input:
            product = value * x
            value = (
                scale_accumulator(product, 1, fraction)
                if wraps
                else rounding_shift(product, fraction)
            )
        product = value * gate.slope
        product = wrap_int32(product) if wraps else product
        return reduced(product, fraction + GATE_BITS, quantization.output, wraps=wraps)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        wraps = not build.chip
        gate, fraction = _Gate.of(self.op, quantization, wraps), fraction_of(quantization.input)
        x = settled(build, inputs[0])
        value = build.clipped(build.shifted(x, gate.offset), 0, gate.upper)
        if self.times_input:
            product = build.multiply(value, x)
            product = wrapped(build, product) if wraps else product
            value = lower_shift(build, product, fraction, fixed_point_record(0, 32), wraps=wraps)
        total = fraction + GATE_BITS
        output = quantization.output
        return (lower_shift(build, value, total, output, gate.slope, wraps=wraps),)


@arithmetic(POW2, HardSigmoid)
class FixedHardSigmoid(_FixedGate):
    """y = clip(alpha x + beta, 0, 1)"""


@arithmetic(POW2, HardSwish)
class FixedHardSwish(_FixedGate):
    """y = x * clip(x / 6 + 1 / 2, 0, 1)"""

    times_input = True
