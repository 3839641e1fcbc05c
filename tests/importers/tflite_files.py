"""TFLite files made in memory, operator by operator, and LiteRT's answer to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

Array = NDArray[Any]

_TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int8": 9}


@dataclass
class Tensor:
    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    value: Array | None = None
    scale: Sequence[float] = ()
    zero_point: Sequence[int] = ()
    axis: int = 0
    variable: bool = False


@dataclass
class Op:
    code: str
    inputs: list[int]
    outputs: list[int]
    table: str = ""
    options: dict[str, Any] = field(default_factory=dict)


class TfliteModel:
    """A file under construction; tensors are known by their numbers."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []
        self.inputs: list[int] = []
        self.outputs: list[int] = []

    def tensor(self, shape: Sequence[int], name: str = "", **more: Any) -> int:
        name = name or f"t{len(self.tensors)}"
        self.tensors.append(Tensor(name, tuple(shape), **more))
        return len(self.tensors) - 1

    def input(self, *shape: int, **more: Any) -> int:
        self.inputs.append(self.tensor(shape, f"in{len(self.inputs)}", **more))
        return self.inputs[-1]

    def constant(self, value: Any, name: str = "", **more: Any) -> int:
        array = np.asarray(value)
        return self.tensor(array.shape, name, dtype=str(array.dtype), value=array, **more)

    def op(
        self,
        code: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        table: str = "",
        dtype: str = "float32",
        **options: Any,
    ) -> int:
        made = self.tensor(shape, dtype=dtype)
        self.ops.append(Op(code, list(inputs), [made], table, options))
        return made

    def multi(
        self,
        code: str,
        inputs: Sequence[int],
        shapes: Sequence[Sequence[int]],
        table: str,
        **options: Any,
    ) -> list[int]:
        made = [self.tensor(shape) for shape in shapes]
        self.ops.append(Op(code, list(inputs), made, table, options))
        return made

    def output(self, *numbers: int) -> TfliteModel:
        self.outputs.extend(numbers)
        return self

    def save(self, path: Path) -> Path:
        path.write_bytes(self.bytes())
        return path

    # -- writing ---------------------------------------------------------------------------

    def bytes(self) -> bytes:
        build = flatbuffers.Builder(1024)
        self._buffers = [_buffer(build, None)]
        tensors = [self._tensor(build, tensor) for tensor in self.tensors]
        codes = sorted({op.code for op in self.ops})
        operators = [self._operator(build, op, codes) for op in self.ops]
        tables = {
            "Tensors": _offsets(build, tensors),
            "Operators": _offsets(build, operators),
            "Inputs": _integers(build, self.inputs),
            "Outputs": _integers(build, self.outputs),
        }
        graph = _table(build, "SubGraph", tables)
        numbers = [_code(build, code) for code in codes]
        parts = {
            "Version": 3,
            "OperatorCodes": _offsets(build, numbers),
            "Subgraphs": _offsets(build, [graph]),
            "Buffers": _offsets(build, self._buffers),
        }
        build.Finish(_table(build, "Model", parts), b"TFL3")
        return bytes(build.Output())

    def _tensor(self, build: Any, tensor: Tensor) -> int:
        buffer = 0
        if tensor.value is not None:
            self._buffers.append(_buffer(build, tensor.value))
            buffer = len(self._buffers) - 1
        parts: dict[str, Any] = {
            "Name": build.CreateString(tensor.name),
            "Shape": _integers(build, tensor.shape),
            "Type": _TYPES[tensor.dtype],
            "Buffer": buffer,
            "IsVariable": tensor.variable,
        }
        if len(tensor.scale):
            quantization = {
                "Scale": build.CreateNumpyVector(np.array(tensor.scale, np.float32)),
                "ZeroPoint": build.CreateNumpyVector(np.array(tensor.zero_point, np.int64)),
                "QuantizedDimension": tensor.axis,
            }
            parts["Quantization"] = _table(build, "QuantizationParameters", quantization)
        return _table(build, "Tensor", parts)

    def _operator(self, build: Any, op: Op, codes: list[str]) -> int:
        parts: dict[str, Any] = {
            "OpcodeIndex": codes.index(op.code),
            "Inputs": _integers(build, op.inputs),
            "Outputs": _integers(build, op.outputs),
        }
        if op.table:
            options = {
                name: _integers(build, value) if isinstance(value, tuple) else value
                for name, value in op.options.items()
            }
            parts["BuiltinOptions"] = _table(build, op.table, options)
            parts["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, op.table)
        return _table(build, "Operator", parts)


def _table(build: Any, name: str, parts: dict[str, Any]) -> int:
    getattr(tflite, f"{name}Start")(build)
    for part, value in parts.items():
        getattr(tflite, f"{name}Add{part}")(build, value)
    return int(getattr(tflite, f"{name}End")(build))


def _integers(build: Any, numbers: Sequence[int]) -> int:
    return int(build.CreateNumpyVector(np.array(numbers, np.int32)))


def _offsets(build: Any, offsets: Sequence[int]) -> int:
    build.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        build.PrependUOffsetTRelative(offset)
    return int(build.EndVector())


def _buffer(build: Any, value: Array | None) -> int:
    if value is None:
        return _table(build, "Buffer", {})
    data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
    return _table(build, "Buffer", {"Data": build.CreateNumpyVector(data)})


def _code(build: Any, code: str) -> int:
    number = getattr(tflite.BuiltinOperator, code)
    parts = {"BuiltinCode": number, "DeprecatedBuiltinCode": min(number, 127), "Version": 1}
    return _table(build, "OperatorCode", parts)


def litert_outputs(model: bytes, inputs: Sequence[Array]) -> list[Array]:
    """What LiteRT's reference kernels compute; quantized tensors as real numbers."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    for entry, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(entry["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(entry["index"]) for entry in interpreter.get_output_details()]
