"""Quantization records: how integers stand for real numbers (real = scale * (q - zero_point))."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LIMITS = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
    "uint16": (0, 65535),
    "int32": (-(1 << 31), (1 << 31) - 1),
}
_BITS = {"int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "int32": 32}

INT8_BITS = 8  # what the chip's kernels have
FLOAT_BITS = 32  # stands for "not quantized" in simulations

_BLOCK = 1 << 20  # elements that ``stored`` looks at in one go


@dataclass(frozen=True, slots=True, eq=False)
class QParams:
    """Scale and zero point of a tensor.

    ``scale`` has one element (per tensor) or one per channel along ``axis``. Activation scales are
    float64; weight scales are float32 (float64 where the weights are) because NNTool computes and
    keeps them so, and the integers depend on it. ``minimum`` and ``maximum`` are the recorded real
    range, same length as ``scale``. A fixed-point record (scheme POW2) also says how many of its
    bits are a fraction: its scale is ``2**-fraction_bits``, its zero point 0.
    """

    scale: NDArray[np.floating[Any]]
    zero_point: int = 0
    dtype: str = "int8"
    axis: int | None = None
    minimum: NDArray[np.floating[Any]] = field(default_factory=lambda: np.zeros(1))
    maximum: NDArray[np.floating[Any]] = field(default_factory=lambda: np.zeros(1))
    narrow: bool = False  # weights limited to +-127
    asymmetric: bool = False
    forced: bool = False  # a consumer or the graph output fixed it
    bits: int = INT8_BITS  # of an int8 record: fewer use a part of it, FLOAT_BITS simulate none
    fraction_bits: int | None = None  # of a fixed-point record
    integer_bits: int | None = None  # all bits of a fixed-point record, where its type has more

    @property
    def fixed_point(self) -> bool:
        """Whether the record is Qm.n: its scale is a power of two that the scheme chose."""
        return self.fraction_bits is not None

    @property
    def width(self) -> int:
        """Bits of an integer that are used: those of the type, or fewer."""
        if self.integer_bits is not None:
            return self.integer_bits
        return min(self.bits, INT8_BITS) if self.dtype == "int8" else _BITS[self.dtype]

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest integer that is used."""
        low, high = _LIMITS[self.dtype]
        if self.width < _BITS[self.dtype]:
            low, high = -(1 << (self.width - 1)), (1 << (self.width - 1)) - 1
        return (-high, high) if self.narrow else (low, high)

    @property
    def first_scale(self) -> float:
        """The scale of the tensor, or of its first channel."""
        return float(self.scale.reshape(-1)[0])

    def same_record(self, other: QParams) -> bool:
        """Equal scale, zero point and element type: integers mean the same in both."""
        return (
            self.dtype == other.dtype
            and self.width == other.width
            and self.bits == other.bits
            and self.zero_point == other.zero_point
            and np.array_equal(self.scale, other.scale)
        )

    def quantize(
        self, real: NDArray[np.floating[Any]], *, double: bool = False
    ) -> NDArray[np.int64]:
        """floor(real/scale + 0.5) + zero_point, saturated; ``real`` broadcast along ``axis``.

        ``real`` is taken as float32, which networks compute in, unless ``double`` says otherwise;
        fixed-point records are made in float64.
        """
        low, high = self.limits
        exact = double or self.fixed_point
        numbers = np.asarray(real, np.float64) if exact else np.asarray(real, np.float32)
        scaled = numbers / self._broadcast(np.ndim(real))
        rounded = np.floor(scaled + 0.5) + self.zero_point
        integers: NDArray[np.int64] = np.clip(rounded, low, high).astype(np.int64)
        return integers

    def stored(
        self, real: NDArray[np.floating[Any]], *, double: bool = False
    ) -> NDArray[np.integer[Any]]:
        """``quantize`` in the record's element type, in blocks: large weights need no more room."""
        result = np.empty(np.shape(real), self.dtype)
        rows = max(1, _BLOCK * len(result) // max(result.size, 1)) if result.ndim else 1
        if result.ndim == 0 or rows >= len(result):
            return self.quantize(real, double=double).astype(self.dtype)
        for start in range(0, len(result), rows):
            block = slice(start, start + rows)
            by_row = self.axis == 0 and self.scale.size > 1
            record = replace(self, scale=self.scale[block]) if by_row else self
            result[block] = record.quantize(real[block], double=double)
        return result

    def dequantize(self, integers: NDArray[Any]) -> NDArray[np.float32]:
        """scale * (q - zero_point) in float32, scales broadcast along ``axis``."""
        scale = self._broadcast(np.ndim(integers))
        return ((integers.astype(np.float64) - self.zero_point) * scale).astype(np.float32)

    def _broadcast(self, rank: int) -> NDArray[np.floating[Any]]:
        if self.axis is None or self.scale.size == 1:
            return self.scale.reshape(-1)[:1]
        shape = [1] * rank
        shape[self.axis] = -1
        return self.scale.reshape(shape)


@dataclass(frozen=True, slots=True, eq=False)
class NodeQuantization:
    """What quantization decided for a node.

    ``inputs`` has one record per graph input of the node (weights and bias included), ``outputs``
    one per output. ``kernel`` holds the integers the node's kernel uses (weights, bias,
    multipliers, shifts, tables): a frozen dataclass that the operator defines and understands.
    ``constants`` are the integers of the constant inputs, None for activations.
    """

    inputs: tuple[QParams, ...]
    outputs: tuple[QParams, ...]
    kernel: Any = None
    scheme: str = "SQ8"
    constants: tuple[NDArray[Any] | None, ...] = ()

    @property
    def input(self) -> QParams:
        """Record of input 0."""
        return self.inputs[0]

    @property
    def output(self) -> QParams:
        """Record of output 0."""
        return self.outputs[0]
