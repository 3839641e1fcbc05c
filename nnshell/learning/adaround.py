"""Learned rounding: which method, and what each needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec

from nnshell.inputs.input_set import Batch
from nnshell.ir.graph import Graph
from nnshell.learning.blocks import blocks_of
from nnshell.learning.layers import round_layers
from nnshell.learning.ranges import tuned_ranges
from nnshell.learning.trial import Trial
from nnshell.quantization import Basis, Learned
from nnshell.support.errors import UsageError

METHODS = ("gptq", "brecq", "network")
ITERATIONS = {"brecq": 200, "network": 400}  # of a block, and of all
JUDGED = 256


def check_method(method: str) -> None:
    """Raises UsageError when the method does not exist or its library is missing."""
    if method not in METHODS:
        raise UsageError(f"there is no method '{method}'", hint=f"one of {', '.join(METHODS)}")
    if method != "gptq" and find_spec("torch") is None:
        raise UsageError(
            f"method {method} needs torch, which is not installed",
            hint="pip install 'nnshell[train]', or --method gptq",
        )


def learn_rounding(
    graph: Graph,
    basis: Basis,
    batches: Sequence[Batch],
    method: str = "gptq",
    *,
    iterations: int | None = None,
    drop: float = 0.5,
    seed: int = 0,
    ranges: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Learned:
    """Integers, scales and biases of all filters, with torch ranges as well; no labels are read.

    ``iterations`` and ``seed`` are of brecq and network: steps (of each block, of all), order of
    the samples. ``drop`` is of brecq: share of activations that stay unrounded in a step. With
    ``ranges`` those of activations are tuned afterwards, against the output's noise on ``JUDGED``
    samples.
    """
    check_method(method)
    steps = iterations or ITERATIONS.get(method, 0)
    if method == "gptq":
        result = round_layers(graph, basis, batches, progress)
    elif method == "network":
        from nnshell.learning.network import learn_network

        result = learn_network(graph, basis, batches, steps, seed, progress)
    else:
        from nnshell.learning.reconstruct import Training, learn_blocks

        result = learn_blocks(graph, basis, batches, Training(steps, drop, seed), progress)
    return tuned_ranges(graph, basis, _first(batches), result) if ranges else result


def _first(batches: Sequence[Batch]) -> list[Batch]:
    """Batches with ``JUDGED`` samples or a few more."""
    kept: list[Batch] = []
    for batch in batches:
        if sum(map(len, kept)) < JUDGED:
            kept.append(batch)
    return kept


def parts(
    graph: Graph,
    basis: Basis,
    batches: Sequence[Batch],
    method: str = "gptq",
    iterations: int | None = None,
) -> int:
    """How often ``progress`` is called."""
    if method == "network":
        return iterations or ITERATIONS[method]
    trial = Trial(graph, basis, batches)
    return len(blocks_of(trial.flat)) if method == "brecq" else len(trial.filters())
