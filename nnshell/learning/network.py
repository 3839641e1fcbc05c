"""All layers learned at once with gradients (``adaround --method network``); needs torch.

What is there moves together by Adam: roundings of weights, each within a step of where it began,
steps of weights and activations, and biases. Nothing but the float graph's own values on
unlabelled samples says what is wanted: the squared difference relative to the power, at the graph's
end and, as few samples say too little there, after every block before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from nnshell.inputs.input_set import Batch
from nnshell.ir.flat import FlatGraph, Tensor
from nnshell.ir.graph import Graph
from nnshell.learning.block_model import BlockModel
from nnshell.learning.blocks import Block, all_blocks, blocks_of
from nnshell.learning.reconstruct import optimizer_of
from nnshell.learning.trial import Trial
from nnshell.quantization import Basis, Learned
from nnshell.quantization.solving.groups import group_tensors

_BATCH = 32
_RATES = {"units": 1e-2, "change": 1e-2, "bias": 1e-3}  # of Adam; units are steps of the weights
_REACH = 1.0  # steps that a rounding may move
_FACTOR = math.log(4.0)  # of a step, either way: one that nothing is rounded by could run away
_NO_POWER = 1e-20
_INNER = 3.0  # what all blocks but the last weigh together, the graph's end being 1


def learn_network(
    graph: Graph,
    basis: Basis,
    batches: Sequence[Batch],
    iterations: int,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Learned:
    """Roundings, steps and biases of all blocks; ``progress`` is called for each iteration."""
    trial = Trial(graph, basis, batches)
    flat = trial.flat
    blocks = blocks_of(flat)
    if not blocks:
        return trial.found
    block = all_blocks(flat, blocks)
    model = BlockModel(flat, group_tensors(flat), block, trial.basis.learned)
    weights = _weights(flat, block, [entry.output for entry in blocks])
    samples = _Samples(trial, block, list(weights))
    optimizer, schedule = optimizer_of(model, _RATES, iterations)
    starts = [part.units.detach().clone() for part in model.filters.values()]
    for chosen in _draws(len(samples), iterations, seed):
        value, expected = samples.take(chosen)
        outputs = model.run(value, list(weights))
        loss = relative_error(outputs, expected, list(weights.values()))
        optimizer.zero_grad()
        loss.backward()
        if bool(torch.isfinite(loss)):
            optimizer.step()
        schedule.step()
        _hold(model, starts)
        if progress is not None:
            progress(1)
    filters = {path: part.chosen() for path, part in model.filters.items() if part.integral}
    return Learned(filters, model.ranges())


class _Samples:
    """What the blocks read when the graph is quantized, and what they shall make, by sample.

    Only the graph's inputs are held; the rest is computed for the few samples that are asked for.
    """

    def __init__(self, trial: Trial, block: Block, ends: Sequence[Tensor]) -> None:
        columns = zip(*(batch.arrays for batch in trial.batches), strict=True)
        self._arrays = [np.concatenate(column) for column in columns]
        self._given = trial.runner("simulated", block.inputs)
        self._wanted = trial.runner("float", ends)

    def __len__(self) -> int:
        return len(self._arrays[0])

    def take(self, chosen: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        arrays = [array[chosen.numpy()] for array in self._arrays]
        values = [torch.from_numpy(x.astype(np.float32)) for x in self._given(arrays)]
        return values, [torch.from_numpy(x.astype(np.float32)) for x in self._wanted(arrays)]


def _weights(flat: FlatGraph, block: Block, ends: Sequence[Tensor]) -> dict[Tensor, float]:
    """How much the error of each end counts: those that nothing here reads are the graph's."""
    paths = {item.path for item in block.items}
    last = {t for t in ends if not any(r.item.path in paths for r in flat.readers[t])}
    inner = _INNER / max(1, len(ends) - len(last))
    return {tensor: 1.0 if tensor in last else inner for tensor in ends}


def _draws(count: int, iterations: int, seed: int) -> list[torch.Tensor]:
    """Samples of each iteration: all of them in one order, then in another."""
    generator = torch.Generator().manual_seed(seed)
    orders = -(-iterations * _BATCH // count)
    drawn = torch.cat([torch.randperm(count, generator=generator) for _ in range(orders)])
    return list(drawn[: iterations * _BATCH].split(_BATCH))


def relative_error(
    made: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor], weights: Sequence[float]
) -> torch.Tensor:
    """Squared differences; of an end that is zero for all samples nothing is to be learned."""
    total = torch.zeros((), requires_grad=True)
    for result, target, weight in zip(made, wanted, weights, strict=True):
        power = float(target.square().sum())
        if power > _NO_POWER:
            total = total + weight * (result - target).square().sum() / power
    return total


def _hold(model: BlockModel, starts: Sequence[torch.Tensor]) -> None:
    with torch.no_grad():
        for part, start in zip(model.filters.values(), starts, strict=True):
            part.units.clamp_(start - _REACH, start + _REACH)
        for name, parameter in model.named_parameters():
            if name.endswith("change"):
                parameter.clamp_(-_FACTOR, _FACTOR)
