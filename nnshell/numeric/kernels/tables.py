"""Unary functions that NNTool has no SQ8 kernel for: a table from int8 to int8.

    table[q + 128] = sat8(rnd(f(s_in * (q - zp_in)) / s_out) + zp_out)

This is nnshell's own rule; a generated application needs a kernel for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.operator import IntArray
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import QuantizeRequest, plain_quantization

LOWEST = -128


@dataclass(frozen=True, slots=True, eq=False)
class TableKernel:
    """One result for each of the 256 integers, starting with that of -128."""

    table: NDArray[np.int8]

    def look_up(self, x: IntArray) -> IntArray:
        """The entry of each int8 value, as int64."""
        array: IntArray = self.table.astype(np.int64)[x - LOWEST]
        return array


def quantize_table(
    request: QuantizeRequest, function: Callable[[NDArray[Any]], NDArray[Any]]
) -> NodeQuantization:
    """Records as requested and the table of ``function``."""
    source, output = request.record(0), request.output
    integers = np.arange(LOWEST, -LOWEST)
    real = source.scale * (integers - source.zero_point)
    with np.errstate(over="ignore", invalid="ignore"):
        units = np.floor(function(real) / output.scale + 0.5) + output.zero_point
    low, high = output.limits
    clipped = np.clip(np.nan_to_num(units, nan=output.zero_point), low, high)
    return plain_quantization(request, TableKernel(clipped.astype(np.int8)))
