"""What training makes small, and what a run is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import torch
import torch.nn.functional as F

from nnshell.learning.training.model import TrainedModel
from nnshell.learning.training.options import TrainingOptions
from nnshell.learning.training.samples import StoredSamples
from nnshell.support.errors import InputError, UsageError

Tensor: TypeAlias = torch.Tensor


class Loss(Protocol):
    """Computes on a model what a batch costs."""

    counts_hits: bool  # whether the second number is how many answers are right

    def __call__(
        self, model: TrainedModel, inputs: Sequence[Tensor], labels: Tensor
    ) -> tuple[Tensor, int]:
        """The mean loss of the batch, and how many of its answers are right."""


class CrossEntropy:
    """Cross-entropy of the first output against labels, before a softmax at the graph's end."""

    counts_hits = True

    def __init__(self, smoothing: float) -> None:
        self.smoothing = smoothing

    def __call__(
        self, model: TrainedModel, inputs: Sequence[Tensor], labels: Tensor
    ) -> tuple[Tensor, int]:
        logits = _flat(model.run(inputs, model.before_softmax()[:1])[0])
        smoothing = self.smoothing if model.training else 0.0
        loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        return loss, int((logits.argmax(dim=1) == labels).sum())


class Distillation:
    """Kullback-Leibler divergence from the float model's answers; labels only count hits.

    Both are softened by a temperature T, and the loss is multiplied by T^2 (G. Hinton et al.,
    "Distilling the knowledge in a neural network", 2015).

    Outputs that are no classes' scores (no softmax, more than one output) are compared by their
    squared difference relative to the float model's power.
    """

    def __init__(
        self, teacher: TrainedModel, classes: bool, labelled: bool, temperature: float
    ) -> None:
        self.teacher, self.classes, self.temperature = teacher, classes, temperature
        self.counts_hits = classes and labelled

    def __call__(
        self, model: TrainedModel, inputs: Sequence[Tensor], labels: Tensor
    ) -> tuple[Tensor, int]:
        with torch.no_grad():
            expected = self.teacher.run(inputs, self.teacher.before_softmax())
        results = model.run(inputs, model.before_softmax())
        if not self.classes:
            pairs = zip(results, expected, strict=True)
            return sum((_relative(a, b) for a, b in pairs), torch.zeros(())), 0
        logits, scores = _flat(results[0]), _flat(expected[0])
        loss = F.kl_div(
            F.log_softmax(logits / self.temperature, 1),
            F.log_softmax(scores / self.temperature, 1),
            reduction="batchmean",
            log_target=True,
        )
        return loss * self.temperature**2, int((logits.argmax(dim=1) == labels).sum())


class SquaredError:
    """Mean squared difference of the first output from the first input (auto-encoders)."""

    counts_hits = False

    def __call__(
        self, model: TrainedModel, inputs: Sequence[Tensor], labels: Tensor
    ) -> tuple[Tensor, int]:
        return F.mse_loss(_flat(model(*inputs)[0]), _flat(inputs[0])), 0


class Reconstruction:
    """A variational auto-encoder's: binary cross-entropy plus KL divergence, summed per sample.

    Outputs are the reconstruction (probabilities), the mean and the log of the variance, in this
    order. In training the noise, the graph's second input, is drawn from a normal distribution.
    """

    counts_hits = False

    def __call__(
        self, model: TrainedModel, inputs: Sequence[Tensor], labels: Tensor
    ) -> tuple[Tensor, int]:
        given = [inputs[0], *(torch.randn_like(x) if model.training else x for x in inputs[1:])]
        result, mean, log_variance = model(*given)[:3]
        target = _flat(inputs[0])
        made = _flat(result).clamp(1e-6, 1 - 1e-6)
        entropy = F.binary_cross_entropy(made, target, reduction="sum")
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
        return (entropy + divergence) / len(target), 0


def loss_of(
    options: TrainingOptions,
    model: TrainedModel,
    teacher: TrainedModel | None,
    samples: StoredSamples,
) -> Loss:
    """The loss that options name; ``auto`` is cross-entropy where all samples have labels.

    Raises InputError or UsageError when labels or outputs do not fit.
    """
    name = options.loss
    classes = model.flat.graph.outputs[0].outputs[0].size
    if name == "auto":
        name = "cross_entropy" if samples.labelled else "distill"
    if name == "cross_entropy":
        _check_labels(samples, classes)
        return CrossEntropy(options.label_smoothing)
    if name == "distill":
        if teacher is None:
            raise UsageError(
                "there is no float model to learn from: it is what is trained",
                hint="give labels, or choose another --loss",
            )
        alone = len(model.outputs) == 1 and classes > 1
        return Distillation(teacher, alone, samples.labelled, options.temperature)
    if name == "vae":
        if len(model.outputs) < 3:
            raise UsageError(
                f"loss vae needs reconstruction, mean and log of the variance, not "
                f"{len(model.outputs)} outputs"
            )
        return Reconstruction()
    return SquaredError()


def _check_labels(samples: StoredSamples, classes: int) -> None:
    if not samples.labelled:
        raise InputError(
            "not every sample has a label",
            hint="use a folder for each class, names that end in _N, or --loss distill",
        )
    if samples.largest_label >= classes:
        raise InputError(f"label {samples.largest_label} for an output of {classes} classes")


def _flat(values: Tensor) -> Tensor:
    return values.reshape(len(values), -1)


def _relative(result: Tensor, expected: Tensor) -> Tensor:
    return (result - expected).square().mean() / (expected.square().mean() + 1e-12)
