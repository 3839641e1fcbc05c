"""Rows of a stored array, read when they are asked for: a file is never in memory as a whole.

A .npy file is read where the rows are. A .npz file is unpacked from its start on: one pass over the
rows unpacks it once, and going back starts again. Arrays by columns (numpy's Fortran order) and
small data sets are read as a whole.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt

from nnshell.inputs.arrays import Archive, Header, checked, npy_header, read_bytes, read_header
from nnshell.inputs.reading import reading

Array = npt.NDArray[Any]

_SKIPPED_BYTES = 1 << 20  # at a time, between rows that are wanted


class Rows(Protocol):
    """Samples along axis 0."""

    def take(self, rows: Sequence[int]) -> Array:
        """The rows with these numbers, which ascend."""

    def head(self, count: int) -> Rows:
        """The first ``count`` rows: others will not be asked for."""


@dataclass(frozen=True)
class Whole:
    """An array that ``load(count)`` gives the first rows of, once."""

    load: Callable[[int], Array]
    count: int

    @cached_property
    def _array(self) -> Array:
        return self.load(self.count)

    def take(self, rows: Sequence[int]) -> Array:
        """The rows in the order given, (rows, *shape)."""
        return np.asarray(self._array[_index(rows)])

    def head(self, count: int) -> Whole:
        """The same, at most the first ``count`` rows."""
        return replace(self, count=count)


@dataclass(frozen=True)
class NpyRows:
    """Rows of a .npy file."""

    path: str

    def take(self, rows: Sequence[int]) -> Array:
        """The rows in the order given, (rows, *shape), read from the file."""
        header = npy_header(self.path)
        if header.fortran_order:
            return np.asarray(np.load(self.path, mmap_mode="r", allow_pickle=False)[_index(rows)])
        with reading(self.path, "array"), open(self.path, "rb") as stream:
            read_header(stream, self.path)
            start, size = stream.tell(), _row_bytes(header)
            pieces = []
            for first, count in _runs(rows):
                stream.seek(start + first * size)
                pieces.append(read_bytes(stream, count * size))
        return _as_rows(pieces, header)

    def head(self, count: int) -> NpyRows:
        """Itself: rows are read as they are taken."""
        return self


class NpzRows:
    """Rows of an array in a .npz file."""

    def __init__(self, archive: Archive, name: str) -> None:
        self._archive, self._name = archive, name
        self._header = archive.header(name)
        self._zip: zipfile.ZipFile | None = None
        self._stream: IO[bytes] | None = None
        self._next = 0  # the row that the stream is at

    def take(self, rows: Sequence[int]) -> Array:
        """The rows in the order given, (rows, *shape), read from the archive in pieces."""
        where = f"{self._archive.path}: {self._name}"
        pieces = []
        try:
            with reading(where, "array"):
                for first, count in _runs(rows):
                    pieces.append(self._read(first, count, where))
        except BaseException:  # what is left of the stream is of no use
            self._close()
            raise
        return _as_rows(pieces, self._header)

    def head(self, count: int) -> NpzRows:
        """Itself: rows are read as they are taken."""
        return self

    def _read(self, first: int, count: int, where: str) -> npt.NDArray[np.uint8]:
        size = _row_bytes(self._header)
        stream = self._at(first, size, where)
        data = read_bytes(stream, count * size)
        self._next = first + count
        if self._next == self._header.shape[0]:
            if stream.read(1):  # also makes zipfile compare the checksum
                raise ValueError("more data than the header says")
            self._close()
        return data

    def _at(self, row: int, size: int, where: str) -> IO[bytes]:
        if self._stream is None or row < self._next:
            self._close()
            self._zip = zipfile.ZipFile(self._archive.path)
            self._stream = self._zip.open(f"{self._name}.npy")
            header = read_header(self._stream, where)
            checked(header, where, self._archive.stored_bytes[self._name])
            if header != self._header:
                raise ValueError("the file has changed since it was opened")
        left = (row - self._next) * size
        while left:
            left -= len(read_bytes(self._stream, min(left, _SKIPPED_BYTES)))
        return self._stream

    def _close(self) -> None:
        for opened in (self._stream, self._zip):
            if opened is not None:
                opened.close()
        self._stream = self._zip = None
        self._next = 0

    def __del__(self) -> None:
        self._close()


def _row_bytes(header: Header) -> int:
    return math.prod(header.shape[1:]) * header.dtype.itemsize


def _as_rows(pieces: Sequence[npt.NDArray[np.uint8]], header: Header) -> Array:
    data = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    return data.view(header.dtype).reshape(-1, *header.shape[1:])


def _index(rows: Sequence[int]) -> slice | list[int]:
    consecutive = rows[-1] - rows[0] == len(rows) - 1
    return slice(rows[0], rows[-1] + 1) if consecutive else list(rows)


def _runs(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first row, how many) of neighbours."""
    first = count = 0
    for row in rows:
        if count and row == first + count:
            count += 1
            continue
        if count:
            yield first, count
        first, count = row, 1
    yield first, count
