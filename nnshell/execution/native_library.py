"""The compiled kernels in this process, and their structs as ctypes has them."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.native_compiler import NoCompiler, Variant, library
from nnshell.targets.c.program import AXES
from nnshell.targets.c.structs import kernels, structs


class Step(ctypes.Structure):
    """nn_step: a kernel's number, its parameters, and where its operands lie."""

    _fields_ = (
        ("kernel", ctypes.c_int32),
        ("first_base", ctypes.c_int32),
        ("second_base", ctypes.c_int32),
        ("output_base", ctypes.c_int32),
        ("first_offset", ctypes.c_int64),
        ("second_offset", ctypes.c_int64),
        ("output_offset", ctypes.c_int64),
        ("parameters", ctypes.c_void_p),
    )


@cache
def struct_class(name: str) -> type[ctypes.Structure]:
    """The ctypes form of a kernel's struct."""
    fields: list[tuple[str, Any]] = []
    for field in structs()[name]:
        kind: Any = ctypes.c_int32
        if field.pointer:
            kind = ctypes.c_void_p
        elif field.c_type.startswith("nn_"):
            kind = struct_class(field.c_type.removeprefix("nn_"))
        elif field.repeated:
            kind = ctypes.c_int32 * AXES
        fields.append((field.name, kind))
    return type(f"nn_{name}", (ctypes.Structure,), {"_fields_": fields})


def filled(name: str, values: Mapping[str, Any], kept: list[Any]) -> ctypes.Structure:
    """A struct with these values; arrays that it points to are added to ``kept``."""
    result = struct_class(name)()
    fields = structs()[name]
    assert not set(values) - {field.name for field in fields}, f"{name}: {set(values)}"
    for field in fields:
        value = values[field.name]
        if field.pointer:
            array: NDArray[Any] = np.ascontiguousarray(value)
            kept.append(array)
            value = array.ctypes.data
        elif isinstance(value, Mapping):
            value = filled(field.c_type.removeprefix("nn_"), value, kept)
        elif field.repeated:
            value = (ctypes.c_int32 * AXES)(*value)
        setattr(result, field.name, value)
    return result


@cache
def kernel_numbers() -> dict[str, int]:
    return {name: number for number, name in enumerate(kernels())}


class NativeLibrary:
    """Compiled kernels; raises NoCompiler when there are none and none can be made."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        path = library(variant)
        try:
            self._library = ctypes.CDLL(str(path))
        except OSError:  # damaged, or of another system: once more
            path.unlink(missing_ok=True)
            self._library = _open_again(variant)
        self.lanes = int(self._library.nn_fast_lanes())
        self.element_bytes = int(self._library.nn_fast_element_bytes())
        self.offset = int(self._library.nn_fast_offset())
        self.run_network = self._library.nn_run_network
        self.run_network.restype = None
        self.run_network.argtypes = (
            *(ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p),
            *(ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p),
        )
        self.quantize = self._library.nn_quantize
        self.quantize.restype = None
        self.quantize.argtypes = (
            *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32),
            *(ctypes.c_double, ctypes.c_double, ctypes.c_double, ctypes.c_double),
        )


def _open_again(variant: Variant) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(library(variant)))
    except OSError as error:
        raise NoCompiler(f"the compiled kernels cannot be loaded: {error}") from None


@cache
def shared_library(variant: Variant) -> NativeLibrary:
    """The library, loaded once."""
    return NativeLibrary(variant)
