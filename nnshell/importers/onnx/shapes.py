"""Graph inputs of an ONNX model with all extents known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from nnshell.reading.context import MAX_ELEMENTS
from nnshell.support.errors import ModelError

_REAL = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.FLOAT16: "float32",
    onnx.TensorProto.BFLOAT16: "float32",
    onnx.TensorProto.DOUBLE: "float32",
}
_INTEGER = {
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.UINT16: "uint16",
    onnx.TensorProto.INT16: "int16",
    onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.INT64: "int64",
}
INPUT_TYPES = {**_REAL, **_INTEGER}
_TYPE_NAMES = {number: name for name, number in onnx.TensorProto.DataType.items()}


@dataclass(frozen=True, slots=True)
class InputShape:
    """A graph input: its shape as the file sees it, and whether the file leaves axis 0 open."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    any_batch: bool


def known_shapes(
    model: onnx.ModelProto,
    file_name: str,
    subs: Mapping[str, int],
    given: Mapping[str, Sequence[int]],
) -> list[InputShape]:
    """Shapes of all graph inputs; ``subs`` gives extents by name, ``given`` whole shapes by input.

    An open batch axis becomes 1. Raises ModelError for extents that stay unknown, and for names
    that the model does not have.
    """
    _check_names(model, file_name, subs, given)
    result, unknown = [], []
    for index, value in enumerate(model.graph.input):
        dtype = _element_type(value, file_name)
        shape = given.get(value.name, given.get(f"input_{index + 1}"))
        dims = _dims(value) if shape is None else [int(n) for n in shape]
        dims = [subs.get(d, d) if isinstance(d, str) else d for d in dims]
        any_batch = bool(dims) and isinstance(dims[0], str)
        if any_batch:
            dims[0] = 1
        extents = tuple(d for d in dims if isinstance(d, int))
        missing = [d or "?" for d in dims if isinstance(d, str)]
        if missing or not _has_shape(value, shape):
            unknown.append(f"{value.name} ({', '.join(missing) or 'no shape'})")
            continue
        _check_extents(extents, value.name, file_name)
        result.append(InputShape(value.name, extents, dtype, any_batch))
    if unknown:
        raise ModelError(
            f"inputs with unknown extents: {'; '.join(unknown)}",
            where=file_name,
            hint="open it with --subs NAME=SIZE or --input_shapes INPUT=[1,3,224,224]",
        )
    return result


def set_input_shapes(model: onnx.ModelProto, shapes: Sequence[InputShape]) -> None:
    """Write the shapes into the model, and forget shapes of other tensors that they outdate."""
    for value, known in zip(model.graph.input, shapes, strict=True):
        dims = value.type.tensor_type.shape.dim
        del dims[:]
        for extent in known.shape:
            dims.add().dim_value = extent
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def _check_names(
    model: onnx.ModelProto,
    file_name: str,
    subs: Mapping[str, int],
    values: Mapping[str, Sequence[int]],
) -> None:
    inputs = model.graph.input
    symbols = {d for value in inputs for d in _dims(value) if isinstance(d, str) and d}
    names = {value.name for value in inputs} | {f"input_{i + 1}" for i in range(len(inputs))}
    for expected, known, what in ((subs, symbols, "extent"), (values, names, "input")):
        for name in expected:
            if name not in known:
                raise ModelError(
                    f"the model has no {what} called '{name}'",
                    where=file_name,
                    hint=f"it has {', '.join(sorted(known)) or 'none'}",
                )


def _element_type(value: Any, file_name: str) -> str:
    kind = value.type.WhichOneof("value")
    number = value.type.tensor_type.elem_type
    if kind != "tensor_type" or number not in INPUT_TYPES:
        text = _TYPE_NAMES.get(number, number) if kind == "tensor_type" else kind
        raise ModelError(
            f"input '{value.name}' has element type {text}",
            where=file_name,
            hint="accepted: float32, float16, float64 and integers that the model casts to them",
        )
    return INPUT_TYPES[number]


def _dims(value: Any) -> list[int | str]:
    """Extents of an input: numbers, or the names (possibly empty) of those left open."""
    return [
        dim.dim_value
        if dim.WhichOneof("value") == "dim_value" and dim.dim_value >= 0
        else dim.dim_param
        for dim in value.type.tensor_type.shape.dim
    ]


def _has_shape(value: Any, shape: Sequence[int] | None) -> bool:
    return shape is not None or value.type.tensor_type.HasField("shape")


def _check_extents(shape: tuple[int, ...], name: str, file_name: str) -> None:
    if min(shape, default=1) < 1 or math.prod(shape) > MAX_ELEMENTS or len(shape) > 8:
        raise ModelError(
            f"input '{name}' has shape {list(shape)}",
            where=file_name,
            hint=f"accepted: up to 8 axes, extents of 1 or more, {MAX_ELEMENTS} elements",
        )
