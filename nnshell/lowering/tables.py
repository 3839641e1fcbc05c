"""Functions of one integer, lowered to a table that the reference fills."""

from __future__ import annotations

import numpy as np

from nnshell.ir.integer_graph import CannotLower, IntegerGraph, IntegerTensor
from nnshell.ir.operator import Operator
from nnshell.ir.qparams import NodeQuantization

_MOST_ENTRIES = 1 << 18


def lower_by_table(
    op: Operator,
    quantization: NodeQuantization,
    build: IntegerGraph,
    x: IntegerTensor,
    shape: tuple[int, ...],
    chip: bool = False,
) -> IntegerTensor:
    """``op`` at every integer from ``x.low`` to ``x.high``; it works element by element."""
    if x.high - x.low >= _MOST_ENTRIES:
        raise CannotLower(f"{op.kind} of {x.high - x.low + 1} different integers")
    arguments = np.arange(x.low, x.high + 1, dtype=np.int64)
    compute = op.integer_on_chip if chip else op.integer_multi
    results = compute(quantization, [arguments])[0]
    return build.table(x, results, x.low, quantization.output.dtype)
