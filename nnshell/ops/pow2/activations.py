"""Rectifiers, leaky relu, sigmoid and tanh in fixed point.

relu        y_q = sat(RS(min(max(x, lower), upper), n_x - n_y)), bounds in units of the input
leaky       y_q = sat(RS(x if x >= 0 else RS(x * floor(128 alpha), 7), n_x - n_y))
sigmoid     y_q = sat(RS(table(RS(x, n_x - 12)), 15 - n_y)), the SQ8 kernels' table
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nnshell.ir.arithmetic import arithmetic
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import IntArray, Operator, Types
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import RecordQuestion, RecordRule
from nnshell.ir.requests import POW2, Range
from nnshell.lowering.qmn import lower_shift
from nnshell.lowering.requantize import settled
from nnshell.numeric.fixed_point import rounding_shift
from nnshell.numeric.kernels.fixed import reduced
from nnshell.numeric.kernels.lookup import ARGUMENT_FRACTION_BITS, RESULT_FRACTION_BITS
from nnshell.numeric.lookup import LAST_ARGUMENT
from nnshell.numeric.qmn import fixed_point_record, fraction_of
from nnshell.ops.families.lookup import LookUp
from nnshell.ops.families.rectifier import Rectifier
from nnshell.ops.leaky_relu import LeakyRelu
from nnshell.ops.pow2.base import FixedPoint
from nnshell.ops.pow2.rules import activation_decision, fixed_decision, rule

SLOPE_BITS = 7
_ARGUMENT = fixed_point_record(ARGUMENT_FRACTION_BITS, 32)


def seen_or_known(op: Operator, question: RecordQuestion) -> Range:
    """The bounds of an activation that has any, else what was seen of its results."""
    known = op.output_range(None)
    return question.seen.output(0) if known is None else known


@arithmetic(POW2, Rectifier)
class FixedRectifier(FixedPoint[Rectifier]):
    """Relu, its bounded forms and clip."""

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        """Integer bits for the bounds, or for what was seen where there are none."""
        return rule(activation_decision(lambda question: seen_or_known(self.op, question)))

    def _bounds(self, quantization: NodeQuantization) -> tuple[int | None, int | None]:
        record = quantization.input
        low, high = (
            int(record.quantize(np.array([bound]))[0]) if math.isfinite(bound) else None
            for bound in self.op.limits
        )
        return low, high

    def compute(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray], wraps: bool
    ) -> IntArray:
        low, high = self._bounds(quantization)
        bounded = np.clip(inputs[0], low, high) if (low, high) != (None, None) else inputs[0]
        return reduced(bounded, fraction_of(quantization.input), quantization.output)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        x, (low, high) = settled(build, inputs[0]), self._bounds(quantization)
        floor = min(x.low, x.high if high is None else high) if low is None else low
        x = build.clipped(x, floor, max(x.high, floor) if high is None else high)
        return (lower_shift(build, x, fraction_of(quantization.input), quantization.output),)


@arithmetic(POW2, LeakyRelu)
class FixedLeaky(FixedPoint[LeakyRelu]):
    """NNTool has no integers for it; these are nnshell's."""

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return rule(activation_decision(lambda question: question.seen.output(0)))

    def compute(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray], wraps: bool
    ) -> IntArray:
        x, slope = inputs[0], math.trunc(self.op.alpha * (1 << SLOPE_BITS))
        bent = np.where(x < 0, rounding_shift(x * slope, SLOPE_BITS), x)
        return reduced(bent, fraction_of(quantization.input), quantization.output, wraps=False)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        x, slope = settled(build, inputs[0]), math.trunc(self.op.alpha * (1 << SLOPE_BITS))
        x = build.widened(x)
        factor = np.array(np.ldexp(float(slope), -SLOPE_BITS))
        bent = build.floor_of(x, factor, np.array(0.5))
        negative = build.node("Less", [x.name, build.number(0.0, True)])
        name = build.node("Where", [negative, bent, x.name])
        reach = x.magnitude * max(1, (abs(slope) >> SLOPE_BITS) + 1)
        result = IntegerTensor(name, x.shape, -reach, reach, True)
        source = fraction_of(quantization.input)
        return (lower_shift(build, result, source, quantization.output, wraps=False),)


@arithmetic(POW2, LookUp)
class FixedLookUp(FixedPoint[LookUp]):
    """Sigmoid and tanh: a table read at a Q12 argument, without interpolation."""

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        """Q1.15, or Q1.7 with 8 bits, and nothing else."""
        return rule(fixed_decision())

    def compute(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray], wraps: bool
    ) -> IntArray:
        argument = reduced(inputs[0], fraction_of(quantization.input), _ARGUMENT)
        return self._looked_up(argument, quantization)

    def _looked_up(self, argument: IntArray, quantization: NodeQuantization) -> IntArray:
        return reduced(self.op.table(argument), RESULT_FRACTION_BITS, quantization.output)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        x = settled(build, inputs[0])
        argument = lower_shift(build, x, fraction_of(quantization.input), _ARGUMENT)
        argument = build.clipped(argument, -LAST_ARGUMENT, LAST_ARGUMENT)
        argument = build.narrowed(argument)
        entries = np.arange(argument.low, argument.high + 1, dtype=np.int64)
        values = self._looked_up(entries, quantization)
        return (build.table(argument, values, argument.low, quantization.output.dtype),)
