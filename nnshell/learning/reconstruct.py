"""Learned rounding block by block with gradients (``adaround --method brecq``); needs torch.

Each block of the quantized graph, fed with what the blocks before it make, is brought close to what
the float graph makes at its end: roundings, steps of weights and activations and biases are moved
together by Adam, against the mean squared difference on unlabelled samples (M. Nagel et al., "Up or
down? Adaptive rounding", 2020; Y. Li et al., "BRECQ", 2021). A share of the activations stays
unrounded in each step, at random (X. Wei et al., "QDrop", 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nnshell.inputs.input_set import Batch
from nnshell.ir.graph import Graph
from nnshell.learning.block_model import BlockModel
from nnshell.learning.blocks import blocks_of
from nnshell.learning.trial import Trial
from nnshell.quantization import Basis, Learned
from nnshell.quantization.solving.groups import group_tensors

_BATCH = 16
_RATES = {"units": 1e-2, "change": 1e-3, "bias": 1e-3}  # of Adam; units are steps of the weights


@dataclass(frozen=True, slots=True)
class Training:
    """How long and how."""

    iterations: int = 200
    drop: float = 0.5  # probability that an activation stays unrounded
    seed: int = 0


def learn_blocks(
    graph: Graph,
    basis: Basis,
    batches: Sequence[Batch],
    training: Training,
    progress: Callable[[int], None] | None = None,
) -> Learned:
    """Roundings, steps and biases of all blocks, each after the ones before it."""
    trial = Trial(graph, basis, batches)
    torch.manual_seed(training.seed)  # of what stays unrounded
    generator = torch.Generator().manual_seed(training.seed)
    for number in range(len(blocks_of(trial.flat))):
        _learn_block(trial, number, training, generator)
        if progress is not None:
            progress(1)
    return trial.found


def _learn_block(trial: Trial, number: int, training: Training, generator: torch.Generator) -> None:
    flat = trial.flat
    block = blocks_of(flat)[number]
    model = BlockModel(flat, group_tensors(flat), block, trial.basis.learned)
    value = trial.tensors("simulated", block.inputs)
    inputs = [_joined(value[tensor]) for tensor in block.inputs]
    expected = _joined(trial.tensors("float", [block.output])[block.output])
    before = _error(model, inputs, expected)
    if before == 0.0:
        return
    _train(model, inputs, expected, training, generator)
    if _error(model, inputs, expected) < before:
        chosen = {p: part.chosen() for p, part in model.filters.items() if part.integral}
        trial.learn(Learned(chosen, model.ranges()))


def _joined(batches: Sequence[NDArray[Any]]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(batches).astype(np.float32))


def _error(model: BlockModel, inputs: Sequence[torch.Tensor], expected: torch.Tensor) -> float:
    """Squared difference from what is wanted, over all samples."""
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(expected), 4 * _BATCH):
            part = slice(start, start + 4 * _BATCH)
            total += float((model([x[part] for x in inputs]) - expected[part]).square().sum())
    return total


def _train(
    model: BlockModel,
    inputs: Sequence[torch.Tensor],
    expected: torch.Tensor,
    training: Training,
    generator: torch.Generator,
) -> None:
    optimizer, schedule = optimizer_of(model, _RATES, training.iterations)
    power = float(expected.square().mean()) + 1e-30
    for _ in range(training.iterations):
        chosen = torch.randint(0, len(expected), (_BATCH,), generator=generator)
        result = model([x[chosen] for x in inputs], training.drop)
        loss = (result - expected[chosen]).square().mean() / power
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def optimizer_of(
    model: BlockModel, rates: Mapping[str, float], iterations: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Adam with a rate for each kind of parameter, which falls to zero as a cosine does."""
    groups = [
        {"params": [p for n, p in model.named_parameters() if n.endswith(name)], "lr": rate}
        for name, rate in rates.items()
    ]
    optimizer = torch.optim.Adam(groups)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
