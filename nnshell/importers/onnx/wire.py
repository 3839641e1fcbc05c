"""A model file without its large tensors, whose numbers stay in the file until they are wanted.

Protobuf's parser makes a copy of all bytes. Here the file is walked field by field, as far as the
tensors in it, and raw data of more than ``LARGE_BYTES`` are replaced by a reference into the file,
spelled as external data is (location ``ITSELF``, offset and length in bytes). What a reader of the
model wants of them is read from there (``external``).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

import onnx

from nnshell.importers.onnx.weights import LARGE_BYTES

ITSELF = "\0"  # the location of data in the model's own file: no file is called that

_WORTH_BYTES = 1 << 22  # a smaller file is parsed as it is
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5  # of protobuf's wire format
_MOST_VARINT = 10  # bytes

_Schema: TypeAlias = Mapping[int, "_Schema | None"]  # fields that are walked; None is a tensor
_ATTRIBUTE: _Schema = {5: None}
_GRAPH: _Schema = {1: {5: _ATTRIBUTE}, 5: None}
_MODEL: _Schema = {7: _GRAPH}
_RAW_DATA, _REFERENCES = 9, (13, 14)  # fields of a tensor


class _Broken(Exception):
    """The bytes are not fields of protobuf, or are spelled in an unusual way."""


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a message: the whole of it from ``start``, its content from ``body``."""

    number: int
    kind: int
    start: int
    body: int
    end: int

    @property
    def is_large(self) -> bool:
        return self.kind == _BYTES and self.end - self.body > LARGE_BYTES


def with_references(path: Path, most: int, worth: int = _WORTH_BYTES) -> tuple[bytes, str] | None:
    """The model with references in place of large raw data, and the SHA-256 of the file.

    None for what is read as any file: small ones, more than ``most`` bytes, pipes, what is no
    model. Raises OSError.
    """
    with path.open("rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode) or not worth <= status.st_size <= most:
            return None
        try:
            content = _walked(stream, 0, status.st_size, _MODEL)
        except _Broken:
            return None
        stream.seek(0)
        return content, hashlib.file_digest(stream, "sha256").hexdigest()


def _walked(stream: IO[bytes], start: int, end: int, schema: _Schema) -> bytes:
    """A message in which the fields of the schema are walked in their turn."""
    pieces = []
    for field in _fields(stream, start, end):
        if not field.is_large or field.number not in schema:
            pieces.append(_read(stream, field.start, field.end))
            continue
        inner = schema[field.number]
        if inner is None:
            content = _tensor(stream, field.body, field.end)
        else:
            content = _walked(stream, field.body, field.end, inner)
        pieces += [_varint(field.number << 3 | _BYTES), _varint(len(content)), content]
    return b"".join(pieces)


def _tensor(stream: IO[bytes], start: int, end: int) -> bytes:
    """A tensor with a reference to its raw data, where it has them once and in the file."""
    fields = list(_fields(stream, start, end))
    data = [field for field in fields if field.number == _RAW_DATA]
    if len(data) != 1 or not data[0].is_large or any(f.number in _REFERENCES for f in fields):
        return _read(stream, start, end)
    reference = onnx.TensorProto(data_location=onnx.TensorProto.EXTERNAL)
    offset, length = data[0].body, data[0].end - data[0].body
    for key, value in (("location", ITSELF), ("offset", offset), ("length", length)):
        reference.external_data.add(key=key, value=str(value))
    others = [_read(stream, field.start, field.end) for field in fields if field is not data[0]]
    return b"".join([*others, reference.SerializeToString()])


def _fields(stream: IO[bytes], start: int, end: int) -> Iterator[_Field]:
    """The fields of a message that lies in the file from ``start`` to ``end``."""
    while start < end:
        stream.seek(start)
        head = stream.read(min(2 * _MOST_VARINT, end - start))
        tag, used = _number(head, 0)
        number, kind = tag >> 3, tag & 7
        size, body = {_EIGHT: 8, _FOUR: 4}.get(kind, 0), used
        if kind == _BYTES:
            size, body = _number(head, used)
        elif kind == _VARINT:
            size = _number(head, used)[1] - used
        elif not size:
            raise _Broken  # a group, or nothing that protobuf knows
        if not number or start + body + size > end:
            raise _Broken
        yield _Field(number, kind, start, start + body, start + body + size)
        start += body + size


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A varint, and where the next byte is."""
    value = 0
    for count, byte in enumerate(data[at : at + _MOST_VARINT]):
        value |= (byte & 127) << 7 * count
        if byte < 128:
            return value, at + count + 1
    raise _Broken


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


def _read(stream: IO[bytes], start: int, end: int) -> bytes:
    stream.seek(start)
    data = stream.read(end - start)
    if len(data) != end - start:
        raise _Broken  # it became shorter meanwhile
    return data
