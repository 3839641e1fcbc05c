"""The pass manager: run passes in the order written, verify after each, undo all on any error."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.graph import Graph
from nnshell.ir.verify import verify
from nnshell.passes.base import Note, Pass
from nnshell.support.errors import GraphError

log = logging.getLogger(__name__)

Outputs = Mapping[str, NDArray[Any]]
Check = Callable[[Graph], Outputs]
"""Float outputs of a graph on a sample that the caller chose, by output node name."""

TOLERANCE = 1e-4  # of the largest absolute output; float32 sums in another order stay below 1e-5


@dataclass(frozen=True, slots=True)
class PassRecord:
    """One pass that ran: what `passes` lists."""

    name: str
    seconds: float
    changed: bool
    notes: tuple[Note, ...] = ()
    options: str = ""


def run_passes(
    graph: Graph,
    passes: Iterable[Pass],
    *,
    check: Check | None = None,
    tolerance: float = TOLERANCE,
) -> list[PassRecord]:
    """Run ``passes`` in order and return their records.

    The graph is verified after every pass. With ``check`` the float outputs are compared with
    those before the first pass, and the pass that changed them is named. A graph that changed is
    no longer quantized. On any exception, Ctrl-C included, the graph is as it was before.
    """
    saved = graph.copy()
    try:
        return _run_all(graph, passes, check, tolerance)
    except BaseException:
        graph.restore(saved)
        raise


def _run_all(
    graph: Graph, passes: Iterable[Pass], check: Check | None, tolerance: float
) -> list[PassRecord]:
    before = check(graph) if check is not None else None
    records = []
    for step in passes:
        record = _run_one(graph, step)
        records.append(record)
        if record.changed and check is not None and before is not None:
            compare_outputs(step.name, before, check(graph), tolerance)
    return records


def _run_one(graph: Graph, step: Pass) -> PassRecord:
    start = perf_counter()
    result = step.apply(graph)
    seconds = perf_counter() - start
    if result.changed:
        graph.clear_quantization()
    try:
        verify(graph)
    except GraphError as error:
        raise GraphError(
            f"pass {step.name} broke the graph: {error.message}",
            where=error.where,
            hint="nothing was changed; please report it with the model",
        ) from error
    log.debug("%s: %.1f ms, changed: %s", step.name, seconds * 1000, result.changed)
    return PassRecord(step.name, seconds, result.changed, result.notes, step.options())


def compare_outputs(name: str, before: Outputs, after: Outputs, tolerance: float) -> None:
    """Raise GraphError naming the pass and the output when ``after`` is not ``before``.

    ``tolerance`` is relative to the largest absolute value of the output before.
    """
    if set(before) != set(after):
        raise GraphError(f"pass {name} changed the outputs: {sorted(before)} to {sorted(after)}")
    for output, expected in before.items():
        difference = relative_difference(expected, after[output])
        if not difference <= tolerance:
            raise GraphError(
                f"pass {name} changed the float result by {difference:.2g} of its largest value",
                where=f"output {output}",
                hint=f"nothing was changed; allowed is {tolerance:g}; please report it",
            )


def relative_difference(expected: NDArray[Any], found: NDArray[Any]) -> float:
    """max |found - expected| / max |expected|; infinite when shapes differ, NaN equals NaN."""
    if expected.shape != found.shape:
        return float("inf")
    if expected.size == 0 or np.array_equal(expected, found, equal_nan=True):
        return 0.0
    left, right = np.asarray(expected, np.float64), np.asarray(found, np.float64)
    if not np.array_equal(np.isfinite(left), np.isfinite(right)):
        return float("inf")
    finite = np.isfinite(left)
    largest = float(np.max(np.abs(left[finite]), initial=0.0))
    difference = float(np.max(np.abs(left[finite] - right[finite]), initial=0.0))
    return difference / max(largest, float(np.finfo(np.float32).tiny))
