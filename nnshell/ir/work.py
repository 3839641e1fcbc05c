"""What a node costs, in shapes and bytes: the loop nest a kernel library turns into cycles.

An operator states its work once; which kernel a chip uses for it, and how many cycles that
takes, is the business of ``nnshell.chips``. Sizes are for one inference (no batch).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.types import TensorType

WorkKind = Literal[
    "conv",  # dense or 1x1 convolution
    "depthwise",  # groups == input channels == output channels
    "grouped",  # any other group count
    "linear",  # matrix times vector, constant weights
    "matmul",  # product of two activations
    "pool",  # windowed maximum or average
    "global_pool",  # reduction over all of height and width
    "elementwise",  # add, sub, mul, div of two feature maps
    "activation",  # stand-alone relu, sigmoid, ...
    "softmax",
    "recurrent",  # a sequence, step by step: outputs are states, rows are steps
    "move",  # transpose, copy, concat, split, pad, slice: bytes move, nothing is computed
    "resize",
    "format",  # image formatter
    "convert",  # quantize node: one scale to another
    "none",  # makes no code: reshape, graph input and output, constant
]


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window; pairs are (height, width), pads are (top, left, bottom, right)."""

    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def padded(self) -> bool:
        """Whether any side has padding."""
        return any(self.pads)

    def grown(self, pads: tuple[int, int, int, int]) -> Window:
        """With more padding on each side."""
        top, left, bottom, right = (a + b for a, b in zip(self.pads, pads, strict=True))
        return replace(self, pads=(top, left, bottom, right))

    def shares_inside(self, height: int, width: int) -> NDArray[np.float64]:
        """For each tap (kernel height x width) the share of its places that lie in the input."""
        shares = (inside.mean(axis=1) for inside in self._inside(height, width))
        return np.asarray(np.multiply.outer(*shares), np.float64)

    def counts_inside(self, height: int, width: int) -> dict[int, float]:
        """How many taps lie in the input: the share of the output's places, by that number."""
        counts = np.multiply.outer(*(inside.sum(axis=0) for inside in self._inside(height, width)))
        numbers, places = np.unique(counts, return_counts=True)
        return {int(n): int(m) / counts.size for n, m in zip(numbers, places, strict=True)}

    def _inside(self, height: int, width: int) -> list[NDArray[np.bool_]]:
        """Along height and width: whether a tap (first axis) at an output's place reads input."""
        sizes = zip((height, width), self.output_size(height, width), strict=True)
        results = []
        for axis, (extent, count) in enumerate(sizes):
            tap = np.arange(self.kernel[axis])[:, np.newaxis] * self.dilations[axis]
            places = np.arange(count) * self.strides[axis] + tap - self.pads[axis]
            results.append((places >= 0) & (places < extent))
        return results

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Output (height, width) of the window over an input, rounding down."""
        top, left, bottom, right = self.pads
        extents = [d * (k - 1) + 1 for d, k in zip(self.dilations, self.kernel, strict=True)]
        sizes = (height + top + bottom, width + left + right)
        rows, columns = (
            (size - extent) // stride + 1
            for size, extent, stride in zip(sizes, extents, self.strides, strict=True)
        )
        return rows, columns


@dataclass(frozen=True, slots=True)
class ElementBytes:
    """Bytes of an element of a node's inputs and outputs in memory; 1 where none is given."""

    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()

    def of_inputs(self, types: Sequence[TensorType]) -> tuple[int, ...]:
        """Bytes of each input."""
        return _bytes(types, self.inputs)

    def of_outputs(self, types: Sequence[TensorType]) -> int:
        """Bytes of all outputs together."""
        return sum(_bytes(types, self.outputs))


ONE_BYTE = ElementBytes()  # int8


def _bytes(types: Sequence[TensorType], widths: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(
        kind.size * (widths[index] if index < len(widths) else 1)
        for index, kind in enumerate(types)
    )


@dataclass(frozen=True, slots=True)
class Work:
    """One kernel's work. Feature maps are (channels, height, width); vectors are (n, 1, 1).

    ``pool`` and ``activation`` are what a fusion adds after the filter: ``output`` is then the
    shape after them and ``filter_output`` the shape before the pool.
    """

    kind: WorkKind
    inputs: tuple[tuple[int, int, int], ...]  # activations only, not constants
    output: tuple[int, int, int]
    filter_output: tuple[int, int, int]  # before a fused pool; equal to output without one
    window: Window = Window()
    groups: int = 1
    macs: int = 0
    input_bytes: tuple[int, ...] = ()
    output_bytes: int = 0
    weight_bytes: int = 0  # int8 weights
    gates: int = 1  # of a recurrent layer: products of each state
    constant_bytes: int = 0  # biases (int32), multipliers, shifts and infos
    pool: Window | None = None
    pool_kind: Literal["max", "average"] | None = None
    activation: str | None = None  # "relu", "relu6", "leaky", "hsigmoid", "hswish", "sigmoid", ...

    @property
    def element_bytes(self) -> int:
        """Bytes of an element of the first input; 1 without any."""
        if not self.inputs or not self.input_bytes:
            return 1
        return max(1, self.input_bytes[0] // max(1, math.prod(self.inputs[0])))

    @classmethod
    def of_maps(
        cls,
        kind: WorkKind,
        inputs: Sequence[TensorType],
        outputs: Sequence[TensorType],
        stored: ElementBytes,
        *,
        constant_bytes: int = 0,
        activation: str | None = None,
    ) -> Work:
        """Work without a window: ``inputs``, the first of the node's, become output 0."""
        shape = outputs[0].chw
        return cls(
            kind,
            tuple(source.chw for source in inputs),
            shape,
            shape,
            input_bytes=stored.of_inputs(inputs),
            output_bytes=stored.of_outputs(outputs),
            constant_bytes=constant_bytes,
            activation=activation,
        )
