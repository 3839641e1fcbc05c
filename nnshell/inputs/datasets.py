"""Well-known data set files: MNIST (idx, plain or .gz) and CIFAR-10 (binary and Python batches).

A Python batch of CIFAR-10 is a pickle. It is never unpickled: ``pickletools.genops`` lists its
operations as data, and the labels and the pixels are picked out of that list.
"""

from __future__ import annotations

import gzip
import math
import os
import pickletools
import struct
from dataclasses import dataclass
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from nnshell.inputs.arrays import MAX_ARRAY_BYTES, read_bytes
from nnshell.inputs.reading import reading
from nnshell.support.errors import InputError

Array = npt.NDArray[Any]

_IDX_UINT8 = 0x08
_DEFLATE_RATIO = 1032  # deflate cannot pack better than 1032 to 1 (zlib's documentation)
_CIFAR_RECORD = np.dtype([("label", np.uint8), ("image", np.uint8, (3, 32, 32))])
_CIFAR_PIXELS = 3 * 32 * 32
_CIFAR_CLASSES = 10
MAX_PICKLE_BYTES = 256 * 1024 * 1024  # a CIFAR-10 batch is 31 MB
_INTEGER_OPERATIONS = ("BININT1", "BININT2", "BININT", "INT")
_CONVERT = "use the binary version, cifar-10-binary.tar.gz, or save arrays as .npz"


def _open_idx(path: str) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.endswith(".gz") else open(path, "rb")


def _idx_shape(stream: IO[bytes], stored_bytes: int) -> tuple[int, ...]:
    magic = stream.read(4)
    if len(magic) != 4 or magic[:2] != b"\0\0":
        raise ValueError("it does not start as an idx file does")
    if magic[2] != _IDX_UINT8:
        raise ValueError(f"idx data type {magic[2]:#04x}; only bytes (0x08) are read")
    sizes = stream.read(4 * magic[3])
    if not magic[3] or len(sizes) != 4 * magic[3]:
        raise ValueError("the file ends in its header")
    shape = struct.unpack(f">{magic[3]}I", sizes)
    if not 0 < math.prod(shape) <= MAX_ARRAY_BYTES:
        raise ValueError(f"{shape} values are none or too many")
    if math.prod(shape) > stored_bytes:
        raise ValueError(f"it is too short for {shape} values")
    return shape


def _stored_bytes(path: str) -> int:
    """The most bytes a file can hold once unpacked."""
    size_bytes = os.stat(path).st_size
    return size_bytes * _DEFLATE_RATIO if path.endswith(".gz") else size_bytes


def idx_shape(path: str) -> tuple[int, ...]:
    """Shape of an idx file's array; axis 0 counts the samples."""
    with reading(path, "idx file"), _open_idx(path) as stream:
        return _idx_shape(stream, _stored_bytes(path))


def read_idx(path: str, rows: int) -> Array:
    """The first ``rows`` entries of an idx file, uint8."""
    with reading(path, "idx file"), _open_idx(path) as stream:
        count, *shape = _idx_shape(stream, _stored_bytes(path))
        rows = min(rows, count)
        return read_bytes(stream, rows * math.prod(shape)).reshape(rows, *shape)


def idx_label_file(path: str) -> str | None:
    """The label file that belongs to an image file by the usual names, when it exists."""
    folder, name = os.path.split(path)
    stem = name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    for candidate in (os.path.join(folder, stem + end) for end in ("", ".gz")):
        if os.path.isfile(candidate) and os.path.basename(candidate) != name:
            return candidate
    return None


def map_cifar_binary(path: str) -> tuple[Array, tuple[int, ...]]:
    """Images (n, 32, 32, 3), mapped, and labels of a batch of the binary version."""
    with reading(path, "CIFAR-10 batch"):
        size_bytes = os.stat(path).st_size
        if not size_bytes or size_bytes % _CIFAR_RECORD.itemsize:
            raise ValueError(f"{size_bytes} bytes are not records of {_CIFAR_RECORD.itemsize}")
        records = np.memmap(path, _CIFAR_RECORD, mode="r")
    labels = tuple(int(label) for label in records["label"])
    _check_cifar_labels(labels, path)
    return records["image"].transpose(0, 2, 3, 1), labels


def read_cifar_python(path: str) -> tuple[Array, tuple[int, ...]]:
    """Images (n, 32, 32, 3) and labels of a batch of the Python version."""
    with reading(path, "CIFAR-10 batch"):
        if os.stat(path).st_size > MAX_PICKLE_BYTES:
            raise ValueError(f"more than {MAX_PICKLE_BYTES} bytes")
        with open(path, "rb") as stream:
            batch = _pick_out(stream.read())
    if not batch.labels or len(batch.pixels) != len(batch.labels) * _CIFAR_PIXELS:
        raise InputError(
            f"{len(batch.labels)} labels and {len(batch.pixels)} pixel bytes are no CIFAR-10 batch",
            where=path,
            hint=_CONVERT,
        )
    _check_cifar_labels(batch.labels, path)
    rows = np.frombuffer(batch.pixels, np.uint8).reshape(
        (len(batch.labels), _CIFAR_PIXELS), order="F" if batch.by_columns else "C"
    )
    return rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), batch.labels


@dataclass(frozen=True, slots=True)
class _Batch:
    pixels: bytes
    labels: tuple[int, ...]
    by_columns: bool  # numpy's order "F"


def _pick_out(data: bytes) -> _Batch:
    """The longest byte string, and the whole numbers that follow the word "labels"."""
    pixels, labels, in_labels = b"", [], False
    flag = by_columns = letters = awaited = False
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "PROTO":
            letters = argument is not None and argument >= 5
        elif opcode.name in ("NEWTRUE", "NEWFALSE") or isinstance(argument, bool):
            flag = opcode.name == "NEWTRUE" or argument is True
        elif isinstance(argument, str | bytes | bytearray):  # protocol 5 has arrays as bytearray
            if isinstance(argument, str):
                argument = argument.encode("latin-1", "replace")  # how Python 2 spelt bytes
            if argument == b"latin1":  # how protocol 2 of Python 3 marks bytes
                continue
            in_labels = argument == b"labels"
            if len(argument) > len(pixels):
                # Whether they go by columns: a flag before them, or a letter after (5).
                pixels, by_columns, awaited = bytes(argument), flag, letters
            elif argument in (b"C", b"F") and awaited:
                by_columns, awaited = argument == b"F", False
        elif in_labels and opcode.name in _INTEGER_OPERATIONS and argument is not None:
            labels.append(int(argument))
    return _Batch(pixels, tuple(labels), by_columns)


def _check_cifar_labels(labels: tuple[int, ...], path: str) -> None:
    if not 0 <= min(labels) <= max(labels) < _CIFAR_CLASSES:
        raise InputError(
            f"label {max(labels)} in a CIFAR-10 batch", where=path, hint="CIFAR-100 is not read"
        )
