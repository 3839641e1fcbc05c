"""Bias correction: take back the shift that rounded weights and inputs give every channel.

The mean of what a filter makes differs between integers and floats, because rounding errors of
weights meet inputs that are not centred on 0. For one filter after the other, in their order, the
difference of the means over samples is added to the bias (M. Nagel et al., "Data-free quantization
through weight equalization and bias correction", 2019, the empirical form). A correction that makes
the network's output noisier is left out: where clipped weights shrink what is far below 0, the
means come closer and the answers do not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.edits import requantized
from nnshell.engines import Engine, make_engine
from nnshell.errors import GraphError, QuantizationError
from nnshell.inputs.input_set import Batch
from nnshell.ir.flat import Item, flatten
from nnshell.ir.graph import Graph, Step
from nnshell.ir.operator import Constant
from nnshell.ir.qparams import FLOAT_BITS
from nnshell.laboratory import Bench
from nnshell.ops.filter_kernel import FilterKernel
from nnshell.quantization import QuantizationOptions, quantize_graph
from nnshell.recipe import recorded

_BIAS = 2  # input of a filter


def filters(graph: Graph) -> list[Item]:
    """Filters whose bias is a constant of the graph, in order."""
    found = []
    for item in flatten(graph).items:
        made = item.node.quantization
        if made is None or not isinstance(made.kernel, FilterKernel) or not made.constants:
            continue
        if isinstance(graph[item.inputs[_BIAS].path].op, Constant):
            found.append(item)
    return found


def corrected_biases(
    graph: Graph, batches: Sequence[Batch], progress: Callable[[int], None] | None = None
) -> dict[str, NDArray[np.float32]]:
    """New biases by the name of their constant, from the quantization that the graph has."""
    if not graph.quantized or graph.statistics is None:
        raise QuantizationError(
            "the graph is not quantized", where=graph.name, hint="run aquant IMAGES first"
        )
    options = graph.quantization_options or QuantizationOptions()
    chosen, twin = filters(graph), graph.copy()
    floats = make_engine(graph, "float", keys=[item.path for item in chosen])
    wanted = _means(floats, batches, [item.path for item in chosen])
    found: dict[str, NDArray[np.float32]] = {}
    bench = Bench(graph, batches)
    least = bench.try_options(options).noise
    for item in chosen:
        bare = options.with_node(item.path, {"act_bits": FLOAT_BITS})  # its sums, not rounded
        quantize_graph(twin, graph.statistics, bare)
        engine = make_engine(twin, "simulated", keys=[item.path])
        shift = wanted[item.path] - _means(engine, batches, [item.path])[item.path]
        name = item.inputs[_BIAS].path
        before = _value(twin, name)
        corrected = (before + shift).astype(np.float32)
        _replace(twin, name, corrected)
        noise = bench.try_options(options, twin).noise
        if noise < least:
            least, found[name] = noise, corrected
        else:
            _replace(twin, name, before)
        if progress is not None:
            progress(1)
    return found


def apply_biases(graph: Graph, biases: Mapping[str, Sequence[float] | NDArray[Any]]) -> None:
    """Give the graph these biases, and quantize it again if it was; recorded in its recipe."""
    plain = {name: [float(value) for value in values] for name, values in biases.items()}
    with recorded(graph, "bcorr", {"biases": plain}), requantized(graph):
        for name, values in plain.items():
            _replace(graph, name, np.array(values, np.float32))


def replay_bias_correction(graph: Graph, step: Step) -> None:
    biases = step.options.get("biases")
    if not isinstance(biases, dict):
        raise GraphError("a bcorr step without its biases")
    apply_biases(graph, biases)


def _replace(graph: Graph, name: str, value: NDArray[np.float32]) -> None:
    if _value(graph, name).shape != value.shape or not np.isfinite(value).all():
        raise GraphError("the corrected bias does not fit", where=f"constant {name}")
    node = graph[name].copy()
    node.op = Constant(value)
    graph.nodes[name] = node


def _value(graph: Graph, name: str) -> NDArray[Any]:
    op = graph[name].op
    if not isinstance(op, Constant):
        raise GraphError("it is not a constant", where=f"node {name}")
    return op.value


def _means(
    engine: Engine, batches: Sequence[Batch], keys: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """Mean of every channel, over samples and places."""
    sums: dict[str, Any] = dict.fromkeys(keys, 0.0)
    count = 0
    for batch in batches:
        made = engine.run(batch.arrays)
        count += len(batch)
        for key in keys:
            array = made[key].reshape(*made[key].shape[:2], -1)
            sums[key] = sums[key] + array.mean(axis=2, dtype=np.float64).sum(axis=0)
    return {key: total / max(count, 1) for key, total in sums.items()}
