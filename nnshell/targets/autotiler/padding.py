"""Padding as the AutoTiler computes it: on or off, and on which side the odd element goes.

A generator is told only whether to pad. It then computes the total of each axis by itself,
``D*(F-1) + 1 - S`` when the stride divides the input and ``D*(F-1) + 1 - in % S`` when not, and
puts it left, right, or balanced. Padding that this cannot make would give another output size on
the chip, so it is refused here.
"""

from __future__ import annotations

from dataclasses import dataclass

from nnshell.ir.work import Window

LEFT, RIGHT, BALANCED_LEFT, BALANCED_RIGHT = range(4)
DEFAULT = BALANCED_LEFT


@dataclass(frozen=True, slots=True)
class Axis:
    """A window along one axis."""

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int

    @property
    def extent(self) -> int:
        return self.dilation * (self.kernel - 1) + 1

    @property
    def output(self) -> int:
        return (self.size + self.before + self.after - self.extent) // self.stride + 1

    @property
    def total(self) -> int:
        """What the generator pads when padding is on."""
        rest = self.size % self.stride
        return max(self.extent - (rest if rest else self.stride), 0)

    def types(self) -> frozenset[int]:
        """Pad types with which the generator's result is this axis; none when it cannot be."""
        if (self.size + self.total - self.extent) // self.stride + 1 != self.output:
            return frozenset()
        half = self.total // 2
        first = {LEFT: self.total, RIGHT: 0, BALANCED_LEFT: self.total - half, BALANCED_RIGHT: half}
        return frozenset(kind for kind, left in first.items() if left == self.before)


def axes(window: Window, height: int, width: int) -> tuple[Axis, Axis]:
    """The window along the height and along the width of its input."""
    top, left, bottom, right = window.pads
    rows = (height, window.kernel[0], window.strides[0], window.dilations[0], top, bottom)
    columns = (width, window.kernel[1], window.strides[1], window.dilations[1], left, right)
    return Axis(*rows), Axis(*columns)


def pad_types(window: Window, height: int, width: int) -> frozenset[int]:
    """Pad types that reproduce the window's padding; every type when there is none to make."""
    if not window.padded:
        return frozenset(range(4))
    rows, columns = axes(window, height, width)
    return rows.types() & columns.types()


def choose(allowed: frozenset[int]) -> int:
    """The default where it is allowed, else the first that is."""
    return DEFAULT if DEFAULT in allowed else min(allowed)
