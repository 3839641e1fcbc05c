"""A run of training: the loop, what it reports, when it ends, how it goes on after it was killed.

What a step does follows from the options, the epoch and the step alone; a checkpoint holds the
rest. So a run that is killed and resumed ends with the numbers of one that was not.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nnshell.learning.training.checkpoint import Checkpoint
from nnshell.learning.training.losses import Loss
from nnshell.learning.training.model import TrainedModel
from nnshell.learning.training.options import TrainingOptions, rate_at
from nnshell.learning.training.report import Epoch, Moment
from nnshell.learning.training.samples import (
    Augmentation,
    Draw,
    StoredSamples,
    in_order,
    shares_of,
    steps_of,
)
from nnshell.support.errors import QuantizationError

_JUDGING_BATCH = 128
_TELLING = 100  # fewer samples tell more by their loss than by how many are right
_CHECKPOINT_SECONDS = 60.0


@dataclass(slots=True)
class _State:
    """Where a run is, beside its tensors."""

    epoch: int = 1  # that is under way, from 1
    step: int = 0  # steps of it that are done
    loss: float = 0.0  # sum over its samples so far
    hits: int = 0
    seen: int = 0
    seconds: float = 0.0  # spent on it before this program began
    best: int = 0  # epoch, 0 the start
    history: list[dict[str, Any]] = field(default_factory=list)


class Run:
    """Trains ``model`` on ``samples``; afterwards it is what was best on those held out.

    ``report`` is called after every epoch and, with number 0, before the first; ``watch`` after
    every step. ``checkpoint`` is a file that is written every minute and after every epoch.
    """

    def __init__(
        self,
        model: TrainedModel,
        loss: Loss,
        samples: StoredSamples,
        options: TrainingOptions,
        *,
        report: Callable[[Epoch], None] | None = None,
        watch: Callable[[Moment], None] | None = None,
        checkpoint: Path | None = None,
    ) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model, self.loss = model.to(self.device), loss
        self.samples, self.options = samples, options
        self.shares = shares_of(len(samples), options.held_out, options.seed)
        self._report, self._watch, self._checkpoint = report, watch, checkpoint
        self._augmentation = Augmentation(options.crop, options.flip, options.seed)
        self._augmentation.check(samples.types)
        self._optimizer = _optimizer(model, options)
        self._rates = [group["lr"] for group in self._optimizer.param_groups]
        self._state = _State()
        self._best = self._copied()
        self._began = self._written = time.monotonic()
        self.interrupted = False

    # -- the loop --------------------------------------------------------------------------

    def train(self, *, resume: bool = False) -> list[Epoch]:
        """All epochs, or those that are left; Ctrl-C ends with the best so far."""
        try:
            if resume and self._checkpoint is not None and self._checkpoint.exists():
                self._restore(Checkpoint.read(self._checkpoint, self._key()))
            else:
                self._finish_epoch(Epoch(0, None, None, *self.judge(), 0.0))
            while self._state.epoch <= self.options.epochs and not self._is_stuck():
                self._train_epoch()
        except KeyboardInterrupt:
            self.interrupted = True
        self.model.load_state_dict(self._best)
        return [Epoch(**entry) for entry in self._state.history]

    @property
    def best(self) -> int:
        """The epoch whose values the model has, 0 for those it began with."""
        return self._state.best

    def _is_stuck(self) -> bool:
        done, patience = self._state.epoch - 1, self.options.patience
        return bool(patience) and done - self._state.best >= patience

    def _train_epoch(self) -> None:
        state, options = self._state, self.options
        self._began = time.monotonic()
        steps = steps_of(self.shares.training, options.batch, options.seed, state.epoch)
        self.model.train()
        for number in range(state.step, len(steps)):
            self._train_step(steps[number], number, len(steps))
            if self._watch is not None:
                self._watch(self._moment(number + 1, len(steps), len(steps[number])))
            if time.monotonic() - self._written > _CHECKPOINT_SECONDS:
                self._write()
        spent = state.seconds + time.monotonic() - self._began
        accuracy = state.hits / state.seen if self.loss.counts_hits else None
        judged = self.judge()
        entry = Epoch(state.epoch, state.loss / state.seen, accuracy, *judged, spent)
        self._state = _State(state.epoch + 1, best=state.best, history=state.history)
        self._finish_epoch(entry)

    def _train_step(self, rows: NDArray[np.int64], number: int, count: int) -> None:
        state, options = self._state, self.options
        torch.manual_seed(_seed_of(options.seed, state.epoch, number))
        draw = self._augmentation.apply(
            self.samples.take(rows), self.samples.types, state.epoch, number
        )
        part = rate_at(options, state.epoch - 1 + number / count)
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * part
        loss, hits = self.loss(self.model, *self._tensors(draw))
        self._optimizer.zero_grad()
        loss.backward()
        if options.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), options.clip_norm)
        value = float(loss.detach())
        if not np.isfinite(value):
            raise QuantizationError(
                f"the loss is no number any more, in epoch {state.epoch}, step {number + 1}",
                hint="use a smaller --lr, or --warm_up 1",
            )
        self._optimizer.step()
        state.step, state.seen = number + 1, state.seen + len(draw)
        state.loss, state.hits = state.loss + value * len(draw), state.hits + hits

    def _moment(self, step: int, steps: int, samples: int) -> Moment:
        state = self._state
        spent = state.seconds + time.monotonic() - self._began
        left = (self.options.epochs - state.epoch) * steps + steps - step
        accuracy = state.hits / state.seen if self.loss.counts_hits else None
        return Moment(state.epoch, samples, state.loss / state.seen, accuracy, spent / step * left)

    def _finish_epoch(self, entry: Epoch) -> None:
        state = self._state
        entries = [Epoch(**known) for known in state.history]
        by_loss = len(self.shares.held_out) < _TELLING
        if entries and entry.better_than(entries[state.best], by_loss):
            state.best, self._best = entry.number, self._copied()
        state.history.append(asdict(entry))
        self._write()
        if self._report is not None:
            self._report(entry)

    def judge(self) -> tuple[float, float | None]:
        """Mean loss and share of right answers (None where it is not counted), held out."""
        self.model.eval()
        total, hits = 0.0, 0
        with torch.no_grad():
            for rows in in_order(self.shares.held_out, _JUDGING_BATCH):
                draw = self.samples.take(rows)
                loss, right = self.loss(self.model, *self._tensors(draw))
                total, hits = total + float(loss) * len(draw), hits + right
        count = len(self.shares.held_out)
        return total / count, hits / count if self.loss.counts_hits else None

    def _tensors(self, draw: Draw) -> tuple[list[torch.Tensor], torch.Tensor]:
        arrays = [torch.from_numpy(array).to(self.device) for array in draw.arrays]
        return arrays, torch.from_numpy(draw.labels).to(self.device)

    def _copied(self) -> dict[str, torch.Tensor]:
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    # -- checkpoints -----------------------------------------------------------------------

    def _key(self) -> str:
        """What must be equal for a run to go on: options, graph, samples."""
        digest = hashlib.sha256(repr(sorted(asdict(self.options).items())).encode())
        digest.update(repr([len(self.samples), self.samples.types]).encode())
        digest.update(self.samples.take(np.array([0, len(self.samples) - 1])).arrays[0].tobytes())
        for name, value in self._shapes.items():
            digest.update(f"{name} {value}".encode())
        return digest.hexdigest()

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(value.shape) for name, value in self.model.state_dict().items()}

    def _write(self) -> None:
        if self._checkpoint is None:
            return
        now = time.monotonic()
        self._state.seconds += now - self._began if self._state.step else 0.0
        self._began = self._written = now
        arrays = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        arrays |= {f"best/{name}": value for name, value in self._best.items()}
        arrays |= {
            f"optimizer/{place}/{name}": value
            for place, parameter in enumerate(self._parameters())
            for name, value in self._optimizer.state.get(parameter, {}).items()
            if isinstance(value, torch.Tensor)
        }
        stored = {name: value.detach().cpu().numpy() for name, value in arrays.items()}
        Checkpoint(self._key(), asdict(self._state), stored).write(self._checkpoint)

    def _restore(self, checkpoint: Checkpoint) -> None:
        self._state = _State(**checkpoint.values)
        tensors = {
            name: torch.from_numpy(np.array(value)).to(self.device)
            for name, value in checkpoint.arrays.items()
        }
        self.model.load_state_dict(_below("model", tensors))
        self._best = _below("best", tensors)
        for place, parameter in enumerate(self._parameters()):
            entries = _below(f"optimizer/{place}", tensors)
            if entries:
                self._optimizer.state[parameter] = entries

    def _parameters(self) -> list[torch.nn.Parameter]:
        return [p for group in self._optimizer.param_groups for p in group["params"]]


def _below(start: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    prefix = f"{start}/"
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _seed_of(seed: int, epoch: int, step: int) -> int:
    return int(np.random.SeedSequence([seed, 4, epoch, step]).generate_state(1)[0])


def _optimizer(model: TrainedModel, options: TrainingOptions) -> torch.optim.Optimizer:
    """Each parameter in a group of its own kind: rate and decay differ.

    Adam moves every parameter by the same amount whatever its gradient, so what quantizers learn
    moves in proportion to its size. Of those only PACT's alpha decays, as its paper has it.
    """
    groups = []
    biases = model.biases()
    for name, parameter in model.named_parameters():
        kind = name.rpartition(".")[2]
        is_value = name.startswith("values.")
        decays = (is_value and parameter not in biases) or kind == "alpha"
        size = 1.0
        if not is_value and options.optimizer == "adam":
            size = float(parameter.detach().abs().mean()) or 1e-3
        groups.append(
            {
                "params": [parameter],
                "lr": options.learning_rate * size,
                "weight_decay": options.weight_decay if decays else 0.0,
            }
        )
    if options.optimizer == "adam":
        return torch.optim.AdamW(groups)
    return torch.optim.SGD(groups, momentum=options.momentum)
