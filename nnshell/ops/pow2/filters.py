"""Convolutions and linear layers in fixed point.

    acc = sum(w_q * x_q) + (bias_q << (n_acc - n_bias)),     n_acc = n_x + n_w, 31 bits
    y_q = sat(RS(acc, n_acc - n_y))

Before an activation in the same kernel a convolution leaves the accumulator, cut off at 31 bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnshell.ir.arithmetic import arithmetic
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import IntArray, Types
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import RecordRule
from nnshell.ir.requests import POW2, QuantizeRequest
from nnshell.lowering.qmn import lower_fixed_filter, lower_shift
from nnshell.lowering.requantize import settled
from nnshell.numeric.kernels.filters import FilterParameters
from nnshell.numeric.kernels.fixed import FixedFilterKernel
from nnshell.numeric.qmn import ACCUMULATOR_BITS, fixed_point_record, fraction_of
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.families.filter import Filter
from nnshell.ops.linear import Linear
from nnshell.ops.pow2.base import FixedPoint
from nnshell.ops.pow2.rules import BIAS, DATA, WEIGHTS, filter_decision, rule


@arithmetic(POW2, Conv2D, Linear)
class FixedFilter(FixedPoint[Filter]):
    """One class for both: they differ in how products are summed, which the operator knows."""

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        """A linear layer keeps no accumulator for its activation."""
        return rule(filter_decision(leaves_wide=not self.op.reads_flat))

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        weights, bias = request.constant(WEIGHTS), request.constant(BIAS)
        bias = FilterParameters.of(request, weights, bias).real_bias()
        data, weights_q, bias_q = (request.record(index) for index in (DATA, WEIGHTS, BIAS))
        accumulator = fixed_point_record(
            fraction_of(data) + fraction_of(weights_q), ACCUMULATOR_BITS
        )
        kernel = FixedFilterKernel(
            weights_q.quantize(weights).astype(weights_q.dtype),
            bias_q.quantize(bias).astype(bias_q.dtype),
            accumulator,
            fraction_of(accumulator) - fraction_of(bias_q),
        )
        return NodeQuantization(
            (data, weights_q, bias_q),
            request.outputs,
            kernel,
            constants=(None, kernel.weights, kernel.bias),
        )

    def compute(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray], wraps: bool
    ) -> IntArray:
        kernel: FixedFilterKernel = quantization.kernel
        products = self.op.products(inputs[0], kernel.weights, 0)
        as_int32 = self._wraps(kernel) or not wraps
        return kernel.finish(products, quantization.output, wraps=as_int32)

    def _wraps(self, kernel: FixedFilterKernel) -> bool:
        return self.op.sums_in_int32(kernel.weights.shape)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        kernel: FixedFilterKernel = quantization.kernel
        x, sums = self.op.summing(build, settled(build, inputs[0]), 0)
        total = lower_fixed_filter(
            build,
            x,
            kernel.weights.astype(np.int64),
            kernel.aligned_bias,
            outputs[0].shape,
            sums,
            doubles=self.op.sums_in_float64,
            wraps=build.chip or self._wraps(kernel),
        )
        accumulator = fraction_of(kernel.accumulator)
        return (lower_shift(build, total, accumulator, quantization.output),)
