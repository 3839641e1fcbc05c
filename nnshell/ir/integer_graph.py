"""A quantized graph as ONNX nodes that compute its integers exactly, in floating point.

Every tensor is known to hold integers of an interval. As long as they, and every intermediate
result, need no more than the 24 bits of a float32 significand (53 of a float64), floating-point
addition and multiplication are exact in any order, so that fast float kernels compute integers.
What would need more raises CannotLower, and the reference runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.foreign import ForeignGraph

FLOAT32_LIMIT = 1 << 24  # integers up to this are exact in float32
FLOAT64_LIMIT = 1 << 53
INT32_LIMIT = 1 << 31

_ELEMENT_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6}
_ELEMENT_TYPES |= {"int64": 7, "float64": 11}

_DEQUANTIZED = ("int8", "uint8")


class CannotLower(Exception):
    """These numbers or this operator cannot be computed exactly in floating point."""


@dataclass(frozen=True, slots=True, eq=False)
class IntegerTensor:
    """An ONNX tensor of integers from ``low`` to ``high``, samples first.

    ``name`` is a float32 tensor, float64 where ``wide``. ``shape`` has no sample axis; a constant
    has one sample. ``narrow`` is a tensor with the same integers in ``narrow_type``, if one
    exists. ``source`` is what made it, for operators that can do their work before that.
    """

    name: str
    shape: tuple[int, ...]
    low: int
    high: int
    wide: bool = False
    narrow: str = ""
    narrow_type: str = "int8"
    constant: bool = False
    source: Any = None

    @property
    def magnitude(self) -> int:
        """The largest absolute value that it can hold."""
        return max(abs(self.low), abs(self.high))


class IntegerGraph(ForeignGraph):
    """ONNX nodes under construction over tensors that hold integers.

    ``chip`` asks for the generated kernels' integers where NNTool's simulation computes others,
    ``quantize_linear`` allows that operator where it is exact. While ``deferring``, operators may
    leave out the nodes of their last step, as the next operator works before it.
    Nodes that nothing uses in the end are left out by the exporter.
    """

    def __init__(self, chip: bool = False, quantize_linear: bool = True) -> None:
        super().__init__()
        self.chip = chip
        self.quantize_linear = quantize_linear
        self.deferring = False
        self._made: dict[tuple[str, ...], str] = {}

    # -- tensors ---------------------------------------------------------------------------

    def integers(self, value: NDArray[Any], hint: str = "integers") -> IntegerTensor:
        """A constant with one sample: ``value`` has a leading axis of 1."""
        low, high = (int(value.min()), int(value.max())) if value.size else (0, 0)
        wide = max(abs(low), abs(high)) >= FLOAT32_LIMIT
        name = self.constant(value.astype(np.float64 if wide else np.float32), hint)
        return IntegerTensor(name, value.shape[1:], low, high, wide, constant=True)

    def cast(self, tensor: str, dtype: str) -> str:
        """The tensor in another element type; made once."""
        key = ("Cast", tensor, dtype)
        if key not in self._made:
            self._made[key] = self.node("Cast", [tensor], {"to": _ELEMENT_TYPES[dtype]})
        return self._made[key]

    def from_narrow(
        self, name: str, shape: tuple[int, ...], low: int, high: int, dtype: str
    ) -> IntegerTensor:
        """What an integer tensor holds."""
        key = ("DequantizeLinear", name)
        if key not in self._made:
            self._made[key] = self._as_float(name, dtype)
        return IntegerTensor(self._made[key], shape, low, high, narrow=name, narrow_type=dtype)

    def _as_float(self, name: str, dtype: str) -> str:
        """DequantizeLinear by 1 where it exists: it uses all threads and Cast does not."""
        if dtype not in _DEQUANTIZED:
            return self.cast(name, "float32")
        return self._dequantized(name, dtype, 1.0)

    def _dequantized(self, name: str, dtype: str, scale: float) -> str:
        operands = [self.number(scale, False), self.constant(np.zeros((), dtype), "zero_point")]
        return self.node("DequantizeLinear", [name, *operands])

    def widened(self, x: IntegerTensor) -> IntegerTensor:
        """In float64."""
        if x.wide:
            return x
        return replace(x, name=self.cast(x.narrow or x.name, "float64"), wide=True, source=None)

    def narrowed(self, x: IntegerTensor) -> IntegerTensor:
        """In float32 if that holds its interval."""
        if not x.wide or x.magnitude > FLOAT32_LIMIT:
            return x
        return replace(x, name=self.cast(x.name, "float32"), wide=False)

    def number(self, value: float, wide: bool) -> str:
        """A scalar constant."""
        key = ("number", float(value).hex(), str(wide))
        if key not in self._made:
            self._made[key] = self.constant(_typed(value, wide), "number")
        return self._made[key]

    def real(self, value: NDArray[Any] | float, wide: bool) -> str:
        """A constant of real numbers."""
        return self.constant(_typed(value, wide), "factor")

    # -- exact arithmetic ------------------------------------------------------------------

    def add(self, x: IntegerTensor, y: IntegerTensor, sign: int = 1) -> IntegerTensor:
        """x + y, or x - y; shapes broadcast as numpy's do after the sample axis."""
        ends = (y.low, y.high) if sign > 0 else (-y.high, -y.low)
        return self._combine("Add" if sign > 0 else "Sub", x, y, x.low + ends[0], x.high + ends[1])

    def multiply(self, x: IntegerTensor, y: IntegerTensor) -> IntegerTensor:
        """x * y; shapes broadcast as numpy's do after the sample axis."""
        products = [a * b for a in (x.low, x.high) for b in (y.low, y.high)]
        return self._combine("Mul", x, y, min(products), max(products))

    def shifted(self, x: IntegerTensor, offset: int) -> IntegerTensor:
        """x + offset."""
        if not offset:
            return x
        return self.add(x, self.integers(np.full((1,) * (len(x.shape) + 1), offset)))

    def clipped(self, x: IntegerTensor, low: int, high: int) -> IntegerTensor:
        """Clamped to low .. high, both included."""
        bottom, top = min(max(x.low, low), high), max(min(x.high, high), low)
        if (bottom, top) == (x.low, x.high):
            return x
        if x.narrow:
            limits = (self.constant(np.array(end, x.narrow_type)) for end in (bottom, top))
            name = self.node("Clip", [x.narrow, *limits])
            return self.from_narrow(name, x.shape, bottom, top, x.narrow_type)
        name = self.node("Clip", [x.name, self.number(low, x.wide), self.number(high, x.wide)])
        return IntegerTensor(name, x.shape, bottom, top, x.wide)

    def _combine(
        self, op: str, x: IntegerTensor, y: IntegerTensor, low: int, high: int
    ) -> IntegerTensor:
        largest = max(abs(low), abs(high), x.magnitude, y.magnitude)
        wide = x.wide or y.wide or largest > FLOAT32_LIMIT
        if largest > FLOAT64_LIMIT:
            raise CannotLower(f"{op} reaches {largest}, more than float64 holds")
        x, y = self.aligned([self.widened(x), self.widened(y)] if wide else [x, y])
        shape = tuple(np.broadcast_shapes(x.shape, y.shape))
        name = self.node(op, [x.name, y.name])
        return IntegerTensor(name, shape, low, high, wide, constant=x.constant and y.constant)

    def aligned(self, tensors: Sequence[IntegerTensor]) -> list[IntegerTensor]:
        """All of one rank: missing axes go after the samples."""
        rank = max(len(x.shape) for x in tensors)
        results = []
        for x in tensors:
            missing = rank - len(x.shape)
            if missing:
                axes = self.constant(np.arange(1, missing + 1), "axes")
                name = self.node("Unsqueeze", [x.name, axes])
                x = replace(x, name=name, shape=(*(1,) * missing, *x.shape), narrow="", source=None)
            results.append(x)
        return results

    def affine(self, x: IntegerTensor, factor: NDArray[Any], offset: NDArray[Any]) -> str:
        """x * factor + offset, real numbers; the caller knows that it is exact."""
        name = x.name
        if (factor != 1).any():
            name = self._scaled(x, factor)
        return self.node("Add", [name, self.real(offset, x.wide)]) if offset.any() else name

    def _scaled(self, x: IntegerTensor, factor: NDArray[Any]) -> str:
        if factor.ndim == 0 and not x.wide and x.narrow and x.narrow_type in _DEQUANTIZED:
            return self._dequantized(x.narrow, x.narrow_type, float(factor))
        return self.node("Mul", [x.name, self.real(factor, x.wide)])

    def floor_of(self, x: IntegerTensor, factor: NDArray[Any], half: NDArray[Any]) -> str:
        """floor(x * factor + half), the caller knows that it is exact."""
        return self.node("Floor", [self.affine(x, factor, half)])

    def table(
        self, x: IntegerTensor, values: NDArray[Any], low: int, dtype: str = "int8"
    ) -> IntegerTensor:
        """values[x - low], integers of ``dtype``; ``x`` stays inside the table."""
        index = self.cast(self.shifted(x, -low).name, "int32")
        name = self.look_up(self.constant(values.astype(dtype), "table"), index, x.shape)
        bounds = (int(values.min()), int(values.max()))
        return self.from_narrow(name, x.shape, *bounds, dtype)

    def look_up(self, table: str, index: str, shape: tuple[int, ...]) -> str:
        """table[index] element by element; GatherElements is many times faster than Gather."""
        flat = self.node("Reshape", [index, self.constant(np.array([-1]), "flat")])
        result = self.node("GatherElements", [table, flat], {"axis": 0})
        return self.node("Reshape", [result, self.constant(np.array([-1, *shape]), "shape")])


def _typed(value: NDArray[Any] | float, wide: bool) -> NDArray[Any]:
    return np.asarray(value, np.float64 if wide else np.float32)
