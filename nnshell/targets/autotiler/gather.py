"""Kernels written for the graph that move elements: slices, borders, transposes of many axes.

Each output position of a row reads one input position of the same row, found by dividing the
position into its axes. Rows are the axes before that stay as they are; with none of them the
whole tensor is one row and must fit into L1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from math import prod

import numpy as np

from nnshell.ops.spread import Spread
from nnshell.support.errors import GraphError
from nnshell.targets.arithmetic import Body
from nnshell.targets.autotiler.context import Context
from nnshell.targets.autotiler.expressions import Loops, Operand, looped
from nnshell.targets.autotiler.plan import Kernel
from nnshell.targets.autotiler.unit import Unit

_STORE = "Arguments->Out[Row * Inner + Place]"


def strided_slice(context: Context, unit: Unit) -> Kernel:
    slices = unit.node.op.taken()
    assert slices is not None
    value, result = _shapes(unit)
    kept = _kept(
        value[axis] == result[axis] and slices[axis].step == 1 for axis in range(len(value))
    )
    positions = [
        f"({slices[axis].start} + {coordinate} * {slices[axis].step})"
        for axis, coordinate in _coordinates(result, kept)
    ]
    place = _flat(positions, value[kept:])
    return _kernel(context, unit, kept, place, (f"{_STORE} = {{In0}};",))


def pad(context: Context, unit: Unit) -> Kernel:
    around = unit.node.op.border()
    if around is None:
        raise GraphError(
            "no kernel makes a border that is not constant", where=f"node {unit.node.name}"
        )
    value, result = _shapes(unit)
    kept = _kept(value[axis] == result[axis] for axis in range(len(value)))
    inside, positions = [], []
    for axis, coordinate in _coordinates(result, kept):
        before = around.pads[axis][0]
        position = f"({coordinate} - {before})" if before else coordinate
        positions.append(position)
        if value[axis] != result[axis]:
            inside.append(f"{position} >= 0 && {position} < {value[axis]}")
    border = int(unit.output_record().quantize(np.array([around.value], np.float32))[0])
    lines = (f"{_STORE} = {' && '.join(inside) or '1'} ? {{In0}} : {border};",)
    return _kernel(context, unit, kept, _flat(positions, value[kept:]), lines)


def spread(context: Context, unit: Unit) -> Kernel:
    op = unit.node.op
    assert isinstance(op, Spread)
    steps = op.steps
    value, result = _shapes(unit)
    kept = _kept(step == 1 for step in steps)
    inside, positions = [], []
    for axis, coordinate in _coordinates(result, kept):
        step = steps[axis]
        positions.append(f"({coordinate} / {step})" if step > 1 else coordinate)
        if step > 1:
            inside.append(f"{coordinate} % {step} == 0")
    zero = unit.output_record().zero_point
    lines = (f"{_STORE} = {' && '.join(inside) or '1'} ? {{In0}} : {zero};",)
    return _kernel(context, unit, kept, _flat(positions, value[kept:]), lines)


def transpose(context: Context, unit: Unit) -> Kernel:
    order = unit.node.op.permutation
    assert order is not None
    value, result = _shapes(unit)
    kept = _kept(order[axis] == axis for axis in range(len(value)))
    positions = [""] * len(value)
    for axis, coordinate in _coordinates(result, kept):
        positions[order[axis]] = coordinate
    place = _flat(positions[kept:], value[kept:])
    return _kernel(context, unit, kept, place, (f"{_STORE} = {{In0}};",))


def _shapes(unit: Unit) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return unit.graph.input_types(unit.node)[0].shape, unit.node.type.shape


def _kept(same: Iterable[bool]) -> int:
    """How many axes before stay as they are."""
    return sum(1 for _ in takewhile(bool, same))


def _coordinates(shape: tuple[int, ...], kept: int) -> list[tuple[int, str]]:
    """Axes after the kept ones, and the C expression of an output position along each."""
    results = []
    for axis in range(kept, len(shape)):
        after = prod(shape[axis + 1 :])
        quotient = f"Place / {after}" if after > 1 else "Place"
        results.append((axis, f"(int) ({quotient} % {shape[axis]})"))
    return results


def _flat(positions: Sequence[str], shape: tuple[int, ...]) -> str:
    """Position in a row from the positions along its axes."""
    terms = [
        f"{position} * {prod(shape[axis + 1 :])}" if prod(shape[axis + 1 :]) > 1 else position
        for axis, position in enumerate(positions)
    ]
    return f"({' + '.join(terms) or '0'})"


def _kernel(context: Context, unit: Unit, kept: int, place: str, lines: tuple[str, ...]) -> Kernel:
    value, result = _shapes(unit)
    records = unit.input_record(), unit.output_record()
    source = Operand("In0", records[0].dtype, "full", prod(value[kept:]), place)
    target = Operand("Out", records[1].dtype, "full", prod(result[kept:]))
    loops = Loops(prod(result[:kept]), target.items, (source,), target, Body(lines))
    return looped(context, unit, loops, context.reads(unit, 0))
