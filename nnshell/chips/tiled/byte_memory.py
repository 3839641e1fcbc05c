"""Memories as bytes that know which of them were written: what a wrong plan trips over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.operator import IntArray
from nnshell.support.errors import GraphError

Bytes = NDArray[np.uint8]


class Memory:
    """Bytes, and which of them hold something."""

    def __init__(self, name: str, size_bytes: int) -> None:
        self.name = name
        self.data: Bytes = np.zeros(size_bytes, np.uint8)
        self.written = np.zeros(size_bytes, np.bool_)

    def area(self, offset: int, size_bytes: int) -> Area:
        """A part of the memory; GraphError outside of it."""
        if offset < 0 or offset + size_bytes > len(self.data):
            raise GraphError(f"{size_bytes} bytes at {offset} are outside of {self.name}")
        span = slice(offset, offset + size_bytes)
        return Area(self.name, self.data[span], self.written[span])


@dataclass(frozen=True, slots=True)
class Area:
    """A part of a memory, as array of any shape; the same bytes, not a copy."""

    name: str
    data: Bytes
    written: NDArray[np.bool_]

    def shaped(self, *shape: int) -> Area:
        """The same bytes in another shape."""
        return Area(self.name, self.data.reshape(shape), self.written.reshape(shape))

    def __getitem__(self, part: Any) -> Area:
        return Area(self.name, self.data[part], self.written[part])

    def read(self) -> Bytes:
        """A copy of the bytes; GraphError when some were never written."""
        if not self.written.all():
            missing = int(self.written.size - self.written.sum())
            raise GraphError(f"{missing} bytes of {self.name} are read before they are written")
        return self.data.copy()

    def write(self, data: Bytes) -> None:
        """Overwrite all bytes of the area."""
        self.data[...] = data.reshape(self.data.shape)
        self.written[...] = True

    def forget(self) -> None:
        """The buffer's time is over: who reads it now reads garbage."""
        self.data[...] = 0xA5
        self.written[...] = False


def bytes_of(array: IntArray, dtype: str) -> Bytes:
    """The elements as bytes of ``dtype``, in memory order."""
    return np.ascontiguousarray(array).astype(dtype).reshape(-1).view(np.uint8)
