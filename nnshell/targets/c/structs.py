"""The kernels' parameters, read from their own headers so that both sides cannot differ."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

HEADERS = ("nn_kernels.h", "nn_fast.h")
_STRUCT = re.compile(r"typedef struct \{(.*?)\} nn_(\w+);", re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_FIELD = re.compile(r"(?:const )?(\w+) (\*)?(\w+)(\[NN_AXES\])?;")
_RUN = re.compile(r"^void nn_run_(\w+)\(const nn_(\w+) \*p(.*?)\);", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class StructField:
    """One field: an integer, ``NN_AXES`` of them, a pointer to constants, or another struct."""

    name: str
    c_type: str
    pointer: bool
    repeated: bool


@dataclass(frozen=True, slots=True)
class Kernel:
    """A function of the kernels: the struct of its parameters, the names of its arguments."""

    name: str
    struct: str
    arguments: tuple[str, ...]


def kernel_files() -> dict[str, str]:
    """The C files of the portable kernels by name."""
    return _files("kernels")


def fast_files() -> dict[str, str]:
    """The C files of the kernels for wide registers, and of what runs a network given as data."""
    return _files("fast")


def _files(folder: str) -> dict[str, str]:
    entries = (files("nnshell.targets.c") / folder).iterdir()
    return {
        entry.name: entry.read_text(encoding="utf-8")
        for entry in sorted(entries, key=lambda entry: entry.name)
        if entry.name.startswith("nn_")
    }


@cache
def _headers() -> str:
    everything = kernel_files() | fast_files()
    return "\n".join(_COMMENT.sub("", everything[name]) for name in HEADERS)


@cache
def structs() -> dict[str, tuple[StructField, ...]]:
    """Fields in order by struct, without the prefix ``nn_``."""
    return {
        name: tuple(
            StructField(field, c_type, bool(star), bool(repeated))
            for c_type, star, field, repeated in _FIELD.findall(body)
        )
        for body, name in _STRUCT.findall(_headers())
    }


@cache
def kernels() -> dict[str, Kernel]:
    """All kernels in the order of the headers."""
    return {
        name: Kernel(name, struct, tuple(re.findall(r"(\w+)(?:,|$)", arguments)))
        for name, struct, arguments in _RUN.findall(_headers())
    }


def dispatcher() -> str:
    """C of nn_dispatch: kernels by their number in ``kernels``."""
    names = {"x": "a"}
    cases = []
    for number, kernel in enumerate(kernels().values()):
        arguments = ["p", *(names.get(name, name) for name in kernel.arguments)]
        cases += [
            f"    case {number}:",
            f"        nn_run_{kernel.name}({', '.join(arguments)});",
            "        break;",
        ]
    return "\n".join(
        [
            '#include "nn_native.h"',
            "",
            "void nn_dispatch(int32_t kernel, const void *p, const void *a, const void *b,",
            "                 void *y, void *scratch)",
            "{",
            "    (void) b, (void) scratch;",
            "    switch (kernel) {",
            *cases,
            "    }",
            "}",
            "",
        ]
    )
