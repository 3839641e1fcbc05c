"""Functions of one integer as the kernels compute them, for the simulation: read from a table.

Kernels of activations round more than their result: a sigmoid's table has 24 entries per unit, a
slope is a multiple of 1/128, a multiplier has 8 bits. Their results lie a few steps from the
function's, always on the same side, which shifts all that is after them. So the simulation takes
the kernel's own result for each integer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.arithmetic import integers_of
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.graph import Node
from nnshell.ir.qparams import INT8_BITS, NodeQuantization
from nnshell.numeric.kernels.leaky import LeakyKernel
from nnshell.numeric.kernels.lookup import LookUpKernel
from nnshell.numeric.lookup import LAST_ARGUMENT

_PER_ENTRY = 256 / 3  # Q12 units: what tanh, which reads the sigmoid's table at 2x, tells apart
_LEAST, _MOST = 1 << 8, 1 << 16  # integers of a filter in a fusion that a table may begin with
_INT32 = 6  # as ONNX numbers element types


@dataclass(frozen=True, slots=True)
class _Entries:
    """The integers whose results are stored, ``first`` being the number of the first entry."""

    arguments: NDArray[np.int64]
    first: int
    per_entry: float = 1.0


def modelled_activation(build: ForeignGraph, node: Node, argument: str) -> str | None:
    """The kernel's results in real units; None where the function itself is as good."""
    quantization = node.quantization
    if quantization is None or not _has_table(node, quantization):
        return None
    entries = _entries(node, quantization)
    if entries is None:
        return None
    source = quantization.input
    (integers,) = integers_of(node.op, quantization, [entries.arguments])
    table = build.constant(quantization.output.dequantize(integers).astype(np.float32), "table")
    scaled = build.node("Div", [argument, _real(build, source.first_scale)], hint="integers")
    lifted = build.node("Add", [scaled, _real(build, source.zero_point + 0.5)], hint="lifted")
    tensor = build.node("Floor", [lifted], hint="rounded")
    if entries.per_entry != 1.0:
        tensor = build.node("Mul", [tensor, _real(build, 1 / entries.per_entry)], hint="entries")
    last = entries.first + len(entries.arguments) - 1
    ends = [_real(build, end) for end in (entries.first, last)]
    clipped = build.node("Clip", [tensor, *ends], hint="clip")
    entry = build.node("Cast", [clipped], {"to": _INT32}, hint="entry")
    index = build.node("Sub", [entry, build.constant(np.int32(entries.first), "first")], hint="at")
    return build.node("Gather", [table, index], hint=node.op.kind)


def _has_table(node: Node, quantization: NodeQuantization) -> bool:
    if node.op.role != "activation" or quantization.output.bits != INT8_BITS:
        return False
    if quantization.output.dtype == "int32" or quantization.input.bits != INT8_BITS:
        return False
    if node.op.clips_to is not None:  # exact but for another record, and fused in ONNX Runtime
        return quantization.input.dtype == "int8" and not quantization.input.same_record(
            quantization.output
        )
    return not isinstance(quantization.kernel, LeakyKernel) or quantization.kernel.slope.size == 1


def _entries(node: Node, quantization: NodeQuantization) -> _Entries | None:
    if quantization.input.dtype == "int8":
        least, most = quantization.input.limits
        return _Entries(np.arange(least, most + 1, dtype=np.int64), least)
    if quantization.input.dtype != "int32":
        return None
    if isinstance(quantization.kernel, LookUpKernel):
        last = int(LAST_ARGUMENT / _PER_ENTRY)
        numbers = np.arange(-last, last + 1)
        arguments = np.sign(numbers) * -(-np.abs(numbers) * 256 // 3)
        return _Entries(arguments, -last, _PER_ENTRY)
    low, high = (_last_that_matters(node, quantization, sign) for sign in (-1, 1))
    if low is None or high is None:
        return None
    return _Entries(np.arange(low, high + 1, dtype=np.int64), low)


def _last_that_matters(node: Node, quantization: NodeQuantization, sign: int) -> int | None:
    """An integer further out than which the kernel gives nothing else; None if that is far."""
    reach = _LEAST
    while reach <= _MOST:
        ((near, far),) = integers_of(
            node.op, quantization, [np.array([sign * reach, sign * 64 * reach])]
        )
        if near == far:
            return sign * reach
        reach *= 2
    return None


def _real(build: ForeignGraph, value: float) -> str:
    return build.constant(np.float32(value), "real")
