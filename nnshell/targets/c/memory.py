"""Where a network's tensors lie: one arena, shared by tensors that are not alive together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nnshell.support.packing import Buffer as Span
from nnshell.support.packing import live_bytes, pack
from nnshell.targets.c.program import Buffer, Program, Value

_TRIES = 2000  # orders of placing, where the plain ones leave gaps


@dataclass(frozen=True, slots=True)
class Arena:
    """Offsets in bytes by arena buffer; ``live_bytes`` no plan can go below."""

    offsets: Mapping[Buffer, int]
    size_bytes: int
    live_bytes: int


@dataclass(slots=True)
class _Lifetime:
    first: int
    last: int


def plan_arena(program: Program, *, alignment: int = 1, shared: bool = True) -> Arena:
    """The smallest arena found; not ``shared``: every buffer has memory of its own.

    Offsets are multiples of ``alignment`` and of the largest element in the arena.
    """
    lifetimes = _lifetimes(program)
    alignment = max([alignment, *_element_bytes(program)])
    if not shared:
        return _apart(lifetimes, alignment)
    owner = _in_place(program, lifetimes)
    groups: dict[Buffer, list[Buffer]] = {}
    for buffer in lifetimes:
        groups.setdefault(_root(owner, buffer), []).append(buffer)
    spans = [
        Span(
            str(root.index),
            "activation",
            max(buffer.size_bytes for buffer in group),
            min(lifetimes[buffer].first for buffer in group),
            max(lifetimes[buffer].last for buffer in group),
        )
        for root, group in groups.items()
    ]
    places = pack(spans, alignment, tries=_TRIES)
    starts = {placement.buffer.name: placement.offset_bytes for placement in places.placements}
    offsets = {
        buffer: starts.get(str(root.index), 0) for root, group in groups.items() for buffer in group
    }
    return Arena(offsets, places.peak_bytes, live_bytes(spans))


def _element_bytes(program: Program) -> set[int]:
    return {
        value.element_bytes
        for call in program.calls
        for value in (*call.inputs, call.output)
        if value.buffer.place == "arena"
    }


def _apart(lifetimes: Mapping[Buffer, _Lifetime], alignment: int) -> Arena:
    offsets, end = {}, 0
    for buffer in lifetimes:
        offsets[buffer] = end
        end += -(-buffer.size_bytes // alignment) * alignment
    return Arena(offsets, end, end)


def _lifetimes(program: Program) -> dict[Buffer, _Lifetime]:
    """First and last call that touches each buffer of the arena."""
    results: dict[Buffer, _Lifetime] = {}
    for step, call in enumerate(program.calls):
        for value in (*call.inputs, call.output):
            if value.buffer.place == "arena":
                results.setdefault(value.buffer, _Lifetime(step, step)).last = step
    return results


def _in_place(program: Program, lifetimes: Mapping[Buffer, _Lifetime]) -> dict[Buffer, Buffer]:
    """Outputs that take the memory of an input which nobody reads later."""
    owner = {buffer: buffer for buffer in lifetimes}
    for step, call in enumerate(program.calls):
        output = call.output.buffer
        if output.place != "arena" or lifetimes[output].first != step:
            continue
        for index in call.in_place:
            if _ends(call.inputs[index], step, lifetimes) and call.inputs[index].buffer != output:
                owner[output] = _root(owner, call.inputs[index].buffer)
                break
    return owner


def _ends(value: Value, step: int, lifetimes: Mapping[Buffer, _Lifetime]) -> bool:
    return value.buffer.place == "arena" and lifetimes[value.buffer].last == step


def _root(owner: Mapping[Buffer, Buffer], buffer: Buffer) -> Buffer:
    while owner[buffer] != buffer:
        buffer = owner[buffer]
    return buffer
