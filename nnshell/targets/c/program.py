"""What a network in C is: calls of kernels on values that lie in buffers.

A value's elements lie in memory in the ``order`` of its axes, outermost first: feature maps as
height x width x channels, everything else as its shape says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.types import Layout, TensorType

AXES = 8  # that a kernel's loops have; NN_AXES of the kernels
PIXELS_FIRST = (1, 2, 0)
ELEMENT_TYPES = {"int8": 0, "uint8": 1, "int16": 2, "uint16": 3, "int32": 4}

Place = Literal["arena", "input", "output", "constant"]
Field = int | tuple[int, ...] | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory of a network: number ``index`` of its kind."""

    place: Place
    index: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor in a buffer: logical shape, order of its axes in memory, element type."""

    buffer: Buffer
    shape: tuple[int, ...]
    order: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def element_type(self) -> int:
        """Its number in the kernels."""
        return ELEMENT_TYPES[self.dtype]

    @property
    def element_bytes(self) -> int:
        return int(np.dtype(self.dtype).itemsize)

    @property
    def steps(self) -> tuple[int, ...]:
        """Elements from one index to the next along each logical axis; 0 along axes of one."""
        steps = [0] * len(self.shape)
        step = 1
        for axis in reversed(self.order):
            steps[axis] = step if self.shape[axis] != 1 else 0
            step *= self.shape[axis]
        return tuple(steps)

    def lies_as(self, order: Sequence[int]) -> bool:
        """Whether its elements would lie the same in that order of the axes."""
        return [a for a in self.order if self.shape[a] != 1] == [
            a for a in order if self.shape[a] != 1
        ]


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A kernel run on values. ``fields`` are its parameters by name, nested ones in a dict."""

    kernel: str
    fields: dict[str, Any]
    inputs: tuple[Value, ...]
    output: Value
    layer: str  # path of the node that it computes
    in_place: tuple[int, ...] = ()  # inputs whose memory the output may take


@dataclass(frozen=True, slots=True, eq=False)
class Port:
    """An input or output of the network: its tensor's key and what its integers stand for."""

    key: str
    type: TensorType
    dtype: str
    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A network: its calls in order, constants by number, inputs and outputs."""

    name: str
    calls: tuple[Call, ...]
    constants: tuple[NDArray[Any], ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    notes: dict[str, str]  # by layer: what it is and where it came from
    macs: int


def memory_order(type: TensorType) -> tuple[int, ...]:
    """Feature maps have their channels innermost."""
    if len(type.shape) == 3 and type.layout is Layout.CHW:
        return PIXELS_FIRST
    return tuple(range(len(type.shape)))


@dataclass(frozen=True, slots=True)
class Loops:
    """An iteration space, outermost first, and each operand's steps in it."""

    extents: tuple[int, ...]
    steps: tuple[tuple[int, ...], ...]

    def joined(self) -> Loops:
        """With as few axes as possible, at least one."""
        extents: list[int] = []
        steps: list[list[int]] = [[] for _ in self.steps]
        for place, extent in enumerate(self.extents):
            now = [operand[place] for operand in self.steps]
            if extent == 1:
                continue
            if extents and all(s[-1] == step * extent for s, step in zip(steps, now, strict=True)):
                extents[-1] *= extent
                for operand, step in zip(steps, now, strict=True):
                    operand[-1] = step
                continue
            extents.append(extent)
            for operand, step in zip(steps, now, strict=True):
                operand.append(step)
        if not extents:
            return Loops((1,), tuple((0,) for _ in steps))
        return Loops(tuple(extents), tuple(tuple(operand) for operand in steps))

    def padded(self) -> Loops:
        """With exactly ``AXES`` axes; the first ones have extent 1."""
        missing = AXES - len(self.extents)
        return Loops(
            (1,) * missing + self.extents,
            tuple((0,) * missing + operand for operand in self.steps),
        )
