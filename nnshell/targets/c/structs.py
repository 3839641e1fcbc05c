"""The kernels' parameters, read from their own header so that both sides cannot differ."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

HEADER = "nn_kernels.h"
_STRUCT = re.compile(r"typedef struct \{(.*?)\} (\w+);", re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_FIELD = re.compile(r"(const )?(\w+) (\*)?(\w+)(\[NN_AXES\])?;")
_RUN = re.compile(r"^void nn_run_(\w+)\((.*?)\)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class StructField:
    """One field: an integer, ``NN_AXES`` of them, a pointer to constants, or another struct."""

    name: str
    c_type: str
    pointer: bool
    repeated: bool


@dataclass(frozen=True, slots=True)
class Kernel:
    """A function of the kernels: fields of its parameters, and how many inputs it takes."""

    name: str
    inputs: int


def kernel_files() -> dict[str, str]:
    """The C files of the kernels by name."""
    folder = files("nnshell.targets.c") / "kernels"
    return {
        entry.name: entry.read_text(encoding="utf-8")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.startswith("nn_")
    }


@cache
def header() -> str:
    return kernel_files()[HEADER]


@cache
def structs() -> dict[str, tuple[StructField, ...]]:
    """Fields in order by struct, without the prefix ``nn_``."""
    found = {}
    for body, name in _STRUCT.findall(header()):
        found[name.removeprefix("nn_")] = tuple(
            StructField(field, c_type, bool(star), bool(repeated))
            for _, c_type, star, field, repeated in _FIELD.findall(_COMMENT.sub("", body))
        )
    return found


@cache
def kernels() -> dict[str, Kernel]:
    """All kernels in the order of the header."""
    return {
        name: Kernel(name, len(arguments.split(",")) - 2)
        for name, arguments in _RUN.findall(header())
    }
