"""Packing buffers with lifetimes into one memory: offsets that never overlap.

Buffers are placed one after the other, each at the lowest offset that is free for its whole
lifetime. Several placing orders are tried, the best is improved step by step; the sum of live bytes
at the fullest step is a lower bound that no placement can beat.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Buffer:
    """``size_bytes`` needed from step ``first`` to step ``last``, both included.

    ``layer`` is the layer whose weights or staging it holds, -1 for activations.
    """

    name: str
    kind: str
    size_bytes: int
    first: int
    last: int
    layer: int = -1

    def meets(self, other: Buffer) -> bool:
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class Placement:
    """A buffer and where it starts."""

    buffer: Buffer
    offset_bytes: int

    @property
    def end_bytes(self) -> int:
        return self.offset_bytes + self.buffer.size_bytes


@dataclass(frozen=True, slots=True)
class MemoryMap:
    """All placements of one memory and the highest byte they reach."""

    placements: tuple[Placement, ...]
    peak_bytes: int
    live_bytes: int

    def at(self, step: int) -> tuple[Placement, ...]:
        """What lies in the memory at a step, by offset."""
        live = (p for p in self.placements if p.buffer.first <= step <= p.buffer.last)
        return tuple(sorted(live, key=lambda placement: placement.offset_bytes))

    def used_bytes(self, step: int) -> int:
        return sum(placement.buffer.size_bytes for placement in self.at(step))


# A peak this close to the live bytes is not worth further tries.
GOOD_ENOUGH = 1.02
# A peak further from them is worth trying from every order.
TOLERABLE = 1.05
IMPROVEMENTS = 30

_ORDERS: tuple[Callable[[Buffer], tuple[int, ...]], ...] = (
    lambda buffer: (-buffer.size_bytes, buffer.first),
    lambda buffer: (buffer.first - buffer.last, -buffer.size_bytes),
    lambda buffer: (buffer.size_bytes * (buffer.first - buffer.last - 1), buffer.first),
    lambda buffer: (buffer.first, -buffer.size_bytes),
    lambda buffer: (-buffer.last, -buffer.size_bytes),
)


def pack(buffers: Iterable[Buffer], alignment_bytes: int) -> MemoryMap:
    """Offsets for all buffers; the best of several first-fit orders."""
    needed = [buffer for buffer in buffers if buffer.size_bytes > 0]
    live = live_bytes(needed)
    found: list[list[Placement]] = []
    for order in _ORDERS:
        found.append(_first_fit(sorted(needed, key=order), alignment_bytes))
        if _peak(found[-1]) <= live:
            break
    best = min(found, key=_peak)
    if _peak(best) > GOOD_ENOUGH * live:
        best = _improved(best, alignment_bytes)
    if _peak(best) > TOLERABLE * live:
        best = min((best, *(_improved(placed, alignment_bytes) for placed in found)), key=_peak)
    return MemoryMap(tuple(best), _peak(best), live)


def _improved(placed: list[Placement], alignment: int) -> list[Placement]:
    """Place what reaches highest earlier than all others, over and over; the best of it. An order
    that comes back leads nowhere new."""
    best = placed
    tried: set[tuple[int, ...]] = set()
    for _ in range(IMPROVEMENTS):
        highest = max(placed, key=lambda placement: placement.end_bytes).buffer
        rest = [placement.buffer for placement in placed if placement.buffer is not highest]
        order = tuple(map(id, (highest, *rest)))
        if order in tried:
            break
        tried.add(order)
        placed = _first_fit([highest, *rest], alignment)
        if _peak(placed) < _peak(best):
            best = placed
    return best


def live_bytes(buffers: Sequence[Buffer]) -> int:
    """The most bytes alive at one step: a lower bound of every placement's peak."""
    steps = {buffer.first for buffer in buffers}
    return max(
        (sum(b.size_bytes for b in buffers if b.first <= step <= b.last) for step in steps),
        default=0,
    )


def _peak(placed: Sequence[Placement]) -> int:
    return max((placement.end_bytes for placement in placed), default=0)


def _first_fit(buffers: Sequence[Buffer], alignment: int) -> list[Placement]:
    """Each buffer at the lowest offset that is free for its whole lifetime.

    ``taken`` is sorted by offset: start, aligned end, first and last step.
    """
    placed: list[Placement] = []
    taken: list[tuple[int, int, int, int]] = []
    for buffer in buffers:
        size, first, last = buffer.size_bytes, buffer.first, buffer.last
        offset = 0
        for start, end, since, until in taken:
            if since <= last and first <= until:
                if offset + size <= start:
                    break
                if end > offset:
                    offset = end
        placed.append(Placement(buffer, offset))
        insort(taken, (offset, -(-(offset + size) // alignment) * alignment, first, last))
    return placed
