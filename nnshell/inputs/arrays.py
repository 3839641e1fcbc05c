"""Array files: .npy (one sample or a stack), .npz (named stacks) and .dat (raw numbers).

Headers are read first and nothing is loaded that could not be a stack of numbers: no Python
objects (and so no pickle), no text, no array that claims more than MAX_ARRAY_BYTES. Rows are read
when they are asked for (``rows``).
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy_format

from nnshell.inputs.reading import reading
from nnshell.support.errors import InputError

Array = npt.NDArray[Any]

MAX_ARRAY_BYTES = 8 * 1024**3
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Header:
    """What an array file says about its array; axis 0 counts the samples of a stack."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool = False

    @property
    def size_bytes(self) -> int:
        """Bytes of all elements."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def holds_numbers(self) -> bool:
        """Whether numpy can read it without unpickling and its values are real numbers."""
        return self.dtype.kind in "biuf" and self.dtype.itemsize <= 8


def read_header(stream: IO[bytes], name: str) -> Header:
    """The header at the start of a .npy stream."""
    with reading(name, "array"):
        version = npy_format.read_magic(stream)
        read = {
            (1, 0): npy_format.read_array_header_1_0,
            (2, 0): npy_format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise ValueError(f"version {version} of the .npy format")
        try:
            shape, fortran_order, dtype = read(stream)
        except Exception as error:  # numpy reads Python's syntax there, and raises what that does
            raise InputError("the header of the array is damaged") from error
    return Header(shape, dtype, fortran_order)


def checked(header: Header, name: str, stored_bytes: int) -> Header:
    """The header itself; InputError when its array is not one of numbers, is empty or too large,
    or claims more than the ``stored_bytes`` there are."""
    if not header.holds_numbers:
        raise InputError(f"an array of {header.dtype} is not one of numbers", where=name)
    if min(header.shape, default=1) < 1:
        raise InputError(f"an array of shape {header.shape} is empty", where=name)
    if header.size_bytes > MAX_ARRAY_BYTES:
        raise InputError(
            f"an array of {header.size_bytes} bytes is too large",
            where=name,
            hint=f"at most {MAX_ARRAY_BYTES}; split it",
        )
    if header.size_bytes > stored_bytes:
        raise InputError(f"an array of shape {header.shape} is cut short", where=name)
    return header


def npy_header(path: str) -> Header:
    """Shape, element type and order of a .npy file; InputError when it is none or too short."""
    with reading(path, "array"), open(path, "rb") as stream:
        return checked(read_header(stream, path), path, os.stat(path).st_size)


def map_npy(path: str) -> Array:
    """A .npy array, mapped: its pages are read when they are used."""
    npy_header(path)
    with reading(path, "array"):
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


@dataclass(frozen=True, slots=True)
class Archive:
    """The arrays of a .npz file, by name, without their content."""

    path: str
    headers: dict[str, Header]
    stored_bytes: dict[str, int]
    twice: tuple[str, ...] = ()  # names that several of its entries have

    @classmethod
    def open(cls, path: str) -> Archive:
        """Read the headers of all arrays."""
        headers: dict[str, Header] = {}
        stored_bytes: dict[str, int] = {}
        twice: dict[str, None] = {}
        with reading(path, "archive"), zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename.endswith(".npy"):
                    name = member.filename.removesuffix(".npy")
                    if name in headers:
                        twice[name] = None
                    with archive.open(member) as stream:
                        headers[name] = read_header(stream, f"{path}: {name}")
                    stored_bytes[name] = member.file_size
        return cls(path, headers, stored_bytes, tuple(twice))

    def samples_of(self, names: Sequence[str], *, alone: bool) -> str | None:
        """Name of the array for a graph input known by ``names``; ``alone``: it is the only one.

        ``images``, else the array named like the input, else the only one with two or more axes.
        """
        if alone and "images" in self.headers:
            return "images"
        for name in names:
            if name in self.headers:
                return name
        stacks = [n for n, header in self.headers.items() if _is_stack(n, header)]
        return stacks[0] if alone and len(stacks) == 1 else None

    def header(self, name: str) -> Header:
        """Header of an array that shall be read; InputError when it cannot be."""
        return checked(self.headers[name], f"{self.path}: {name}", self.stored_bytes[name])

    def load(self, name: str, rows: int) -> Array:
        """The first ``rows`` rows of an array."""
        where = f"{self.path}: {name}"
        with (
            reading(where, "array"),
            zipfile.ZipFile(self.path) as archive,
            archive.open(f"{name}.npy") as stream,
        ):
            read_header(stream, where)
            header = self.header(name)
            return _read_rows(stream, header, min(rows, header.shape[0]))


def _is_stack(name: str, header: Header) -> bool:
    return header.holds_numbers and len(header.shape) > 1 and name != "labels"


def _read_rows(stream: IO[bytes], header: Header, rows: int) -> Array:
    if header.fortran_order:
        flat = read_bytes(stream, header.size_bytes).view(header.dtype)
        return flat.reshape(header.shape, order="F")[:rows]
    shape = (rows, *header.shape[1:])
    array = read_bytes(stream, math.prod(shape) * header.dtype.itemsize).view(header.dtype)
    if rows == header.shape[0] and stream.read(1):  # also makes zipfile compare the checksum
        raise ValueError("more data than the header says")
    return array.reshape(shape)


def read_bytes(stream: IO[bytes], count: int) -> npt.NDArray[np.uint8]:
    """Exactly ``count`` bytes, in steps, so that pages a false header claims are never touched."""
    data = np.empty(count, np.uint8)
    for start in range(0, count, _CHUNK_BYTES):
        stop = min(start + _CHUNK_BYTES, count)
        chunk = stream.read(stop - start)
        if len(chunk) != stop - start:
            raise EOFError("the file ends too early")
        data[start:stop] = np.frombuffer(chunk, np.uint8)
    return data


def labels_from(array: Array, count: int, where: str) -> tuple[int, ...]:
    """Labels of an array of ``count`` whole numbers; one-hot rows stand for their place."""
    if array.ndim == 2 and array.shape[1] > 1 and _is_one_hot(array):
        array = array.argmax(axis=1)
    flat = array.reshape(-1)
    if flat.size != count:
        raise InputError(f"{flat.size} labels for {count} samples", where=where)
    if flat.dtype.kind == "f" and not (np.isfinite(flat) & (flat == np.trunc(flat))).all():
        raise InputError("labels are not whole numbers", where=where)
    return tuple(int(label) for label in flat)


def _is_one_hot(array: Array) -> bool:
    ones = (array == 1).sum(axis=1) == 1
    zeros = (array == 0).sum(axis=1) == array.shape[1] - 1
    return bool(np.all(ones & zeros))


def read_dat(path: str, shape: tuple[int, ...], nptype: str) -> Array:
    """Raw numbers of one sample, in the order of the graph's input and this machine's bytes."""
    dtype = np.dtype(nptype)
    with reading(path, "raw data"):
        size_bytes = os.stat(path).st_size
        count = math.prod(shape)
        if size_bytes != count * dtype.itemsize:
            raise InputError(
                f"{size_bytes} bytes are not the {count} {nptype} numbers that the graph takes",
                where=path,
                hint="-F names another number type",
            )
        return np.fromfile(path, dtype).reshape(shape)
