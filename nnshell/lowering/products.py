"""Matrix products lowered: float32 where 24 bits hold every sum, else float64."""

from __future__ import annotations

import numpy as np

from nnshell.ir.integer_graph import (
    FLOAT32_LIMIT,
    FLOAT64_LIMIT,
    CannotLower,
    IntegerGraph,
    IntegerTensor,
)
from nnshell.numeric.fixed_point import IntArray


def lower_product(
    build: IntegerGraph, first: IntegerTensor, second: IntegerTensor, transpose_b: bool
) -> IntegerTensor:
    """first @ second, or first @ second^T, leading axes broadcast."""
    first, second = build.aligned([first, second])
    inner = first.shape[-1]
    bound = inner * first.magnitude * second.magnitude
    if bound >= FLOAT64_LIMIT:
        raise CannotLower(f"a matrix product reaches {bound}")
    wide = first.wide or second.wide or bound >= FLOAT32_LIMIT
    if wide:
        first, second = build.widened(first), build.widened(second)
    name, shape = second.name, second.shape
    if transpose_b:
        rank = len(shape)
        perm = [*range(rank - 1), rank, rank - 1]
        name = build.node("Transpose", [name], {"perm": perm})
        shape = (*shape[:-2], shape[-1], shape[-2])
    leading = np.broadcast_shapes(first.shape[:-2], shape[:-2])
    result = build.node("MatMul", [first.name, name])
    return IntegerTensor(result, (*leading, first.shape[-2], shape[-1]), -bound, bound, wide)


def lower_weighted(
    build: IntegerGraph, x: IntegerTensor, matrix: IntArray, axis: int
) -> IntegerTensor:
    """Sums along ``axis`` (2 or 3) of a feature map, a row of ``matrix`` for each result."""
    positive = int(np.maximum(matrix, 0).sum(axis=1).max())
    negative = int(np.minimum(matrix, 0).sum(axis=1).min())
    low = min(x.low * positive, x.low * int(matrix.sum(axis=1).min())) + x.high * negative
    high = max(x.high * positive, x.high * int(matrix.sum(axis=1).min())) + x.low * negative
    wide = x.wide or int(np.abs(matrix).sum(axis=1).max()) * x.magnitude >= FLOAT32_LIMIT
    x = build.widened(x) if wide else x
    if axis == 2:
        name = build.node("MatMul", [build.real(matrix, wide), x.name])
    else:
        name = build.node("MatMul", [x.name, build.real(matrix.T, wide)])
    shape = list(x.shape)
    shape[axis - 1] = matrix.shape[0]
    return IntegerTensor(name, tuple(shape), low, high, wide)
