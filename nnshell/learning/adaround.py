"""Learned rounding: which method, and what each needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec

from nnshell.errors import UsageError
from nnshell.inputs.input_set import Batch
from nnshell.ir.graph import Graph
from nnshell.learning.blocks import blocks_of
from nnshell.learning.layers import round_layers
from nnshell.learning.ranges import tuned_ranges
from nnshell.learning.trial import Trial
from nnshell.quantization import Learned

METHODS = ("gptq", "brecq")
ITERATIONS = 200
JUDGED = 256


def check_method(method: str) -> None:
    """Raises UsageError when the method does not exist or its library is missing."""
    if method not in METHODS:
        raise UsageError(f"there is no method '{method}'", hint=f"one of {', '.join(METHODS)}")
    if method == "brecq" and find_spec("torch") is None:
        raise UsageError(
            "method brecq needs torch, which is not installed",
            hint="pip install 'nnshell[train]', or --method gptq",
        )


def learn_rounding(
    graph: Graph,
    batches: Sequence[Batch],
    method: str = "gptq",
    *,
    iterations: int = ITERATIONS,
    drop: float = 0.5,
    seed: int = 0,
    ranges: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Learned:
    """Integers, scales and biases of all filters, with brecq ranges as well; no labels are read.

    ``iterations``, ``drop`` and ``seed`` are of brecq: steps for each block, share of activations
    that stay unrounded in a step, order of the samples. With ``ranges`` those of activations are
    tuned afterwards, against the output's noise on ``JUDGED`` samples.
    """
    check_method(method)
    if method == "gptq":
        found = round_layers(graph, batches, progress)
    else:
        from nnshell.learning.reconstruct import Training, learn_blocks

        found = learn_blocks(graph, batches, Training(iterations, drop, seed), progress)
    return tuned_ranges(graph, _first(batches), found) if ranges else found


def _first(batches: Sequence[Batch]) -> list[Batch]:
    """Batches with ``JUDGED`` samples or a few more."""
    kept: list[Batch] = []
    for batch in batches:
        if sum(map(len, kept)) < JUDGED:
            kept.append(batch)
    return kept


def parts(graph: Graph, batches: Sequence[Batch], method: str = "gptq") -> int:
    """How often ``progress`` is called."""
    trial = Trial(graph, batches)
    return len(blocks_of(trial.flat)) if method == "brecq" else len(trial.filters())
