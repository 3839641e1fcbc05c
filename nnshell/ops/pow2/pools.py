"""Pools over a window, pools over everything, and softmax in fixed point.

A pool over a window keeps its record. A mean over everything is a product with a reciprocal that
has as many bits as the sum, then shifted to its own record:

    s = sum of x,   m = bits of s,   y_q = sat(RS(RS(((1 << m) / n) * s, m), n_x - n_y))

NNTool's simulation computes the product in int32, which sums of 16-bit values exceed, and shifts
nothing where the records differ: the first is done alike, as its own results show (``int8_target
chip`` has 64 bits), the second is not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnshell.ir.arithmetic import arithmetic
from nnshell.ir.integer_graph import CannotLower, IntegerGraph, IntegerTensor
from nnshell.ir.operator import IntArray, Types
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import RecordRule
from nnshell.ir.requests import POW2
from nnshell.lowering.qmn import lower_precise_mean, lower_shift
from nnshell.lowering.requantize import settled
from nnshell.numeric.fixed_point import INT32_LIMITS
from nnshell.numeric.kernels.fixed import (
    exact_softmax,
    exponentials_of,
    precise_mean,
    reduced,
)
from nnshell.numeric.qmn import fraction_of
from nnshell.ops.global_pool import GlobalAveragePool, GlobalMaxPool
from nnshell.ops.pow2.base import OVERFLOW, FixedPoint
from nnshell.ops.pow2.rules import SOFTMAX_BITS, fixed_decision, rule
from nnshell.ops.softmax import Softmax

_Q15 = 32768.0
_MOST_ENTRIES = 1 << 16


@arithmetic(POW2, GlobalAveragePool)
class FixedGlobalMean(FixedPoint[GlobalAveragePool]):
    """Mean over height and width through a reciprocal of the sum's bits."""

    def caution(self, quantization: NodeQuantization, inputs: Types) -> str:
        """Where the mean that was seen makes a product of more than 32 bits."""
        count = inputs[0].shape[1] * inputs[0].shape[2]
        output = quantization.output
        mean = max(abs(float(output.minimum[0])), abs(float(output.maximum[0])))
        total = count * mean / quantization.input.first_scale
        return OVERFLOW if 2 * total**2 / count > INT32_LIMITS[1] else ""

    def compute(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray], wraps: bool
    ) -> IntArray:
        total = inputs[0].sum(axis=(2, 3), keepdims=True)
        count = inputs[0].shape[2] * inputs[0].shape[3]
        mean = precise_mean(total, count, wraps=wraps)
        pooled = reduced(mean, fraction_of(quantization.input), quantization.output)
        return self.op.shaped(pooled)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        x = settled(build, inputs[0])
        count = x.shape[1] * x.shape[2]
        mean = lower_precise_mean(build, x, count, wraps=not build.chip)
        pooled = lower_shift(build, mean, fraction_of(quantization.input), quantization.output)
        return (self.op.shaped_tensor(build, pooled, outputs[0]),)


@arithmetic(POW2, GlobalMaxPool)
class FixedGlobalMax(FixedPoint[GlobalMaxPool]):
    """Maximum over height and width, shifted to its own record."""

    def compute(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray], wraps: bool
    ) -> IntArray:
        largest = inputs[0].max(axis=(2, 3), keepdims=True)
        pooled = reduced(largest, fraction_of(quantization.input), quantization.output)
        return self.op.shaped(pooled)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        x = settled(build, inputs[0])
        name = build.node("GlobalMaxPool", [x.name], hint=self.op.kind)
        largest = IntegerTensor(name, (x.shape[0], 1, 1), x.low, x.high, x.wide)
        pooled = lower_shift(build, largest, fraction_of(quantization.input), quantization.output)
        return (self.op.shaped_tensor(build, pooled, outputs[0]),)


@arithmetic(POW2, Softmax)
class FixedSoftmax(FixedPoint[Softmax]):
    """In real arithmetic, rounded to Q15, as NNTool's simulation; the chip's kernel has a table."""

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        """int16 Q1.15 whatever the width of all else; what it reads is pinned."""
        return rule(fixed_decision(SOFTMAX_BITS, pinned=True))

    def compute(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray], wraps: bool
    ) -> IntArray:
        fraction, limits = fraction_of(quantization.input), quantization.output.limits
        return exact_softmax(inputs[0], fraction, self.op.axis + 1, limits)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        """Exponentials from a table of distances, which numpy computes for both engines."""
        x = settled(build, inputs[0])
        span = x.high - x.low
        if span >= _MOST_ENTRIES:
            raise CannotLower(f"softmax of {span + 1} different integers")
        axes = build.constant(np.array([self.op.axis + 1], np.int64), "axes")
        top = build.node("ReduceMax", [x.name, axes], {"keepdims": 1})
        index = build.cast(build.node("Sub", [top, x.name]), "int32")
        table = exponentials_of(np.arange(span + 1), fraction_of(quantization.input))
        exponentials = build.look_up(build.real(table, True), index, x.shape)
        total = build.node("ReduceSum", [exponentials, axes], {"keepdims": 1})
        share = build.node("Div", [exponentials, total])
        scaled = build.node("Mul", [share, build.number(_Q15, True)])
        rounded = build.node("Floor", [build.node("Add", [scaled, build.number(0.5, True)])])
        high = quantization.output.limits[1]
        ends = (build.number(0, True), build.number(high, True))
        name = build.node("Clip", [rounded, *ends])
        return (build.narrowed(IntegerTensor(name, x.shape, 0, high, True)),)
