"""A loss as data: which kind, where, how large, and what to type against it.

Losses of a kind are said on one line, however many nodes have them: the worst node's, with a count
and the names of the others, and levers for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

LossKind = Literal[
    "bias_part",  # a bias or a zero point's part of it that int32 does not hold
    "multiplier_bits",  # an accumulator that leaves a multiplier fewer than 4 bits
    "sum_wraps",  # a sum, or its product with the multiplier, that int32 does not hold
    "channel_spread",  # channels that one scale of a depthwise layer's tensor cannot carry
    "pool_padding",  # padding of 0 that wins a max pool
    "table_steps",  # a table whose input spans few of its steps
    "cut_off",  # a range that a concat cuts off
    "joined_ranges",  # outputs of very different ranges that a concat joins
    "few_samples",  # a calibration on few samples
    "outside",  # values outside the calibrated range
]
KINDS: tuple[LossKind, ...] = get_args(LossKind)
_MOST_NAMES = 6
_MOST_CHANNELS = 8


@dataclass(frozen=True, slots=True)
class Lever:
    """Something that cures a loss: quantization options of the node, or ``command`` to type."""

    options: tuple[tuple[str, Any], ...] = ()
    command: str = ""

    def typed(self, nodes: Sequence[str]) -> str:
        """The line that pulls it for all these nodes."""
        if self.command:
            return self.command
        pairs = " ".join(f"{key}={_spelled(value)}" for key, value in self.options)
        return "qtune " + " ".join(f"--step {node} {pairs}" for node in nodes)

    def mapping(self) -> Mapping[str, Any]:
        """The options, as ``tune`` takes them."""
        return dict(self.options)


FIT_SCALES = Lever((("fit_scales", True),))
SYMMETRIC = Lever((("allow_asymmetric_out", False),))


@dataclass(frozen=True, slots=True)
class Loss:
    """One loss at one node.

    ``effect`` is its size in ``unit``, ``channels`` the output channels that have it (empty: not
    told apart) of ``of_channels``. ``text`` says so; ``levers`` cure it, ``advice`` is what helps
    where no lever does.
    """

    kind: LossKind
    node: str
    effect: float
    unit: str
    text: str
    channels: tuple[int, ...] = ()
    of_channels: int = 0
    levers: tuple[Lever, ...] = ()
    advice: str = ""

    @property
    def step(self) -> str:
        """The top-level node, as `qtune --step` takes it."""
        return self.node.partition("/")[0]

    @property
    def hint(self) -> str:
        """What to type or do."""
        return _hint([self])

    def __str__(self) -> str:
        return _line([self])

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return {
            "kind": self.kind,
            "node": self.node,
            "channels": list(self.channels),
            "effect": self.effect,
            "unit": self.unit,
            "text": self.text,
            "hint": self.hint,
        }


def loss_lines(losses: Sequence[Loss]) -> list[str]:
    """One line for each kind, the worst node first; kinds in the order of ``KINDS``."""
    lines = []
    for kind in KINDS:
        alike = sorted((loss for loss in losses if loss.kind == kind), key=lambda e: -e.effect)
        if alike:
            lines.append(_line(alike))
    return lines


def channels_text(channels: Sequence[int], of_channels: int) -> str:
    """``2 of 16 channels (3, 7)``; only as many as a line has room for."""
    numbers = ", ".join(str(number) for number in channels[:_MOST_CHANNELS])
    more = ", ..." if len(channels) > _MOST_CHANNELS else ""
    noun = "channel" if of_channels == 1 else "channels"
    return f"{len(channels)} of {of_channels} {noun} ({numbers}{more})"


def _line(alike: Sequence[Loss]) -> str:
    worst, names = alike[0], list(dict.fromkeys(loss.node for loss in alike[1:]))
    names = [name for name in names if name != worst.node]
    others = ""
    if names:
        shown = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
        others = f" (and less in {len(names)} more: {shown})"
    hint = _hint(alike)
    return f"{worst.node}: {worst.text}{others}" + (f"; {hint}" if hint else "")


def _hint(alike: Sequence[Loss]) -> str:
    levers = [lever for lever in alike[0].levers if all(lever in loss.levers for loss in alike)]
    if not levers:
        return alike[0].advice
    steps = list(dict.fromkeys(loss.step for loss in alike))
    return "type " + " or ".join(f"`{lever.typed(steps)}`" for lever in levers)


def _spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
