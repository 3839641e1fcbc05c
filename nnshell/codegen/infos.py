"""The Infos tensors: one record of 13 bytes that a kernel reads its scalars from.

Bytes: 0 ACTSCALE (softmax: BIASL_SM), 1 ACTSCALEN, 2-3 A0, 4-5 B0, 6-7 C0, 8 IN1SCALE or the
reduction's multiplier, 9 its shift, 10 OUTSCALE, 11 its shift, 12 PRENORM (0). A field of two
bytes that holds a one-byte value leaves its high byte 0, also for a negative value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnshell.errors import GraphError
from nnshell.ir.graph import Node
from nnshell.ir.qparams import QParams
from nnshell.numeric.fixed_point import derive_multiplier
from nnshell.ops.hard_sigmoid import HardSigmoid
from nnshell.ops.leaky_relu import LeakyRelu
from nnshell.ops.relu import ReluN

RECORD_BYTES = 13
ACT_SCALE, A0, B0, C0, IN_SCALE, OUT_SCALE = 0, 2, 4, 6, 8, 10

CONVERT_BYTES = 8
CONVERT_BITS = 7  # the convert kernel's multiplier is a signed byte

_HARD_SWISH_LIMIT, _HARD_SWISH_OFFSET = 6.0, 3.0
_LEAK_BITS = 7
_LUT_SCALE = 2.0**-15

Pair = tuple[int, int]
Bytes = NDArray[np.int8]


def factor(scale: float, bits: int = 8) -> Pair:
    """(multiplier, shift) of a positive factor."""
    derived = derive_multiplier(scale, bits)
    return int(derived.multiplier[0]), int(derived.shift[0])


@dataclass(slots=True)
class Record:
    """The bytes under construction."""

    content: bytearray

    @classmethod
    def empty(cls, length: int = RECORD_BYTES) -> Record:
        return cls(bytearray(length))

    def put_factor(self, offset: int, pair: Pair) -> None:
        self.content[offset] = pair[0] & 0xFF
        self.content[offset + 1] = pair[1] & 0xFF

    def put(self, offset: int, value: int) -> None:
        """A value of one byte, or of two where it needs them."""
        if not -(1 << 15) <= value < 1 << 15:
            raise GraphError(f"a kernel parameter of {value} does not fit 16 bits")
        self.content[offset] = value & 0xFF
        if not -128 <= value <= 255:
            self.content[offset + 1] = (value >> 8) & 0xFF

    def array(self) -> Bytes:
        return np.frombuffer(bytes(self.content), np.int8)


def put_activation(record: Record, node: Node) -> None:
    """ACTSCALE and A0, B0, C0 of an activation, from its own records."""
    given, made = _records(node)
    scale = given.first_scale / made.first_scale
    if node.kind in ("relu", "relu6", "relun", "clip"):
        put_bounds(record, node, given)
    elif isinstance(node.op, LeakyRelu):
        record.put(A0, _byte(math.floor(node.op.alpha * (1 << _LEAK_BITS) + 0.5)))
        record.put(B0, made.zero_point)
    elif isinstance(node.op, HardSigmoid):
        _put_hard(record, given, made, 1 / node.op.alpha, node.op.beta / node.op.alpha)
        scale *= node.op.alpha
    elif node.kind == "hswish":
        _put_hard(record, given, made, _HARD_SWISH_LIMIT, _HARD_SWISH_OFFSET)
        scale *= given.first_scale / _HARD_SWISH_LIMIT
    elif node.kind in ("sigmoid", "tanh"):
        record.put(A0, made.zero_point)
        scale = _LUT_SCALE / made.first_scale
    else:
        raise GraphError(f"no kernel applies '{node.kind}'", where=f"node {node.name}")
    record.put_factor(ACT_SCALE, factor(scale))


def put_bounds(record: Record, node: Node, given: QParams) -> None:
    """Lower and upper limit of a rectifier in integers of its input; no upper limit is 0."""
    record.put(A0, integer_of(given, 0.0))
    upper = {"relu6": 6.0}.get(node.kind)
    if isinstance(node.op, ReluN):
        upper = node.op.upper
    if upper is not None:
        record.put(B0, integer_of(given, upper))


def _put_hard(record: Record, given: QParams, made: QParams, limit: float, offset: float) -> None:
    record.put(A0, _without_zero_point(given, limit))
    record.put(B0, _without_zero_point(given, offset))
    record.put(C0, made.zero_point)


def integer_of(record: QParams, real: float) -> int:
    """The integer that stands for a real number."""
    return int(record.quantize(np.array([real], np.float32))[0])


def _without_zero_point(record: QParams, real: float) -> int:
    return integer_of(record, real)


def _byte(value: int) -> int:
    if not -128 <= value <= 127:
        raise GraphError(f"a LeakyRelu slope of {value / 128:g} does not fit the kernel's byte")
    return value


def _records(node: Node) -> tuple[QParams, QParams]:
    quantization = node.quantization
    assert quantization is not None, "only quantized graphs are generated"
    return quantization.inputs[0], quantization.outputs[0]
