"""Finding the float32 numbers with which QuantizeLinear computes MULSCALE exactly.

MULSCALE is a staircase over the integers, y = sat(RS(acc * mu, sh)). QuantizeLinear of
``gain * acc + bias`` by ``scale`` with ``zero_point`` is one too:

    sat(rint((gain * acc + bias) / scale) + zero_point)     scale ~ gain * 2**sh / mu

Both never fall, so they are equal on an interval when they agree on both sides of each step. With
gain 1 and bias 0 they often differ at halves, which RS takes up and rint to even, or where the
quotient's 24 bits are too few. A bias with

    bias * mu = q + n * gain * 2**sh,    zero_point = -n

shifts the results by exactly n, and adds q / gain of the smallest step to what is rounded: so
halves do not occur, and rounding errors fall elsewhere. Where gain and bias are free, as in a
filter, whose weights and bias they go into, some of them almost always agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.integer_graph import FLOAT32_LIMIT
from nnshell.numeric.fixed_point import WIDEST_LEFT_SHIFT, IntArray, rounding_shift

Floats = NDArray[np.float32]

_CRITICAL = 24  # points that rule out most candidates
_WIDEST_SHIFT = 40
_MOST_DOUBLINGS = 6  # of the gain
_LARGE_BASE = FLOAT32_LIMIT // 4  # a filter's bias that is better taken as zero point
_ROWS = 128  # searched at a time, to bound memory
_LARGEST_SHIFT = 129.0  # of the results, by a zero point
_TRIES = 8  # candidates of a row that are checked at all points for each nudge


@dataclass(frozen=True, slots=True, eq=False)
class _Round:
    """Candidates to try for what earlier rounds have left."""

    shares: NDArray[np.float64]  # of the smallest step, added before rounding
    odd: int = 1  # factor of the gain, which is doubled as often as there is room
    fewer: int = 0  # doublings than possible
    turns: tuple[int, ...] = (-2, -1, 0, 1)  # times gain * 2**shift added to the bias
    nudges: tuple[int, ...] = (0, -1, 1, -2, 2, -3, 3)  # of a scale, in units in its last place


_PLAIN = _Round(np.zeros(1), 1, _MOST_DOUBLINGS, (0,))  # gain 1, bias 0
_ROUNDS = (
    _Round(np.array((0.5, 0.25, 0.75))),
    _Round(np.linspace(-0.5, 1.5, 17), fewer=1),
    _Round(np.array((0.5, 0.0, 1.0)), turns=(0,)),
    *(_Round(np.linspace(-0.5, 1.5, 17), odd) for odd in (3, 5, 7, 9, 11, 13, 15, 17)),
)


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """Multipliers and shifts (one per index of the axis, or one), and what follows them."""

    multiplier: IntArray
    shift: IntArray
    zero_point: int
    limits: tuple[int, int]
    dtype: str
    wraps: bool = True  # the product is brought to int32 first

    @property
    def limits_of_type(self) -> tuple[int, int]:
        """Smallest and largest integer of the element type."""
        return int(np.iinfo(self.dtype).min), int(np.iinfo(self.dtype).max)

    def apply(self, accumulator: IntArray) -> IntArray:
        """Exactly, in integers, without wrap-around; one row per factor."""
        multiplier, shift = self.multiplier[:, np.newaxis], self.shift[:, np.newaxis]
        scaled = rounding_shift(accumulator * multiplier, shift) + self.zero_point
        clamped: IntArray = np.clip(scaled, *self.limits)
        return clamped

    def spread(self, count: int) -> Factors:
        """One for each of ``count`` channels."""
        return replace(
            self,
            multiplier=np.broadcast_to(self.multiplier, (count,)),
            shift=np.broadcast_to(self.shift, (count,)),
        )

    def rows(self, index: IntArray) -> Factors:
        """Those of some channels."""
        return replace(self, multiplier=self.multiplier[index], shift=self.shift[index])


@dataclass(frozen=True, slots=True, eq=False)
class Staircase:
    """MULSCALE at integers that determine it: on both sides of each step, and the ends."""

    factors: Factors
    points: IntArray  # one row per factor
    results: IntArray

    @classmethod
    def between(cls, low: IntArray, high: IntArray, factors: Factors) -> Staircase:
        """From ``low`` to ``high`` of each factor; multipliers are positive."""
        ends = np.stack([low, high], axis=1)
        reached = factors.apply(ends)
        steps = np.arange(int(reached.min()) + 1, int(reached.max()) + 1) - factors.zero_point
        right = np.maximum(factors.shift, 0)[:, np.newaxis]
        left = np.clip(-factors.shift, 0, WIDEST_LEFT_SHIFT)[:, np.newaxis]
        half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), 0)
        multiplier = factors.multiplier[:, np.newaxis] << left
        first = -((half - (steps << right)) // multiplier)  # the smallest that gives the result
        points = np.concatenate([first - 1, first, ends], axis=1)
        points = np.clip(points, ends[:, :1], ends[:, 1:])
        return cls(factors, points, factors.apply(points))

    def rows(self, index: IntArray) -> Staircase:
        """The same for some channels."""
        return Staircase(self.factors.rows(index), self.points[index], self.results[index])

    def critical(self) -> Staircase:
        """The points whose products are nearest to a step, for each factor."""
        shift = np.clip(self.factors.shift, 1, _WIDEST_SHIFT)[:, np.newaxis]
        unit, half = np.int64(1) << shift, np.int64(1) << (shift - 1)
        past = (self.points * self.factors.multiplier[:, np.newaxis] + half) % unit
        distance = np.minimum(past, unit - past)
        count = min(_CRITICAL, distance.shape[1])
        nearest = np.argpartition(distance, count - 1, axis=1)[:, :count]
        take = np.take_along_axis
        return Staircase(
            self.factors, take(self.points, nearest, 1), take(self.results, nearest, 1)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Rescaling:
    """What QuantizeLinear is given; one element per factor."""

    gain: IntArray
    bias: IntArray
    scale: Floats
    zero_point: IntArray

    @property
    def plain(self) -> bool:
        """Whether the accumulator is taken as it is."""
        return bool((self.gain == 1).all() and (self.bias == 0).all())

    @classmethod
    def plain_for(cls, count: int, zero_point: int) -> Rescaling:
        """Gain 1, bias 0, and scale 1 until a better one is put in."""
        ones = np.ones(count, np.int64)
        return cls(ones, 0 * ones, np.ones(count, np.float32), zero_point * ones)

    def rows(self, index: IntArray) -> Rescaling:
        """The same for some channels."""
        return Rescaling(
            self.gain[index], self.bias[index], self.scale[index], self.zero_point[index]
        )

    def put(self, index: IntArray, other: Rescaling) -> None:
        """Replace some rows."""
        self.gain[index], self.bias[index] = other.gain, other.bias
        self.scale[index], self.zero_point[index] = other.scale, other.zero_point


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """How an accumulator can be made again as gain * acc + bias.

    gain * ``reach`` + abs(gain * ``base`` + bias) must stay below 2**24: ``reach`` is the largest
    magnitude of the partial sums without the filter's own bias ``base``, one element per channel.
    ``rescale`` makes the tensor.
    """

    reach: IntArray
    base: IntArray
    rescale: Callable[[IntArray, IntArray], str]

    def rows(self, index: IntArray) -> Room:
        """The same for some channels."""
        return Room(self.reach[index], self.base[index], self.rescale)


def find_rescaling(stairs: Staircase, room: Room | None) -> tuple[Rescaling, NDArray[np.bool_]]:
    """Numbers for every factor, and for which of them they are exact.

    Without ``room`` only the scale is free.
    """
    count = stairs.factors.shift.size
    result = Rescaling.plain_for(count, stairs.factors.zero_point)
    critical = stairs.critical()
    missing = np.arange(count)
    for each in (_PLAIN, *(_ROUNDS if room is not None else ())):
        left = [missing[:0]]
        for start in range(0, missing.size, _ROWS):
            rows = missing[start : start + _ROWS]
            part = None if room is None else room.rows(rows)
            solved = _search(stairs.rows(rows), critical.rows(rows), part, each, result, rows)
            left.append(rows[~solved])
        missing = np.concatenate(left)
    exact = np.ones(count, np.bool_)
    exact[missing] = False
    return result, exact


def _search(
    stairs: Staircase,
    critical: Staircase,
    room: Room | None,
    each: _Round,
    result: Rescaling,
    rows: IntArray,
) -> NDArray[np.bool_]:
    """Puts exact candidates into ``rows`` of ``found``; says for which there were some."""
    solved = np.zeros(rows.size, np.bool_)
    of, candidates = _candidates(stairs.factors, room, each)
    nearest = candidates.scale
    for nudge in each.nudges:
        live = np.flatnonzero(~solved[of])
        scale = _nudged(nearest[live], nudge)
        some = replace(candidates.rows(live), scale=scale)
        promising = live[_agree(some, critical.rows(of[live]))]
        for _ in range(_TRIES):
            row, first = np.unique(of[promising], return_index=True)
            if not row.size:
                break
            chosen = promising[first]
            scale = _nudged(nearest[chosen], nudge)
            picked = replace(candidates.rows(chosen), scale=scale)
            exact = _agree(picked, stairs.rows(row))
            result.put(rows[row[exact]], picked.rows(np.flatnonzero(exact)))
            solved[row[exact]] = True
            promising = np.setdiff1d(promising[~solved[of[promising]]], chosen)
    return solved


def _nudged(scale: Floats, nudge: int) -> Floats:
    """So many float32 numbers further."""
    return (scale + np.float32(nudge) * np.spacing(scale)).astype(np.float32)


def _candidates(factors: Factors, room: Room | None, each: _Round) -> tuple[IntArray, Rescaling]:
    """The row of each candidate, and the candidates with their nearest scale."""
    multiplier, shift = factors.multiplier[:, np.newaxis], factors.shift[:, np.newaxis]
    usable = (shift >= 1) & (shift <= _WIDEST_SHIFT - _MOST_DOUBLINGS) & (multiplier % 2 == 1)
    if room is None or each is _PLAIN:
        gain = np.ones_like(multiplier)
    else:
        doublings = _doublings(multiplier, np.where(usable, shift, 1), room, each)
        gain = np.int64(each.odd) << doublings
    bias, zero_point = 0 * gain, 0 * gain + factors.zero_point
    if each is not _PLAIN and room is not None:
        bias, moved = _biases(multiplier, np.where(usable, shift, 1), gain, room, each)
        zero_point = zero_point - moved
    low, high = factors.limits_of_type
    possible = (shift >= -WIDEST_LEFT_SHIFT) if each is _PLAIN else usable
    valid = (zero_point >= low) & (zero_point <= high) & possible
    if room is not None:
        reach, base = room.reach[:, np.newaxis], room.base[:, np.newaxis]
        valid &= gain * reach + np.abs(gain * base + bias) < FLOAT32_LIMIT
    row, column = np.nonzero(valid)
    nearest = np.ldexp(gain / multiplier, np.maximum(shift, -WIDEST_LEFT_SHIFT)).astype(np.float32)
    return row, Rescaling(gain[row, 0], bias[row, column], nearest[row, 0], zero_point[row, column])


def _doublings(multiplier: IntArray, shift: IntArray, room: Room, each: _Round) -> IntArray:
    """Of the gain, as many as the bias leaves room for."""
    largest_bias = np.ldexp(_LARGEST_SHIFT / multiplier, shift) if len(each.turns) > 1 else 1.0
    reach = (room.reach + np.abs(room.base))[:, np.newaxis]
    possible = np.floor(np.log2(FLOAT32_LIMIT / each.odd / (reach + largest_bias)))
    doublings = np.clip(possible.astype(np.int64) - each.fewer, 0, _MOST_DOUBLINGS)
    return np.asarray(doublings)


def _biases(
    multiplier: IntArray, shift: IntArray, gain: IntArray, room: Room, each: _Round
) -> tuple[IntArray, IntArray]:
    """Biases for each share and turn, and by how many units they shift the results."""
    modulus = gain << shift
    added = np.rint(gain * each.shares).astype(np.int64)
    lowest = (added * _inverse(multiplier, modulus)) % modulus
    base = room.base[:, np.newaxis]
    centre = np.rint(-1.0 * gain * base / modulus).astype(np.int64)
    turns = np.array(each.turns, np.int64) + np.where(np.abs(base) < _LARGE_BASE, 0, centre)
    bias = lowest[:, :, np.newaxis] + (turns * modulus)[:, np.newaxis]
    products = bias * multiplier[:, :, np.newaxis] - added[:, :, np.newaxis]
    moved = products // modulus[:, :, np.newaxis]
    return bias.reshape(len(gain), -1), moved.reshape(len(gain), -1)


def _agree(candidates: Rescaling, stairs: Staircase) -> NDArray[np.bool_]:
    """Whether each candidate gives the results of its row."""
    gain, bias = candidates.gain[:, np.newaxis], candidates.bias[:, np.newaxis]
    units = (gain * stairs.points + bias).astype(np.float32)
    np.rint(units / candidates.scale[:, np.newaxis], out=units)
    low, high = (limit - candidates.zero_point for limit in stairs.factors.limits)
    expected = stairs.results - candidates.zero_point[:, np.newaxis]
    np.minimum(np.maximum(units, low[:, np.newaxis]), high[:, np.newaxis], out=units)
    agree: NDArray[np.bool_] = (units == expected).all(axis=1)
    return agree


def _inverse(multiplier: IntArray, modulus: IntArray) -> IntArray:
    """Multiplicative inverses; 0 where there is none, which no candidate survives."""
    pairs = zip(multiplier.reshape(-1).tolist(), modulus.reshape(-1).tolist(), strict=True)
    results = [pow(m, -1, n) if math.gcd(m, n) == 1 else 0 for m, n in pairs]
    return np.array(results, np.int64).reshape(multiplier.shape)
