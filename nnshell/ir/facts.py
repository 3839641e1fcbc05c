"""The values in which an operator states facts about itself (``nnshell.ir.operator``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Literal

from nnshell.ir.permutations import Perm
from nnshell.ir.requests import Range

if TYPE_CHECKING:
    from nnshell.ir.operator import Operator

Role = Literal[
    "",  # none of those below
    "input",
    "output",
    "unused",  # takes a part of a tensor that nobody reads
    "constant",
    "fusion",
    "filter",  # y = W x + b; input 1 is W, output channel first, input 2 is b
    "normalization",  # y = (x - mean) * factor + offset, by channel
    "activation",  # y = f(x), element by element
    "max_pool",  # of what a window over height and width sees, by channel
    "mean_pool",
    "global_max",  # over all of height and width, by channel
    "global_mean",
    "sum",  # of two tensors, element by element
    "difference",
    "product",
    "quotient",
    "matrix_product",
    "softmax",
    "resize",
    "join",  # several tensors, one after the other along an axis
    "cut",  # one tensor into several along an axis
    "move",  # elements of one tensor somewhere else, constants around them, none computed
    "convert",  # the same real numbers in another record
    "format",  # pixels to a feature map
]

POOLS: tuple[Role, ...] = ("max_pool", "mean_pool")
EVERYTHING = Range(-inf, inf)


@dataclass(frozen=True, slots=True)
class Border:
    """``pads[i]`` elements (before, after) of ``value`` along axis i of a tensor."""

    pads: tuple[tuple[int, int], ...]
    value: float = 0.0

    @property
    def spatial(self) -> tuple[int, int, int, int] | None:
        """(top, left, bottom, right) of a feature map; None where channels are padded too."""
        if len(self.pads) != 3 or self.pads[0] != (0, 0):
            return None
        (top, bottom), (left, right) = self.pads[1:]
        return top, left, bottom, right

    @property
    def channels(self) -> tuple[int, int] | None:
        """(before, after) of a feature map's channels; None where height or width is padded."""
        if len(self.pads) != 3 or self.pads[1:] != ((0, 0), (0, 0)):
            return None
        return self.pads[0]


@dataclass(frozen=True, slots=True)
class Turned:
    """An operator between tensors in other orders of axes.

    ``op(transpose(x, given)) = transpose(old(x), made)``; several inputs (or outputs) are all in
    one order.
    """

    op: Operator
    given: Perm
    made: Perm


def including(low: float, high: float, value: float) -> Range:
    """The smallest interval that holds ``low``, ``high`` and ``value``."""
    return Range(min(low, value), max(high, value))


def union(ranges: Sequence[Range]) -> Range:
    """The smallest interval that holds all of ``ranges`` (at least one)."""
    return Range(min(r.minimum for r in ranges), max(r.maximum for r in ranges))
