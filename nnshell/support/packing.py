"""Packing buffers with lifetimes into one memory: offsets that never overlap.

Buffers are placed one after the other, each at the lowest offset that is free for its whole
lifetime. Several placing orders are tried, the best is improved step by step; the sum of live bytes
at the fullest step is a lower bound that no placement can beat. Buffers that live from the first
step to the last lie above all others: no placement gains by putting something between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random


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
        """Whether both are alive at some step."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class Placement:
    """A buffer and where it starts."""

    buffer: Buffer
    offset_bytes: int

    @property
    def end_bytes(self) -> int:
        """The offset of the first byte after it."""
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

    def used_by_step(self, steps: int) -> list[int]:
        """Bytes taken at each of the steps."""
        change = [0] * (steps + 1)
        for placement in self.placements:
            buffer = placement.buffer
            if buffer.first < steps:
                change[buffer.first] += buffer.size_bytes
                change[min(buffer.last + 1, steps)] -= buffer.size_bytes
        return list(accumulate(change[:steps]))


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


def pack(buffers: Iterable[Buffer], alignment_bytes: int, *, tries: int = 0) -> MemoryMap:
    """Offsets for all buffers; the best of several first-fit orders.

    Where none of them comes close to the live bytes, up to ``tries`` orders near the best one are
    tried, always the same ones.
    """
    needed = [buffer for buffer in buffers if buffer.size_bytes > 0]
    lifelong = _lifelong(needed)
    known = set(map(id, lifelong))
    others, held = [b for b in needed if id(b) not in known], sum(b.size_bytes for b in lifelong)
    placed = _packed(others, held, alignment_bytes, tries)
    placed = [*placed, *_stacked(lifelong, _peak(placed), alignment_bytes)]
    return MemoryMap(tuple(placed), _peak(placed), live_bytes(needed))


def _lifelong(buffers: Sequence[Buffer]) -> list[Buffer]:
    """The buffers that are alive whenever any is."""
    first = min((buffer.first for buffer in buffers), default=0)
    last = max((buffer.last for buffer in buffers), default=0)
    return [buffer for buffer in buffers if (buffer.first, buffer.last) == (first, last)]


def _stacked(buffers: Iterable[Buffer], floor: int, alignment_bytes: int) -> list[Placement]:
    """One after the other from ``floor`` up, the largest last."""
    placed: list[Placement] = []
    for buffer in sorted(buffers, key=lambda buffer: buffer.size_bytes):
        offset = -(-floor // alignment_bytes) * alignment_bytes
        placed.append(Placement(buffer, offset))
        floor = placed[-1].end_bytes
    return placed


def _packed(
    buffers: list[Buffer], held_bytes: int, alignment_bytes: int, tries: int
) -> list[Placement]:
    """The best of several first-fit orders, improved as far as that matters beside the bytes that
    lifelong buffers hold."""
    live = live_bytes(buffers)
    good = GOOD_ENOUGH * (live + held_bytes) - held_bytes
    tolerable = TOLERABLE * (live + held_bytes) - held_bytes
    packer = _Packer(buffers, alignment_bytes)
    results: list[list[Placement]] = []
    for order in _ORDERS:
        results.append(packer.first_fit(sorted(buffers, key=order)))
        if _peak(results[-1]) <= live:
            break
    best = min(results, key=_peak)
    if _peak(best) > good:
        best = packer.improved(best)
    if _peak(best) > tolerable:
        best = min((best, *(packer.improved(placed) for placed in results)), key=_peak)
    if _peak(best) > tolerable:
        best = packer.searched(best, tries, tolerable)
    return best


class _Packer:
    """Places the same buffers in one order after another; ``_rivals`` are alive with a buffer."""

    def __init__(self, buffers: Sequence[Buffer], alignment: int) -> None:
        self._alignment = alignment
        self._rivals: dict[int, list[int]] = {id(buffer): [] for buffer in buffers}
        alive: list[Buffer] = []
        for buffer in sorted(buffers, key=lambda buffer: buffer.first):
            alive = [other for other in alive if other.last >= buffer.first]
            for other in alive:
                self._rivals[id(buffer)].append(id(other))
                self._rivals[id(other)].append(id(buffer))
            alive.append(buffer)

    def first_fit(self, buffers: Iterable[Buffer]) -> list[Placement]:
        """Each buffer at the lowest offset that is free for its whole lifetime."""
        placed: list[Placement] = []
        taken: dict[int, tuple[int, int]] = {}  # start and aligned end
        for buffer in buffers:
            size, offset = buffer.size_bytes, 0
            for start, end in sorted([taken[n] for n in self._rivals[id(buffer)] if n in taken]):
                if offset + size <= start:
                    break
                if end > offset:
                    offset = end
            placed.append(Placement(buffer, offset))
            end = -(-(offset + size) // self._alignment) * self._alignment
            taken[id(buffer)] = (offset, end)
        return placed

    def improved(self, placed: list[Placement]) -> list[Placement]:
        """Place what reaches highest earlier than all others, over and over; the best of it. An
        order that comes back leads nowhere new."""
        best = placed
        tried: set[tuple[int, ...]] = set()
        for _ in range(IMPROVEMENTS):
            highest = max(placed, key=lambda placement: placement.end_bytes).buffer
            rest = [placement.buffer for placement in placed if placement.buffer is not highest]
            order = tuple(map(id, (highest, *rest)))
            if order in tried:
                break
            tried.add(order)
            placed = self.first_fit([highest, *rest])
            if _peak(placed) < _peak(best):
                best = placed
        return best

    def searched(self, placed: list[Placement], tries: int, enough: float) -> list[Placement]:
        """Move one buffer to another place in the order; keep what is no worse."""
        random = Random(0)
        order, best = [placement.buffer for placement in placed], placed
        for _ in range(tries if len(order) > 1 else 0):
            candidate = list(order)
            buffer = candidate.pop(random.randrange(len(order)))
            candidate.insert(random.randrange(len(order)), buffer)
            placements = self.first_fit(candidate)
            if _peak(placements) <= _peak(best):
                order, best = candidate, placements
            if _peak(best) <= enough:
                break
        return best


def live_bytes(buffers: Sequence[Buffer]) -> int:
    """The most bytes alive at one step: a lower bound of every placement's peak."""
    changes = [(buffer.first, buffer.size_bytes) for buffer in buffers]
    changes += [(buffer.last + 1, -buffer.size_bytes) for buffer in buffers]
    return max(accumulate((size for _, size in sorted(changes)), initial=0))


def _peak(placed: Sequence[Placement]) -> int:
    return max((placement.end_bytes for placement in placed), default=0)
