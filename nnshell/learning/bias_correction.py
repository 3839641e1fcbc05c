"""Bias correction: take back the shift that rounded weights and inputs give every channel.

The mean of what a filter makes differs between integers and floats, because rounding errors of
weights meet inputs that are not centred on 0. The difference of the means goes into the bias
(M. Nagel et al., "Data-free quantization through weight equalization and bias correction", 2019):

    empirical   b' = b + W E[x_float] - W_q E[x_quantized]    over samples, one filter after the
                                                              other, after those corrected before
    analytic    b' = b + (W - W_q) E[x]                       E[x] from batch norms and a Gaussian
                                                              assumption (``channel_moments``)

A correction by samples that makes the network's output noisier is left out: where clipped weights
shrink what is far below 0, the means come closer and the answers do not.
The float graph keeps its biases; the new ones count when it is quantized.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.experiments.bench import Bench
from nnshell.inputs.input_set import Batch
from nnshell.ir.flat import FlatGraph, Item
from nnshell.ir.graph import Graph
from nnshell.ir.requests import ChosenFilter
from nnshell.learning.channel_moments import channel_moments, taps_mean
from nnshell.learning.rows import by_group, filter_constants, rows_of
from nnshell.learning.trial import Trial
from nnshell.quantization import Basis, Learned
from nnshell.support.errors import QuantizationError

Done = Callable[[int], None]


def corrected_by_means(
    graph: Graph, basis: Basis, batches: Sequence[Batch], progress: Done | None = None
) -> Learned:
    """Biases of all filters, from the quantization that the graph has, by means over samples."""
    trial, bench = Trial(graph, basis, batches), Bench(graph, basis, batches)
    least = bench.try_basis(trial.basis).noise
    for path in [item.path for item in trial.filters()]:
        flat = trial.flat
        item = flat.by_path[path]
        source = item.inputs[0]
        real = _means(item, trial.tensors("float", [source])[source])
        read = _means(item, trial.tensors("simulated", [source])[source])
        result = Learned({path: _corrected(flat, item, real, read)})
        noise = bench.try_basis(trial.basis.with_learned(result)).noise
        if noise < least:
            least = noise
            trial.learn(result)
        if progress is not None:
            progress(1)
    return trial.found


def corrected_analytically(graph: Graph, basis: Basis) -> Learned:
    """Biases of the filters whose inputs' means are known without samples."""
    trial = Trial(graph, basis, None)
    flat = trial.flat
    known = channel_moments(flat, basis.statistics)
    results = {}
    for item in trial.filters():
        if item.inputs[0] in known:
            means = taps_mean(item, known[item.inputs[0]], filter_constants(flat, item)[0])
            results[item.path] = _corrected(flat, item, means, means)
    if not results:
        raise QuantizationError(
            "the mean of no filter's input follows from the graph",
            where=graph.name,
            hint="bcorr IMAGES measures it",
        )
    return Learned(results)


def _means(item: Item, batches: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """(groups, taps)"""
    means: NDArray[np.float64] = rows_of(item, batches).mean(axis=1, dtype=np.float64)
    return means


def _corrected(
    flat: FlatGraph, item: Item, real: NDArray[np.float64], read: NDArray[np.float64]
) -> ChosenFilter:
    weights, bias = filter_constants(flat, item)
    quantization = item.node.quantization
    assert quantization is not None
    record = quantization.inputs[1]
    integers = record.dequantize(quantization.kernel.weights).reshape(weights.shape)
    expected = np.einsum("grt,gt->gr", by_group(item, weights), real)
    result = np.einsum("grt,gt->gr", by_group(item, integers), read)
    return ChosenFilter(
        record.bits, bias=(bias + (expected - result).reshape(-1)).astype(np.float32)
    )
