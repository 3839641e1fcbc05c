"""Sums, products and matrix products in fixed point.

add     k = min(n_a, n_b),   y_q = sat(RS(RS(a, n_a - k) +- RS(b, n_b - k), k - n_y))
mul     y_q = sat(RS(a * b, n_a + n_b - n_y)),    matmul the same of sums of products
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnshell.ir.arithmetic import arithmetic
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import IntArray, Types
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import POW2
from nnshell.lowering.products import lower_product
from nnshell.lowering.qmn import lower_alignment, lower_shift
from nnshell.lowering.requantize import settled, wrapped
from nnshell.numeric.fixed_point import rounding_shift, wrap_int32
from nnshell.numeric.kernels.fixed import reduced
from nnshell.numeric.kernels.samples import align_samples
from nnshell.numeric.qmn import fraction_of
from nnshell.ops.families.sums import Sum
from nnshell.ops.matmul import MatMul
from nnshell.ops.mul import Mul
from nnshell.ops.pow2.base import FixedPoint


def _fractions(quantization: NodeQuantization) -> list[int]:
    return [fraction_of(record) for record in quantization.inputs]


@arithmetic(POW2, Sum)
class FixedSum(FixedPoint[Sum]):
    """Terms at the fewer fraction bits of both, added or subtracted."""

    def compute(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray], wraps: bool
    ) -> IntArray:
        fractions = _fractions(quantization)
        common = min(fractions)
        first, second = (
            rounding_shift(array, fraction - common)
            for array, fraction in zip(align_samples(inputs), fractions, strict=True)
        )
        return reduced(first + self.op.sign * second, common, quantization.output)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        terms = [settled(build, x) for x in inputs]
        (first, second), common = lower_alignment(build, terms, _fractions(quantization))
        total = build.add(first, second, self.op.sign)
        return (lower_shift(build, total, common, quantization.output),)


@arithmetic(POW2, Mul)
class FixedProduct(FixedPoint[Mul]):
    """Element by element; a product is an int32."""

    def compute(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray], wraps: bool
    ) -> IntArray:
        first, second = align_samples(inputs)
        product = wrap_int32(first * second)
        return reduced(product, sum(_fractions(quantization)), quantization.output)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        first, second = (settled(build, x) for x in inputs)
        product = wrapped(build, build.multiply(first, second))
        return (lower_shift(build, product, sum(_fractions(quantization)), quantization.output),)


@arithmetic(POW2, MatMul)
class FixedMatMul(FixedPoint[MatMul]):
    """Sums of products in float64, exact below 2**53; the accumulator wraps around as int32."""

    def compute(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray], wraps: bool
    ) -> IntArray:
        first, second = align_samples(inputs)
        if self.op.transpose_b:
            second = second.swapaxes(-1, -2)
        exact = first.astype(np.float64) @ second.astype(np.float64)
        product = wrap_int32(exact.astype(np.int64))
        return reduced(product, sum(_fractions(quantization)), quantization.output)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        first, second = (settled(build, x) for x in inputs)
        product = wrapped(build, lower_product(build, first, second, self.op.transpose_b))
        return (lower_shift(build, product, sum(_fractions(quantization)), quantization.output),)
