"""Tensors whose numbers lie outside the model: in a file beside it, or further on in its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from nnshell.importers.model_file import MAX_FILE_BYTES
from nnshell.importers.onnx.weights import is_whole, reference
from nnshell.importers.onnx.wire import ITSELF
from nnshell.support.errors import ModelError

_EXTERNAL = onnx.TensorProto.EXTERNAL
_PLAIN = {  # whose bytes are what numpy has in memory
    getattr(onnx.TensorProto, name): np.dtype(dtype)
    for name, dtype in (
        *(("FLOAT", "<f4"), ("DOUBLE", "<f8"), ("FLOAT16", "<f2")),
        *(("INT8", "i1"), ("UINT8", "u1"), ("INT16", "<i2"), ("UINT16", "<u2")),
        *(("INT32", "<i4"), ("UINT32", "<u4"), ("INT64", "<i8"), ("UINT64", "<u8")),
    )
}


@dataclass(frozen=True, slots=True)
class _Place:
    path: Path
    offset: int
    length: int

    def bytes(self) -> bytes:
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.length)


def is_outside(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_location == _EXTERNAL)


def check_outside(tensors: Iterable[onnx.TensorProto], path: Path) -> None:
    """Raises ModelError where data are missing, too many, or not beside the model."""
    total = sum(_place(tensor, path).length for tensor in tensors if is_outside(tensor))
    if total > MAX_FILE_BYTES:
        raise ModelError(f"external data of more than {MAX_FILE_BYTES} bytes", where=path.name)


def locations(tensors: Iterable[onnx.TensorProto], path: Path) -> list[str]:
    """Files beside the model at ``path`` that hold data of its tensors, as it names them.

    Raises ModelError for one that is missing or not in the model's folder.
    """
    names: dict[str, None] = {}
    for tensor in tensors:
        if is_outside(tensor) and reference(tensor).get("location") != ITSELF:
            _place(tensor, path)
            names[reference(tensor)["location"]] = None
    return list(names)


def load(tensor: onnx.TensorProto, path: Path) -> None:
    """Put the data of a tensor into it. Raises ModelError."""
    tensor.raw_data = _place(tensor, path).bytes()
    tensor.ClearField("data_location")
    del tensor.external_data[:]


def array_of(tensor: onnx.TensorProto, path: Path) -> NDArray[Any]:
    """The numbers of a tensor of the model at ``path``, wherever they are.

    Raises one of ``ONNX_ERRORS`` when they do not fit the tensor's type and shape, ModelError.
    """
    if not is_outside(tensor):
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    place = _place(tensor, path)
    dtype, count = _PLAIN.get(tensor.data_type), prod(tensor.dims)
    if dtype is None or count * dtype.itemsize != place.length:
        whole = onnx.TensorProto()
        whole.CopyFrom(tensor)
        load(whole, path)
        return np.asarray(onnx.numpy_helper.to_array(whole))
    values = np.fromfile(place.path, dtype, count, offset=place.offset)
    return values.reshape(tuple(tensor.dims)).astype(dtype.newbyteorder("="), copy=False)


def _place(tensor: onnx.TensorProto, path: Path) -> _Place:
    """Where a tensor's data lie; refuses files outside the model's folder."""
    entries = reference(tensor)
    target = path if entries.get("location") == ITSELF else _beside(tensor, entries, path)
    size = target.stat().st_size
    offset, length = (
        int(text) if is_whole(text) else missing
        for text, missing in ((entries.get("offset", ""), 0), (entries.get("length", ""), -1))
    )
    length = max(size - offset, 0) if length < 0 else length
    if offset + length > size:
        raise ModelError(
            f"external data of '{tensor.name}' cannot be read: {target.name} has {size} bytes,"
            f" not {offset + length}",
            where=path.name,
        )
    return _Place(target, offset, length)


def _beside(tensor: onnx.TensorProto, entries: dict[str, str], path: Path) -> Path:
    location, folder = entries.get("location", ""), path.resolve().parent
    parts = PurePosixPath(location.replace("\\", "/")).parts
    target = (folder / location).resolve() if "\0" not in location else folder
    outside = not target.is_relative_to(folder) or ".." in parts
    if not location or PurePosixPath(location).is_absolute() or outside:
        raise ModelError(
            f"external data of '{tensor.name}' is outside the model's folder: '{location}'",
            where=path.name,
            hint="keep the data file beside the model",
        )
    if not target.is_file():
        raise ModelError(
            f"external data of '{tensor.name}' is missing: '{location}'",
            where=path.name,
            hint="keep the data file beside the model",
        )
    return target
