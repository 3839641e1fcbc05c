"""What a node costs, in shapes and bytes: the loop nest a kernel library turns into cycles.

An operator states its work once; which kernel a chip uses for it, and how many cycles that
takes, is the business of ``nnshell.chips``. Sizes are for one inference (no batch).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
        return any(self.pads)

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
class Work:
    """One kernel's work. Feature maps are (channels, height, width); vectors are (n, 1, 1).

    ``pool`` and ``activation`` are what a fusion adds behind the filter: ``output`` is then the
    shape behind them and ``filter_output`` the shape before the pool.
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
    constant_bytes: int = 0  # biases (int32), multipliers, shifts and infos
    pool: Window | None = None
    pool_kind: Literal["max", "average"] | None = None
    activation: str | None = None  # "relu", "relu6", "leaky", "hsigmoid", "hswish", "sigmoid", ...
