"""Which nodes quantization hurts, and which change to one of them helps; no training.

All candidates run on the simulated engine, on copies of the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nnshell.experiments.bench import Bench, Done, Outcome, Trials
from nnshell.experiments.steps import FLOAT_NODE, computing_steps, weights_of, with_nodes
from nnshell.inputs.input_set import Batch
from nnshell.ir.graph import Graph
from nnshell.ir.qparams import INT8_BITS
from nnshell.quantization import Basis, QuantizationOptions

_WORTH = 0.97  # of the noise that is left when a change to one node is worth naming


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """One node: alone quantized while all others are float, and the other way round."""

    node: str
    kind: str
    weights: int
    alone: Outcome
    without: Outcome


@dataclass(frozen=True, slots=True)
class Advice:
    """A change to a node's options, and what the whole graph makes of it."""

    node: str
    change: Mapping[str, Any]
    before: Outcome
    after: Outcome


def sensitivity(
    graph: Graph,
    basis: Basis,
    batches: Sequence[Batch],
    progress: Done | None = None,
    trials: Trials | None = None,
) -> list[Sensitivity]:
    """Every node that computes, the one that does most harm alone first.

    Bits and clip types are those of ``basis``. ``trials`` measures the
    candidates elsewhere, as on a cluster.
    """
    options, steps = basis.options, computing_steps(graph)
    tried: list[QuantizationOptions] = []
    for name, items in steps.items():
        local = options.for_node(items[0].path)
        own = {"weight_bits": local.weight_bits, "act_bits": local.act_bits}
        tried += [
            with_nodes(options, {"*": FLOAT_NODE, name: own}),
            options.with_node(name, FLOAT_NODE),
        ]
    run = trials or Bench(graph, basis, batches).try_all
    outcomes = run(tried, progress)
    results = []
    for index, (name, items) in enumerate(steps.items()):
        alone, without = outcomes[2 * index : 2 * index + 2]
        kind = graph[name].kind if graph[name].body is None else items[0].node.kind
        results.append(Sensitivity(name, kind, weights_of(items), alone, without))
    return sorted(results, key=lambda entry: -entry.alone.noise)


def advise(
    graph: Graph,
    basis: Basis,
    batches: Sequence[Batch],
    found: Sequence[Sensitivity],
    most: int = 3,
) -> list[Advice]:
    """For the worst nodes, what of some changes to them alone takes most noise from the output.

    Changes that keep the bits come first; wider weights or activations only where none of those
    takes some hundredths of the noise.
    """
    bench = Bench(graph, basis, batches)
    before, advice = bench.try_options(bench.options), []
    for entry in found[:most]:
        path = computing_steps(graph)[entry.node][0].path
        local = bench.options.for_node(path)
        for changes in (_same_bits(basis, local), _more_bits(local, bool(entry.weights))):
            tried = [
                (c, bench.try_options(bench.options.with_node(entry.node, c))) for c in changes
            ]
            best = min(tried, key=lambda pair: pair[1].noise, default=None)
            if best is not None and best[1].noise < _WORTH * before.noise:
                advice.append(Advice(entry.node, best[0], before, best[1]))
                break
    return advice


def _same_bits(basis: Basis, local: QuantizationOptions) -> list[Mapping[str, Any]]:
    kept = any(entry.histogram is not None for entry in basis.statistics.tensors.values())
    clips = ("none", "mse", "kth") if kept else ("none",)
    weights = ("none", "mse") if local.weight_bits <= INT8_BITS else ()
    return [
        *({"clip_type": clip} for clip in clips if clip != local.clip_type),
        *({"weight_clip": clip} for clip in weights if clip != local.kernel.weight_clip),
    ]


def _more_bits(local: QuantizationOptions, has_weights: bool) -> list[Mapping[str, Any]]:
    wider: list[Mapping[str, Any]] = []
    if has_weights and local.weight_bits < INT8_BITS:
        wider.append({"weight_bits": min(local.weight_bits + 2, INT8_BITS)})
    if local.act_bits < INT8_BITS:
        wider.append({"act_bits": min(local.act_bits + 2, INT8_BITS)})
    return wider


def steps_to_try(graph: Graph) -> int:
    """How many candidates ``sensitivity`` measures: two for each node."""
    return 2 * len(computing_steps(graph))
