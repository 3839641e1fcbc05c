"""The Infos tensors: one record of 13 bytes that a kernel reads its scalars from.

Bytes: 0 ACTSCALE (softmax: BIASL_SM), 1 ACTSCALEN, 2-3 A0, 4-5 B0, 6-7 C0, 8 IN1SCALE or the
reduction's multiplier, 9 its shift, 10 OUTSCALE, 11 its shift, 12 PRENORM (0). The kernels read A0,
B0 and C0 as signed bytes, so their high bytes stay 0, also for negative values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.graph import Node
from nnshell.numeric.fixed_point import Multiplier
from nnshell.numeric.kernels.gates import GateKernel
from nnshell.numeric.kernels.leaky import LeakyKernel
from nnshell.numeric.kernels.lookup import LookUpKernel
from nnshell.numeric.kernels.rectifiers import RectifierKernel
from nnshell.support.errors import GraphError
from nnshell.targets.autotiler.unit import quantization_of

RECORD_BYTES = 13
CONVERT_BYTES = 8
ACT_SCALE, A0, B0, C0, IN_SCALE, OUT_SCALE = 0, 2, 4, 6, 8, 10


@dataclass(slots=True)
class Record:
    """The bytes under construction, all 0 at first."""

    content: bytearray

    @classmethod
    def empty(cls, length: int = RECORD_BYTES) -> Record:
        return cls(bytearray(length))

    def put_scaling(self, offset: int, scaling: Multiplier) -> None:
        """Multiplier and, after it, shift of one factor."""
        self.content[offset] = int(scaling.multiplier[0])
        self.content[offset + 1] = int(scaling.shift[0]) & 0xFF

    def put(self, offset: int, value: int) -> None:
        """A signed byte."""
        if not -128 <= value <= 127:
            raise GraphError(f"a kernel parameter of {value} does not fit its byte")
        self.content[offset] = value & 0xFF

    def array(self) -> NDArray[np.int8]:
        return np.frombuffer(bytes(self.content), np.int8)


def put_activation(record: Record, node: Node) -> None:
    """ACTSCALE and A0, B0, C0 of an activation."""
    kernel = quantization_of(node).kernel
    zero_point = quantization_of(node).output.zero_point
    try:
        _put_parameters(record, kernel, zero_point)
    except GraphError as error:
        raise GraphError(
            f"{node.kind}: {error.message}",
            where=f"node {node.name}",
            hint="calibrate with inputs that reach its whole range",
        ) from None
    record.put_scaling(ACT_SCALE, kernel.scaling)


def _put_parameters(record: Record, kernel: object, zero_point: int) -> None:
    if isinstance(kernel, RectifierKernel):
        record.put(A0, 0 if kernel.lower is None else kernel.lower)
        record.put(B0, 0 if kernel.upper is None else kernel.upper)
    elif isinstance(kernel, LeakyKernel):
        record.put(A0, int(np.asarray(kernel.slope).reshape(-1)[0]))
        record.put(B0, zero_point)
    elif isinstance(kernel, GateKernel):
        record.put(A0, kernel.upper)
        record.put(B0, kernel.offset)
        record.put(C0, zero_point)
    elif isinstance(kernel, LookUpKernel):
        record.put(A0, zero_point)
    else:
        raise GraphError(f"no generator takes a {type(kernel).__name__}")
