"""Softmax lowered: exponentials from a table of differences, the rest in float64."""

from __future__ import annotations

import numpy as np

from nnshell.ir.integer_graph import CannotLower, IntegerGraph, IntegerTensor
from nnshell.numeric.softmax import INVERSE_OF_ONE, dropped_bits, exponentials_below

_MOST_ENTRIES = 1 << 16


def lower_softmax(
    build: IntegerGraph, x: IntegerTensor, scale_exponent: int, axis: int, output_bits: int
) -> IntegerTensor:
    """As ``nnshell.numeric.softmax.softmax``; ``axis`` counts the samples' axis."""
    span = x.high - x.low
    if span >= _MOST_ENTRIES:
        raise CannotLower(f"softmax of {span + 1} different integers")
    axes = build.constant(np.array([axis], np.int64), "axes")
    top = build.node("ReduceMax", [x.name, axes], {"keepdims": 1})
    index = build.cast(build.node("Sub", [top, x.name]), "int32")
    table = exponentials_below(np.arange(span + 1, dtype=np.int64), scale_exponent)
    entries = build.real(table, True)
    exponentials = build.look_up(entries, index, x.shape)
    total = build.node("ReduceSum", [exponentials, axes], {"keepdims": 1})
    inverse = build.node("Floor", [build.node("Div", [build.number(INVERSE_OF_ONE, True), total])])
    product = IntegerTensor(
        build.node("Mul", [exponentials, inverse]), x.shape, 0, INVERSE_OF_ONE, True
    )
    factor = np.array(np.ldexp(1.0, -dropped_bits(output_bits)))
    name = build.floor_of(product, factor, np.array(0.5))
    low, high = 0, (1 << (output_bits - 1)) - 1
    clipped = build.node("Clip", [name, build.number(low, True), build.number(high, True)])
    return build.narrowed(IntegerTensor(clipped, x.shape, low, high, True))
