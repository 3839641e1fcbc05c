"""Arithmetic of axis orders. A permutation ``p`` makes axis ``p[i]`` of a tensor axis ``i``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Perm = tuple[int, ...]
Shape = tuple[int, ...]
Entry = TypeVar("Entry")


def identity(rank: int) -> Perm:
    """The order that moves nothing."""
    return tuple(range(rank))


def inverse(perm: Perm) -> Perm:
    """The permutation that undoes ``perm``."""
    return tuple(perm.index(axis) for axis in range(len(perm)))


def after(first: Perm, second: Perm) -> Perm:
    """``first`` and then ``second`` as one permutation."""
    return tuple(first[axis] for axis in second)


def permuted(values: Sequence[Entry], perm: Perm) -> tuple[Entry, ...]:
    """``values[perm[0]], values[perm[1]], ...``, as numpy's transpose orders axes."""
    return tuple(values[axis] for axis in perm)


def moves_nothing(shape: Sequence[int], perm: Perm) -> bool:
    """Whether the memory order stays: only axes of size 1 change places."""
    real = [axis for axis in perm if shape[axis] != 1]
    return real == sorted(real)


def through_reshape(source: Shape, target: Shape, perm: Perm) -> Perm | None:
    """The order of ``target`` that a reshape gives when ``source`` is in order ``perm``.

    A reshape splits both shapes into groups of neighbouring axes with the same number of elements;
    an order that moves whole groups exists on both sides. None when ``perm`` breaks a group up.
    Axes of size 1 belong to no group and keep their places.
    """
    groups = _groups(source, target)
    group_of = {axis: group for group, (mine, _) in enumerate(groups) for axis in mine}
    real = [axis for axis in perm if source[axis] != 1]
    order = list(dict.fromkeys(group_of[axis] for axis in real))
    if real != [axis for group in order for axis in groups[group][0]]:
        return None
    moved = iter([axis for group in order for axis in groups[group][1]])
    return tuple(axis if target[axis] == 1 else next(moved) for axis in range(len(target)))


def _groups(source: Shape, target: Shape) -> list[tuple[list[int], list[int]]]:
    """Axes of both shapes that cover the same elements, axes of size 1 left out."""
    left = [axis for axis, extent in enumerate(source) if extent != 1]
    right = [axis for axis, extent in enumerate(target) if extent != 1]
    groups: list[tuple[list[int], list[int]]] = []
    while left:
        mine, theirs = [left.pop(0)], [right.pop(0)]
        while (sizes := (_size(source, mine), _size(target, theirs)))[0] != sizes[1]:
            if sizes[0] < sizes[1]:
                mine.append(left.pop(0))
            else:
                theirs.append(right.pop(0))
        groups.append((mine, theirs))
    return groups


def _size(shape: Shape, axes: list[int]) -> int:
    total = 1
    for axis in axes:
        total *= shape[axis]
    return total
