"""Tensor types and where things came from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class Layout(Enum):
    """Order of the axes of a feature map (there is no batch axis in the graph)."""

    CHW = "chw"
    HWC = "hwc"
    NONE = "none"  # vectors, weights, anything that is not a feature map

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class TensorType:
    """Shape (without batch), layout and element type of a tensor."""

    shape: tuple[int, ...]
    layout: Layout = Layout.NONE
    dtype: str = "float32"

    @property
    def size(self) -> int:
        """Number of elements."""
        total = 1
        for extent in self.shape:
            total *= extent
        return total

    @property
    def chw(self) -> tuple[int, int, int]:
        """(channels, height, width); a vector of n is (n, 1, 1), a matrix (1, rows, columns)."""
        if self.layout is Layout.HWC and len(self.shape) == 3:
            height, width, channels = self.shape
            return channels, height, width
        if len(self.shape) == 3:
            channels, height, width = self.shape
            return channels, height, width
        if len(self.shape) == 2:
            return 1, self.shape[0], self.shape[1]
        return self.size, 1, 1

    def __str__(self) -> str:
        return "x".join(str(extent) for extent in self.shape) or "scalar"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a node came from: its name in the model file, the file, and the passes that made it."""

    foreign_name: str = ""  # node name as the file spells it, or its first output's name
    foreign_op: str = ""
    source: str = ""  # model file name
    passes: tuple[str, ...] = ()
    position: int = -1  # of the node in the model file, from 0; -1 without one

    def touched_by(self, pass_name: str) -> Origin:
        """The same origin with a pass noted last."""
        if self.passes and self.passes[-1] == pass_name:
            return self
        return replace(self, passes=(*self.passes, pass_name))

    def __str__(self) -> str:
        name = f"{self.foreign_op} '{self.foreign_name}'" if self.foreign_name else "added"
        return f"{name} in {self.source}" if self.source else name
