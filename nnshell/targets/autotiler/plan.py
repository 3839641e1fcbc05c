"""What model.c is made of, before it is text: variables, kernels, stacked tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.requests import SQ8

Role = Literal["input", "constant", "state", "output", "local"]

C_TYPES = {
    "int8": "signed char",
    "uint8": "unsigned char",
    "int16": "signed short",
    "uint16": "unsigned short",
    "int32": "signed int",
}


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """A graph argument: a tensor with a C name and a place in memory."""

    name: str
    dtype: str
    role: Role
    node: str  # the node it belongs to
    data: NDArray[Any] | None = None  # of a constant, in its file's element type and order
    home: str = ""  # memory, "" for the setting's
    execute: str = ""
    allocated: bool = False  # the graph allocates an input or output itself
    external: bool = False  # the application owns the memory
    fraction_bits: int = 0  # of a fixed-point constant

    def file_bytes(self) -> bytes:
        """The constant as its file holds it: C order, little endian."""
        assert self.data is not None
        return np.ascontiguousarray(self.data, np.dtype(self.dtype).newbyteorder("<")).tobytes()

    @property
    def bits(self) -> int:
        return int(np.dtype(self.dtype).itemsize * 8)


@dataclass(frozen=True, slots=True)
class Binding:
    """An argument of a node's kernel: a tensor, or what ``form`` says.

    state = read and written, none = not there, reset = the graph's argument Reset, immediate = 0.
    """

    variable: str
    out: bool = False
    form: Literal["tensor", "state", "none", "reset", "immediate"] = "tensor"


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A generator call. ``arguments`` follow the name and, if it takes one, the control."""

    function: str
    arguments: tuple[int | str, ...] = ()
    takes_control: bool = True
    controls: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """One node of the AutoTiler's graph."""

    name: str
    node: str
    call: Call
    bindings: tuple[Binding, ...]
    remark: str = ""  # what it is, for a comment
    trace: int | None = None  # VCD_TRACE_ON


@dataclass(frozen=True, slots=True)
class Stack:
    """Tensors that lie one after the other in ``whole``; unused parts carry their size."""

    whole: str
    parts: tuple[str, ...]
    unused: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Expression:
    """A kernel written for this graph: its generator (model.c), its C function and prototype."""

    loader: str
    generator: str
    declaration: str
    definition: str


@dataclass(slots=True)
class Plan:
    """A whole model: names are final, nothing is text yet."""

    name: str
    inputs: list[Variable] = field(default_factory=list)
    constants: list[Variable] = field(default_factory=list)
    states: list[Variable] = field(default_factory=list)
    outputs: list[Variable] = field(default_factory=list)
    locals: list[Variable] = field(default_factory=list)
    kernels: list[Kernel] = field(default_factory=list)
    concats: list[Stack] = field(default_factory=list)
    splits: list[Stack] = field(default_factory=list)
    expressions: list[Expression] = field(default_factory=list)
    schemes: tuple[str, ...] = (SQ8,)  # whose kernels it calls

    @property
    def resets(self) -> bool:
        """Whether the network takes an argument that sets its states to zero."""
        return any(b.form == "reset" for kernel in self.kernels for b in kernel.bindings)

    @property
    def functions(self) -> set[str]:
        """Names of the generators that are called."""
        return {kernel.call.function for kernel in self.kernels}
