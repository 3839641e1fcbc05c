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

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.lowering import FLOAT32_LIMIT
from nnshell.numeric.fixed_point import IntArray, rounding_shift

Floats = NDArray[np.float32]

_NUDGES = (0, -1, 1, -2, 2, -3, 3)  # of a scale, in units in its last place
_CRITICAL = 24  # points that rule out most candidates
_WIDEST_SHIFT = 40
_MOST_DOUBLINGS = 6  # of the gain
_LARGE_BASE = FLOAT32_LIMIT // 4  # a filter's bias that is better taken as zero point
_ROWS = 128  # searched at a time, to bound memory
_TRIES = 24  # candidates checked at all points


@dataclass(frozen=True, slots=True, eq=False)
class _Round:
    """Candidates to try for what earlier rounds have left."""

    shares: NDArray[np.float64]  # of the smallest step, added before rounding
    fewer: int = 0  # doublings of the gain than possible
    turns: tuple[int, ...] = (-2, -1, 0, 1)  # times gain * 2**shift added to the bias
    nudges: tuple[int, ...] = _NUDGES


_ROUNDS = (
    _Round(np.array((0.5, 0.25, 0.75))),
    _Round(np.array((0.5, 0.0, 1.0)), turns=(0,)),
    _Round(np.linspace(-0.5, 1.5, 17), fewer=1),
    _Round(np.linspace(-1.5, 2.5, 65), nudges=tuple(range(-8, 9))),
    _Round(np.linspace(-1.5, 2.5, 65), fewer=3, nudges=tuple(range(-8, 9))),
)


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """Multipliers and shifts (one per index of the axis, or one), and what follows them."""

    multiplier: IntArray
    shift: IntArray
    zero_point: int
    limits: tuple[int, int]
    dtype: str

    @property
    def limits_of_type(self) -> tuple[int, int]:
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
        left = np.maximum(-factors.shift, 0)[:, np.newaxis]
        half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), 0)
        multiplier = factors.multiplier[:, np.newaxis] << left
        first = -((half - (steps << right)) // multiplier)  # the smallest that gives the result
        points = np.concatenate([first - 1, first, ends], axis=1)
        points = np.clip(points, ends[:, :1], ends[:, 1:])
        return cls(factors, points, factors.apply(points))

    def rows(self, index: IntArray) -> Staircase:
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
        return Room(self.reach[index], self.base[index], self.rescale)


def find_rescaling(stairs: Staircase, room: Room | None) -> tuple[Rescaling, NDArray[np.bool_]]:
    """Numbers for every factor, and for which of them they are exact.

    Without ``room`` only the scale is free.
    """
    scale = _plain_scales(stairs)
    if room is not None:
        scale[room.reach + np.abs(room.base) >= FLOAT32_LIMIT] = 0
    missing = np.flatnonzero(scale == 0)
    ones = np.ones(scale.size, np.int64)
    found = Rescaling(ones, 0 * ones, scale, stairs.factors.zero_point * ones)
    if room is not None:
        missing = _with_gains(stairs, missing, room, found)
    scale[missing] = 1
    exact = np.ones(scale.size, np.bool_)
    exact[missing] = False
    return found, exact


def _plain_scales(stairs: Staircase) -> Floats:
    """Scales that are exact with gain 1 and bias 0; 0 where there are none."""
    factors = stairs.factors
    nearest = np.ldexp(1.0 / factors.multiplier, factors.shift).astype(np.float32)
    scale = np.zeros_like(nearest)
    left, points = np.arange(nearest.size), stairs.points.astype(np.float32)
    for nudge in _NUDGES:
        tried = nearest[left] + np.float32(nudge) * np.spacing(nearest[left])
        units = np.rint(points[left] / tried[:, np.newaxis]) + factors.zero_point
        fits = (np.clip(units, *factors.limits) == stairs.results[left]).all(axis=1)
        scale[left[fits]] = tried[fits]
        left = left[~fits]
        if not left.size:
            break
    return scale


def _with_gains(stairs: Staircase, missing: IntArray, room: Room, found: Rescaling) -> IntArray:
    """Fill in the rows ``missing`` of ``found``; which are missing still."""
    for each in _ROUNDS:
        left = [missing[:0]]
        for start in range(0, missing.size, _ROWS):
            rows = missing[start : start + _ROWS]
            some = stairs.rows(rows)
            candidates = _Candidates.of(some.factors, room.rows(rows), each)
            exact, best = candidates.choose(some)
            for name, values in best.items():
                getattr(found, name)[rows[exact]] = values[exact]
            left.append(rows[~exact])
        missing = np.concatenate(left)
    return missing


@dataclass(frozen=True, slots=True, eq=False)
class _Candidates:
    """What to try: a row per factor; a gain for each, biases and zero points, and their scales."""

    gain: IntArray  # rows x 1
    bias: IntArray  # rows x candidates
    zero_point: IntArray
    valid: NDArray[np.bool_]
    scale: Floats  # rows x nudges

    @classmethod
    def of(cls, factors: Factors, room: Room, each: _Round) -> _Candidates:
        reach, base = room.reach[:, np.newaxis], room.base[:, np.newaxis]
        multiplier, shift = factors.multiplier[:, np.newaxis], factors.shift[:, np.newaxis]
        low, high = factors.limits_of_type
        usable = (shift >= 1) & (shift <= _WIDEST_SHIFT - _MOST_DOUBLINGS) & (multiplier % 2 == 1)
        shift = np.where(usable, shift, 1)
        largest_bias = np.ldexp((high + 2.0) / multiplier, shift) if len(each.turns) > 1 else 1.0
        most = FLOAT32_LIMIT / (reach + np.abs(base) + largest_bias)
        doublings = np.floor(np.log2(most)).astype(np.int64) - each.fewer
        doublings = np.clip(doublings, 0, _MOST_DOUBLINGS)
        gain, bits = np.int64(1) << doublings, shift + doublings
        added = np.rint(gain * each.shares).astype(np.int64)
        lowest = (added * _inverse(multiplier)) & ((np.int64(1) << bits) - 1)
        centre = np.rint(np.ldexp(-1.0 * gain * base, -bits)).astype(np.int64)
        turns = np.array(each.turns, np.int64) + np.where(np.abs(base) < _LARGE_BASE, 0, centre)
        turns = (turns << bits)[:, np.newaxis]
        bias = (lowest[:, :, np.newaxis] + turns).reshape(len(gain), -1)
        moved = (bias * multiplier - added.repeat(turns.shape[2], axis=1)) >> bits
        zero_point = factors.zero_point - moved
        valid = usable & (zero_point >= low) & (zero_point <= high)
        valid &= gain * reach + np.abs(gain * base + bias) < FLOAT32_LIMIT
        nearest = np.ldexp(gain / multiplier, shift).astype(np.float32)
        scale = nearest + np.array(each.nudges, np.float32) * np.spacing(nearest)
        return cls(gain, bias, zero_point, valid, scale)

    def choose(self, stairs: Staircase) -> tuple[NDArray[np.bool_], dict[str, NDArray[Any]]]:
        """Rows for which a candidate is exact, and the candidate."""
        promising = self._promising(stairs.critical())
        rows = np.arange(len(self.gain))
        exact = np.zeros(rows.size, np.bool_)
        chosen = np.zeros(rows.size, np.int64)
        for _ in range(_TRIES):
            trying = np.flatnonzero(~exact & promising.any(axis=1))
            if not trying.size:
                break
            chosen[trying] = promising[trying].argmax(axis=1)
            promising[trying, chosen[trying]] = False
            picked = self._picked(chosen)
            exact[trying] = _agree(
                {name: values[trying] for name, values in picked.items()}, stairs.rows(trying)
            )
        return exact, self._picked(chosen)

    def _promising(self, stairs: Staircase) -> NDArray[np.bool_]:
        """Candidates (biases x nudges) that agree at some points."""
        limits = stairs.factors.limits
        moved = self.gain[:, :, np.newaxis] * stairs.points[:, np.newaxis]
        moved = (moved + self.bias[:, :, np.newaxis]).astype(np.float32)
        zero_point = self.zero_point[:, :, np.newaxis]
        fits = []
        for nudge in range(self.scale.shape[1]):
            units = np.rint(moved / self.scale[:, nudge, np.newaxis, np.newaxis]) + zero_point
            agree = np.clip(units, *limits) == stairs.results[:, np.newaxis]
            fits.append(agree.all(axis=2) & self.valid)
        return np.stack(fits, axis=2).reshape(len(self.gain), -1)

    def _picked(self, chosen: IntArray) -> dict[str, NDArray[Any]]:
        bias, nudge = np.divmod(chosen, self.scale.shape[1])
        rows = np.arange(chosen.size)
        return {
            "gain": self.gain[:, 0],
            "bias": self.bias[rows, bias],
            "zero_point": self.zero_point[rows, bias],
            "scale": self.scale[rows, nudge],
        }


def _agree(picked: dict[str, NDArray[Any]], stairs: Staircase) -> NDArray[np.bool_]:
    """Rows whose candidate agrees at all points."""
    gain, bias, scale, zero_point = (
        picked[name][:, np.newaxis] for name in ("gain", "bias", "scale", "zero_point")
    )
    units = np.rint((gain * stairs.points + bias).astype(np.float32) / scale) + zero_point
    agree: NDArray[np.bool_] = (np.clip(units, *stairs.factors.limits) == stairs.results).all(
        axis=1
    )
    return agree


def _inverse(odd: IntArray) -> IntArray:
    """Multiplicative inverses modulo 2**63, by Newton's iteration; each doubles the right bits."""
    inverse = odd.copy()
    with np.errstate(over="ignore"):
        for _ in range(6):
            inverse = inverse * (2 - odd * inverse)
    return inverse
