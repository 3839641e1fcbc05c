"""What a user can choose about training; needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nnshell.ir.qparams import INT8_BITS
from nnshell.quantization.options import BITS
from nnshell.support.errors import UsageError

QUANTIZERS = ("lsq", "lsq+", "qat", "dorefa", "pact", "none")
LOSSES = ("auto", "cross_entropy", "distill", "mse", "vae")
SCHEDULES = ("cosine", "step", "constant")
OPTIMIZERS = ("adam", "sgd")
RATES = {"adam": 3e-4, "sgd": 1e-2}
TANH_WEIGHTS = ("dorefa", "pact")  # quantizers whose weights are on DoReFa's grid
_ACCEPTED: dict[str, tuple[Any, ...]] = {
    "quantizer": QUANTIZERS,
    "loss": LOSSES,
    "schedule": SCHEDULES,
    "optimizer": OPTIMIZERS,
    "weight_bits": BITS,
    "act_bits": BITS,
    "end_bits": BITS,
    "gradient_bits": (0, 2, 3, 4, 5, 6, 7, INT8_BITS),
}
_POSITIVE = ("epochs", "batch", "rate", "temperature")
_NOT_NEGATIVE = ("warm_up", "patience", "weight_decay", "momentum", "crop", "clip_norm", "seed")
_SHARES = ("held_out", "label_smoothing")


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How to train; values that do not exist raise UsageError.

    ``end_bits`` are the weight bits of the first and the last filter. ``nodes`` holds other
    quantization options for single nodes, as those of ``QuantizationOptions``. ``rate`` None is
    the optimizer's default; in ``warm_up`` epochs it grows to its value. Training ends after
    ``patience`` epochs without progress, 0 never. Images are moved by ``crop`` pixels at most.
    ``temperature`` softens answers in distillation. ``gradient_bits`` are DoReFa's, 0 for none.
    """

    quantizer: str = "lsq"
    weight_bits: int = INT8_BITS
    act_bits: int = INT8_BITS
    end_bits: int = INT8_BITS
    epochs: int = 1
    batch: int = 64
    rate: float | None = None
    optimizer: str = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "cosine"
    warm_up: float = 0.0
    patience: int = 0
    loss: str = "auto"
    label_smoothing: float = 0.0
    temperature: float = 4.0
    crop: int = 0
    flip: bool = False
    held_out: float = 0.1
    clip_norm: float = 5.0
    gradient_bits: int = 0
    seed: int = 0
    nodes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, accepted in _ACCEPTED.items():
            if getattr(self, name) not in accepted:
                _refuse(name, getattr(self, name), f"one of {', '.join(map(str, accepted))}")
        for name in (*_POSITIVE, *_NOT_NEGATIVE, *_SHARES):
            self._check_number(name)
        if self.gradient_bits and self.quantizer != "dorefa":
            raise UsageError("gradients are quantized by dorefa only", hint="--quantizer dorefa")

    def _check_number(self, name: str) -> None:
        value = getattr(self, name)
        if value is None:
            return
        if not math.isfinite(value) or value < 0 or (name in _POSITIVE and not value):
            _refuse(name, value, "above 0" if name in _POSITIVE else "0 or more")
        if name in _SHARES and value >= 1:
            _refuse(name, value, "below 1")

    @property
    def learning_rate(self) -> float:
        """The highest rate, the optimizer's default unless it was chosen."""
        return RATES[self.optimizer] if self.rate is None else self.rate

    @property
    def quantized(self) -> bool:
        """Whether anything is rounded in training."""
        return self.quantizer != "none"

    def stored_bits(self, bits: int) -> int:
        """Bits of the integers that weights of so many bits become.

        DoReFa's grid of k bits has no zero: its values are odd multiples of half a step, which take
        k + 1 bits around a zero point of 0. At 8 bits the grid is that of int8, which has a zero.
        """
        return bits + 1 if self.quantizer in TANH_WEIGHTS and bits < INT8_BITS else bits


def _refuse(name: str, value: object, accepted: str) -> None:
    raise UsageError(f"{name} does not take {str(value)[:40]!r}", hint=f"{name} is {accepted}")


def rate_at(options: TrainingOptions, epoch: float) -> float:
    """The share of the learning rate at a time in epochs: warm-up, then the schedule's fall.

    ``cosine`` falls to 0 as (1 + cos(pi t)) / 2, ``step`` to a tenth after half of the time and to
    a hundredth after three quarters.
    """
    if epoch < options.warm_up:
        return max(epoch / options.warm_up, 0.01)
    part = (epoch - options.warm_up) / max(options.epochs - options.warm_up, 1e-9)
    if options.schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * min(part, 1.0)))
    if options.schedule == "step":
        return 1.0 if part < 0.5 else 0.1 if part < 0.75 else 0.01
    return 1.0
