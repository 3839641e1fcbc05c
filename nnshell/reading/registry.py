"""Import functions by the operator of model files that they read, and the values they pass on.

An operator's file registers with ``imports`` the functions that read the operators of model files
it stands for. They see the node through an ``importing.ImportContext``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nnshell.ir.graph import Graph, Ref
from nnshell.ir.qparams import QParams
from nnshell.ir.requests import Range

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext


class Unsupported(Exception):
    """A node that cannot be imported: what is at fault, what is accepted, what to do."""

    def __init__(self, what: str, *, accepted: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.accepted = accepted
        self.hint = hint

    @property
    def reason(self) -> str:
        """What is at fault, and what is accepted instead."""
        accepted = f"; accepted: {self.accepted}" if self.accepted else ""
        return f"{self.what}{accepted}"

    def __str__(self) -> str:
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.reason}{hint}"


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor the network computes: ``shape`` as the file sees it, its batch axis at ``batch``."""

    ref: Ref
    shape: tuple[int, ...]
    batch: int | None = 0
    dtype: str = "float32"

    @property
    def inner(self) -> tuple[int, ...]:
        """Shape without batch axis, as in the graph."""
        return without(self.shape, self.batch)


@dataclass(frozen=True, slots=True)
class ImportNote:
    """What reading the model made of a node of the file: ``absorbed`` went into ``node``."""

    node: str
    absorbed: str
    text: str


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Integers of a quantized file: the real number is ``scale * (integer - zero_point)``.

    ``key`` is what the file calls the tensor: an ONNX name or a TFLite index.
    """

    key: str | int
    scale: float
    zero_point: int
    dtype: str


@dataclass(frozen=True, slots=True)
class Imported:
    """The graph of a model file, and what reading it did to single nodes.

    ``ranges`` are those that a quantized file gives for activations, by node; None when they were
    not asked for. ``weights`` are the records that it stores constants with, ``stored`` the tensors
    of integers that activations are in it, both by node.
    """

    graph: Graph
    notes: tuple[ImportNote, ...] = ()
    ranges: Mapping[str, Range] | None = None
    weights: Mapping[str, QParams] = field(default_factory=dict)
    stored: Mapping[str, StoredTensor] = field(default_factory=dict)


ImportFunction = Callable[["ImportContext"], None]
IMPORTS: dict[str, ImportFunction] = {}


def imports(*operators: str) -> Callable[[ImportFunction], ImportFunction]:
    """Decorator: the function imports these operators of model files (ONNX names)."""

    def register_function(function: ImportFunction) -> ImportFunction:
        for operator in operators:
            if operator in IMPORTS:
                raise AssertionError(f"two functions import {operator}")
            IMPORTS[operator] = function
        return function

    return register_function


def sanitized(name: str) -> str:
    """``name`` as an identifier: every other character becomes ``_``."""
    text = re.sub(r"[^0-9A-Za-z_]", "_", name)
    return f"_{text}" if text[:1].isdigit() else text


def without(shape: Sequence[int], axis: int | None) -> tuple[int, ...]:
    """``shape`` with one axis left out."""
    return tuple(n for i, n in enumerate(shape) if i != axis)
