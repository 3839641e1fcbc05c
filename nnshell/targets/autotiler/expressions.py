"""Kernels written for the graph: elementwise operators that the AutoTiler has no generator for.

Each becomes a user kernel of three parts: a registration of the C function and a generator (both
in model.c), and the C function itself (Expression_Kernels.c). The output is taken as ``outer`` rows
of ``inner`` elements; an operand has one element for each element ("full"), each row ("outer"),
each position in a row ("inner"), or one for all ("one"). Rows are tiled and shared between cores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nnshell.support.errors import GraphError
from nnshell.targets.arithmetic import Body
from nnshell.targets.autotiler.context import Context
from nnshell.targets.autotiler.plan import C_TYPES, Binding, Call, Expression, Kernel
from nnshell.targets.autotiler.unit import Unit, constant_operand

Extent = Literal["full", "outer", "inner", "one"]


@dataclass(frozen=True, slots=True, eq=False)
class Operand:
    """An argument of the C function."""

    name: str
    dtype: str
    extent: Extent
    items: int  # in one row's tile when tiled, else in all
    place: str = ""  # C expression of the position in a row, where it is not the output's

    @property
    def tiled(self) -> bool:
        return self.extent in ("full", "outer")

    @property
    def c_type(self) -> str:
        return f"{C_TYPES[self.dtype]} * __restrict__"

    @property
    def item_bytes(self) -> int:
        return int(np.dtype(self.dtype).itemsize)

    @property
    def element(self) -> str:
        """C expression of the element at row ``Row``, position ``Place``."""
        if self.place:
            return f"Arguments->{self.name}[Row * {self.items} + {self.place}]"
        index = {
            "full": "Row * Inner + Place",
            "outer": "Row",
            "inner": "Place",
            "one": "0",
        }[self.extent]
        return f"Arguments->{self.name}[{index}]"


@dataclass(frozen=True, slots=True, eq=False)
class Loops:
    """The iteration space of a kernel and what runs in it."""

    outer: int
    inner: int
    operands: tuple[Operand, ...]
    output: Operand
    body: Body


def expression(
    context: Context,
    unit: Unit,
    body: Body,
    inputs: Sequence[int],
    constants: Sequence[tuple[str, NDArray[Any], str]] = (),
) -> Kernel:
    """A kernel that applies ``body`` to the node's ``inputs`` and to ``constants``.

    Constants are (name, values, element type); their shape broadcasts to the node's output, but
    for ``Table``, which the body indexes by value.
    """
    shape = unit.node.type.shape
    bindings: list[Binding] = []
    shapes: list[tuple[str, str, tuple[int, ...] | None, int]] = []
    for index in inputs:
        source = unit.graph.input_types(unit.node)[index]
        value = constant_operand(unit, index)
        dtype = unit.integers.inputs[index].dtype if value is None else str(value.dtype)
        shapes.append((f"In{index}", dtype, source.shape, source.size))
        bindings += context.reads(unit, index)
    for name, values, dtype in constants:
        aligned = None if name == "Table" else values.shape
        shapes.append((name, dtype, aligned, values.size))
        bindings.append(context.made(unit, name, values, dtype))
    outer, inner = _rows(unit, shape, [entry[2] for entry in shapes if entry[2] is not None])
    operands = tuple(
        Operand(name, dtype, *_extent(shape, aligned, size, outer, inner))
        for name, dtype, aligned, size in shapes
    )
    output = Operand("Out", unit.output_record().dtype, "full", inner)
    return looped(context, unit, Loops(outer, inner, operands, output, body), bindings)


def looped(context: Context, unit: Unit, loops: Loops, bindings: Sequence[Binding]) -> Kernel:
    """A kernel of these loops; ``bindings`` are those of their operands."""
    name = f"s{unit.step}_kernel"
    context.expressions.append(_write(name, loops))
    call = Call(f"{name}_gen", takes_control=False)
    return context.kernel(unit, call, (*bindings, *context.writes(unit)))


def _rows(
    unit: Unit, shape: tuple[int, ...], operands: Sequence[tuple[int, ...]]
) -> tuple[int, int]:
    """Rows and their length such that every operand is full, per row, per position, or one."""
    for cut in range(len(shape), -1, -1):
        if all(_fits(shape, operand, cut) for operand in operands):
            return prod(shape[:cut]), prod(shape[cut:])
    raise GraphError(
        f"{unit.main.kind} repeats its inputs in a way that no kernel does",
        where=f"node {unit.node.name}",
        hint="export the model with both operands at full size",
    )


def _fits(shape: tuple[int, ...], operand: tuple[int, ...], cut: int) -> bool:
    aligned = (1,) * (len(shape) - len(operand)) + operand
    before, after = aligned[:cut], aligned[cut:]
    return all(
        part == whole or prod(part) == 1
        for part, whole in ((before, shape[:cut]), (after, shape[cut:]))
    )


def _extent(
    shape: tuple[int, ...], operand: tuple[int, ...] | None, size: int, outer: int, inner: int
) -> tuple[Extent, int]:
    if operand is None or (size == 1 and outer * inner > 1):
        return "one", size
    if size == outer * inner:
        return "full", inner
    return ("outer", 1) if size == outer and _leads(shape, operand) else ("inner", size)


def _leads(shape: tuple[int, ...], operand: tuple[int, ...]) -> bool:
    """Whether the operand's long axes come first: one element for each row."""
    aligned = (1,) * (len(shape) - len(operand)) + operand
    last = max(axis for axis, extent in enumerate(aligned) if extent != 1)
    return all(extent == whole for extent, whole in zip(aligned[:last], shape[:last], strict=True))


def _write(name: str, loops: Loops) -> Expression:
    return Expression(
        _loader(name, loops), _generator(name, loops), _declaration(name, loops), _code(name, loops)
    )


def _arguments(loops: Loops) -> tuple[Operand, ...]:
    return (*loops.operands, loops.output)


def _loader(name: str, loops: Loops) -> str:
    """Makes the C function known to the AutoTiler."""
    typed = [(operand.c_type, operand.name) for operand in _arguments(loops)]
    typed.append(("unsigned int", "Rows"))
    lines = ",\n".join(f'            TCArg("{kind}", "{argument}")' for kind, argument in typed)
    return (
        f'    LibKernel("{name}", CALL_PARALLEL,\n        CArgs({len(typed)},\n{lines}),\n'
        f'        "{name}_args_t", 0);\n'
    )


def _generator(name: str, loops: Loops) -> str:
    """Creates the user kernel: its iteration space, arguments and call."""
    operands = _arguments(loops)
    count = len(operands)
    c_arguments = [f'TCArg("{o.c_type}", "{o.name}")' for o in operands]
    bindings = [f'K_Arg("{o.name}", KER_ARG_TILE)' for o in operands]
    bindings.append('K_ArgPar("Out", KER_ARG_PARTILE_SIZE, KER_ITER_D0)')
    total = loops.outer * loops.inner
    moved = sum((o.items * loops.outer if o.tiled else o.items) * o.item_bytes for o in operands)
    parts = (
        f"static int {name}_gen(char *Name)",
        "{",
        "    Kernel_T *Kernel = UserKernel(Name,",
        "        KernelIterSpace(2, IterTiledSpace(KER_ITER_TILE0),"
        f" IterParSpace(KER_ITER_D0, {loops.outer}, 8)),",
        "        TILE_HOR,",
        f"        CArgs({count},\n            {_lines(c_arguments)}),",
        f'        Calls(1, Call("{name}", LOC_D0, Bindings({count + 1},',
        f"            {_lines(bindings)}))),",
        f"        KerArgs({count},\n            {_lines([_tiling(o) for o in operands])}));",
        "    if (Kernel) {",
        f"        AddKernelInfos(Name, AT_KERINFO_OPER, {total}, 0);",
        f"        AddKernelInfos(Name, AT_KERINFO_BANDWIDTH, {moved}, 0);",
        *(f"        {_dimensions(o, loops.outer)}" for o in operands),
        "    }",
        "    return Kernel != 0;",
        "}",
        "",
    )
    return "\n".join(parts)


def _lines(entries: Sequence[str]) -> str:
    return ",\n            ".join(entries)


def _tiling(operand: Operand) -> str:
    if operand.tiled:
        direction = "O_OUT|O_DB" if operand.name == "Out" else "O_IN|O_DB"
        space = f"KerArgSpace(1, KER_ITER_D0), {direction}, {operand.items}, 1"
        size = operand.item_bytes
    else:  # all of it at once, as one item
        space = "KerArgSpace(1, KER_ITER_TILE0), O_IN|O_BUFF|O_NTILED, 1, 1"
        size = operand.items * operand.item_bytes
    return f'KerArg("{operand.name}", {space}, {size}, 0, 0, 0, "{operand.name}")'


def _dimensions(operand: Operand, outer: int) -> str:
    extents = (outer, operand.items) if operand.tiled else (1, operand.items)
    sizes = ", ".join(str(extent) for extent in (*extents, operand.item_bytes))
    return f'AddKernelArgDim(Name, "{operand.name}", 3, {sizes});'


def _declaration(name: str, loops: Loops) -> str:
    fields = "".join(f"    {o.c_type} {o.name};\n" for o in _arguments(loops))
    return (
        f"typedef struct {{\n{fields}    unsigned int Rows;\n}} {name}_args_t;\n\n"
        f"void {name}({name}_args_t *Arguments);\n"
    )


def _code(name: str, loops: Loops) -> str:
    values = {operand.name: operand.element for operand in loops.operands}
    statements = "\n".join(f"            {line}" for line in loops.body.statements(values))
    return f"""void {name}({name}_args_t *Arguments)
{{
    const unsigned int Inner = {loops.inner};
    unsigned int Cores = gap_ncore();
    unsigned int Share = (Arguments->Rows + Cores - 1) / Cores;
    unsigned int First = Share * gap_coreid();
    unsigned int Last = First + Share < Arguments->Rows ? First + Share : Arguments->Rows;

    for (unsigned int Row = First; Row < Last; Row++) {{
        for (unsigned int Place = 0; Place < Inner; Place++) {{
{statements}
        }}
    }}
    gap_waitbarrier(0);
}}
"""
