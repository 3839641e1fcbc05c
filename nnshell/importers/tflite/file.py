"""Reading a TFLite file: from bytes that may be anything to tensors and operators as plain values.

A file is a flatbuffer: tables and vectors that point at one another by offsets. The schema's
accessors check none of them, so every count is held against the size of the file, every index
against what it counts, and whatever the accessors run into is an error of the file.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.importers.model_file import model_bytes
from nnshell.importers.tflite.options import OPTIONS, OptionFields
from nnshell.support.errors import ModelError
from nnshell.support.text import short

SCHEMA_VERSION = 3
_MOST_AXES = 8
_MOST_ENTRIES = 1 << 16  # tensors, operators, buffers, codes
_MOST_NUMBERS = 1 << 22  # in all lists of shapes, inputs, options and scales together

# What the accessors run into in a file that is not what it should be.
_BROKEN = (
    struct.error,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    OverflowError,
    AssertionError,
    MemoryError,
)

OptionValue = int | float | tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TensorQuantization:
    """real = scale * (q - zero_point), per tensor or along ``axis``; ``minimum`` and ``maximum``
    are the range that the converter saw, where it kept it."""

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int = 0
    minimum: NDArray[np.float32] | None = None
    maximum: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TensorEntry:
    """A tensor of the file; ``data`` is its buffer, None for what the network computes."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str  # numpy's name, or the schema's for what numpy does not have
    buffer: int
    data: memoryview | None
    any_batch: bool = False  # the file leaves axis 0 open
    quantization: TensorQuantization | None = None
    sparse: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class OperatorEntry:
    """An operator of the file; -1 among ``inputs`` is one left out."""

    index: int
    op: str  # the schema's name: CONV_2D
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, OptionValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class TfliteFile:
    """The first subgraph of a file. Operators come after what they read."""

    path: Path
    sha256: str
    tensors: tuple[TensorEntry, ...]
    operators: tuple[OperatorEntry, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    subgraphs: int = 1


def read_tflite(path: Path) -> TfliteFile:
    """Read a TFLite model. Raises ModelError for one that is missing, damaged or another kind."""
    data = model_bytes(path)
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise _damaged(path, "it does not begin as one")
    try:
        return _Reader(path, data).file()
    except _BROKEN as error:
        raise _damaged(path, "its tables point outside of it") from error


def _damaged(path: Path, why: str) -> ModelError:
    return ModelError(
        f"the file is not a TFLite model, or is damaged: {why}",
        where=path.name,
        hint="export or download it again",
    )


@cache
def _schema() -> Any:
    """The schema's accessors: many small modules, loaded with the first file that needs them."""
    return importlib.import_module("tflite")


@cache
def _names(table: str) -> Mapping[int, str]:
    """Names of an enumeration of the schema by number."""
    members = vars(getattr(_schema(), table))
    return {value: name for name, value in members.items() if isinstance(value, int)}


class _Reader:
    """One pass over a file; ``_spend`` keeps the lists in it from taking all memory."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.data = data
        self.model = _schema().Model.GetRootAsModel(data, 0)
        self._left = _MOST_NUMBERS

    def file(self) -> TfliteFile:
        """The model as plain values; ModelError for another schema version or broken tables."""
        model = self.model
        if model.Version() != SCHEMA_VERSION:
            raise ModelError(
                f"the file has version {model.Version()}; accepted: {SCHEMA_VERSION}",
                where=self.path.name,
                hint="convert the model again with a converter of TensorFlow 2",
            )
        subgraphs = self._count(model.SubgraphsLength())
        if not subgraphs:
            raise _damaged(self.path, "it holds no graph")
        graph = model.Subgraphs(0)
        tensors = tuple(
            self._tensor(graph.Tensors(index), index)
            for index in range(self._count(graph.TensorsLength()))
        )
        codes = [self._code(index) for index in range(self._count(model.OperatorCodesLength()))]
        operators = tuple(
            self._operator(graph.Operators(index), index, codes)
            for index in range(self._count(graph.OperatorsLength()))
        )
        file = TfliteFile(
            self.path,
            hashlib.sha256(self.data).hexdigest(),
            tensors,
            operators,
            self._integers(graph.InputsLength, graph.InputsAsNumpy),
            self._integers(graph.OutputsLength, graph.OutputsAsNumpy),
            subgraphs,
        )
        self._check_indices(file)
        return file

    # -- counts and lists ------------------------------------------------------------------

    def _count(self, count: int) -> int:
        if count > min(_MOST_ENTRIES, len(self.data)):
            raise _damaged(self.path, f"it claims to hold a list of {count} entries")
        self._spend(count)
        return count

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise _damaged(self.path, f"its lists hold more than {_MOST_NUMBERS} numbers")

    def _numbers(self, length: Callable[[], int], read: Callable[[], Any]) -> NDArray[Any] | None:
        """A vector of numbers; None when the file leaves it out."""
        count = length()
        if not count:
            return None
        self._spend(count)
        return np.asarray(read())

    def _integers(self, length: Callable[[], int], read: Callable[[], Any]) -> tuple[int, ...]:
        numbers = self._numbers(length, read)
        return () if numbers is None else tuple(int(number) for number in numbers)

    # -- tensors ---------------------------------------------------------------------------

    def _tensor(self, table: Any, index: int) -> TensorEntry:
        shape = self._integers(table.ShapeLength, table.ShapeAsNumpy)
        signature = self._integers(table.ShapeSignatureLength, table.ShapeSignatureAsNumpy)
        name = (table.Name() or b"").decode("utf-8", "replace")
        if len(shape) > _MOST_AXES:
            raise ModelError(
                f"tensor '{short(name)}' has {len(shape)} axes; accepted: {_MOST_AXES}",
                where=self.path.name,
            )
        dtype = _names("TensorType").get(table.Type(), f"type {table.Type()}").lower()
        return TensorEntry(
            index,
            name,
            shape,
            dtype,
            table.Buffer(),
            self._buffer(table.Buffer()),
            bool(signature) and signature[0] == -1,
            self._quantization(table.Quantization()),
            table.Sparsity() is not None,
        )

    def _buffer(self, index: int) -> memoryview | None:
        """The bytes of buffer ``index``; buffer 0 is the empty one by definition."""
        if not 0 <= index < self.model.BuffersLength():
            raise _damaged(self.path, f"a tensor lies in buffer {index}, which does not exist")
        buffer = self.model.Buffers(index)
        if buffer.DataLength():
            return memoryview(np.asarray(buffer.DataAsNumpy(), np.uint8).data)
        start, size = buffer.Offset(), buffer.Size()
        if start <= 1 or not size:  # large files keep data after the tables
            return None
        if start + size > len(self.data):
            raise _damaged(self.path, f"buffer {index} lies outside of it")
        return memoryview(self.data)[start : start + size]

    def _quantization(self, table: Any) -> TensorQuantization | None:
        if table is None:
            return None
        scale = self._numbers(table.ScaleLength, table.ScaleAsNumpy)
        zero_point = self._numbers(table.ZeroPointLength, table.ZeroPointAsNumpy)
        low = self._numbers(table.MinLength, table.MinAsNumpy)
        high = self._numbers(table.MaxLength, table.MaxAsNumpy)
        if scale is None and (low is None or high is None):
            return None
        steps = np.zeros(0, np.float32) if scale is None else scale
        zeros = np.zeros(len(steps), np.int64) if zero_point is None else zero_point
        return TensorQuantization(steps, zeros, table.QuantizedDimension(), low, high)

    # -- operators -------------------------------------------------------------------------

    def _code(self, index: int) -> str:
        """The operator's name; newer files have its number in another field than older ones."""
        code = self.model.OperatorCodes(index)
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = _names("BuiltinOperator").get(number, f"UNKNOWN_OP_CODE({number})")
        if name != "CUSTOM":
            return name
        custom = (code.CustomCode() or b"").decode("utf-8", "replace")
        return f"CUSTOM {re.sub(r'[^0-9A-Za-z_]', '_', custom)[:40]}"

    def _operator(self, table: Any, index: int, codes: list[str]) -> OperatorEntry:
        number = table.OpcodeIndex()
        if not 0 <= number < len(codes):
            raise _damaged(self.path, f"operator {index} has code {number}, which does not exist")
        op = codes[number]
        return OperatorEntry(
            index,
            op,
            self._integers(table.InputsLength, table.InputsAsNumpy),
            self._integers(table.OutputsLength, table.OutputsAsNumpy),
            self._options(table, OPTIONS[op]) if op in OPTIONS else {},
        )

    def _options(self, table: Any, fields: OptionFields) -> dict[str, OptionValue]:
        """The operator's options; without a table of them, or with another's, their defaults."""
        schema = _schema()
        union = table.BuiltinOptions()
        expected = getattr(schema.BuiltinOptions, fields.table)
        if union is None or table.BuiltinOptionsType() != expected:
            return {}
        options = getattr(schema, fields.table)()
        options.Init(union.Bytes, union.Pos)
        results: dict[str, OptionValue] = {
            name: getattr(options, name)() for name in fields.numbers
        }
        for name in fields.lists:
            length, read = getattr(options, f"{name}Length"), getattr(options, f"{name}AsNumpy")
            if length():
                results[name] = self._integers(length, read)
        return results

    # -- indices ---------------------------------------------------------------------------

    def _check_indices(self, file: TfliteFile) -> None:
        count = len(file.tensors)
        for index in (*file.inputs, *file.outputs):
            if not 0 <= index < count:
                raise _damaged(self.path, f"tensor {index} does not exist")
        if not file.outputs:
            raise _damaged(self.path, "it has no output")
        results = set(file.inputs)
        for operator in file.operators:
            for index in operator.inputs:
                if not -1 <= index < count:
                    raise _damaged(self.path, f"tensor {index} does not exist")
            for index in operator.outputs:
                if not 0 <= index < count or index in results:
                    text = f"operator {operator.index} does not make tensor {index} alone"
                    raise _damaged(self.path, text)
                results.add(index)


def array_of(tensor: TensorEntry) -> NDArray[Any]:
    """The numbers in the file, without a copy. Raises ValueError when they do not fit its shape."""
    assert tensor.data is not None
    dtype = np.dtype(tensor.dtype).newbyteorder("<")
    if min(tensor.shape, default=1) < 0:
        raise ValueError(f"its shape is {list(tensor.shape)}")
    expected = math.prod(tensor.shape) * dtype.itemsize
    if len(tensor.data) != expected:
        raise ValueError(f"it has {len(tensor.data)} bytes, its shape takes {expected}")
    return np.frombuffer(tensor.data, dtype).reshape(tensor.shape)
