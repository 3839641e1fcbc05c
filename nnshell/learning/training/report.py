"""What a run of training tells; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch (0: before training): means over samples; accuracies are shares, None uncounted.

    ``loss`` and ``accuracy`` are of the training samples while they were trained on; the others
    of those held out.
    """

    number: int
    loss: float | None
    accuracy: float | None
    held_out_loss: float
    held_out_accuracy: float | None
    seconds: float

    def better_than(self, other: Epoch, by_loss: bool) -> bool:
        """Whether the loss is less, or more answers are right, or as many at less loss."""
        mine, others = self.held_out_accuracy or 0.0, other.held_out_accuracy or 0.0
        if by_loss or mine == others:
            return self.held_out_loss < other.held_out_loss
        return mine > others


@dataclass(frozen=True, slots=True)
class Moment:
    """After a step: its samples, the epoch's means so far, and the time that is left."""

    epoch: int
    samples: int
    loss: float
    accuracy: float | None
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Training:
    """What training came to: the epochs, and the one whose values the graph has (0: unchanged)."""

    quantizer: str
    epochs: tuple[Epoch, ...]
    best: int
    interrupted: bool
    trained_on: int
    held_out: int
    planned: int
    loss: str = ""

    @property
    def applied(self) -> bool:
        """Whether the graph was changed: trained, or at least quantized as in training."""
        return self.best > 0 or (self.quantizer != "none" and not self.interrupted)
