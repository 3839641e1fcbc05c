"""How fast the engines are here: float and int8, one image at a time and in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.engines import SIMULATION, Engine
from nnshell.execution.fast_engine import FastEngine
from nnshell.execution.float_engine import FloatEngine
from nnshell.execution.native_compiler import compiler, variant
from nnshell.execution.native_engine import NativeEngine
from nnshell.inputs.input_set import Batch
from nnshell.ir.graph import Graph
from nnshell.support.cores import usable_cores
from nnshell.support.errors import NNShellError

_ROUNDS = 5
_LEAST_SECONDS = 0.02  # of a round: shorter ones are lost in other programs' noise


@dataclass(frozen=True, slots=True)
class EngineTime:
    """The fastest of some rounds."""

    engine: str
    threads: int
    batch: int
    ms_per_image: float

    @property
    def images_per_second(self) -> float:
        """Samples a second at the measured time."""
        return 1e3 / self.ms_per_image

    def to_json(self) -> dict[str, Any]:
        return {
            "engine": self.engine,
            "threads": self.threads,
            "batch": self.batch,
            "ms_per_image": round(self.ms_per_image, 5),
            "images_per_second": round(self.images_per_second, 1),
        }


def engine_times(
    graph: Graph,
    samples: Sequence[NDArray[Any]],
    *,
    batch: int = 64,
    threads: int | None = None,
    target: str = SIMULATION,
) -> list[EngineTime]:
    """Times of the float engine and, once the graph is quantized, of the int8 ones.

    ``samples`` has one array per graph input; they are repeated to fill a batch. Each engine runs
    one image and a batch, on one thread and on ``threads`` (default: every core).
    """
    most = threads if threads is not None else usable_cores()
    batches = [[np.resize(a, (count, *a.shape[1:])) for a in samples] for count in {1: 1, batch: 1}]
    times = []
    for count in sorted({1, most}):
        runs = [
            (name, argument, partial(engine.run, argument))
            for name, engine in _engines(graph, count, target)
            for argument in batches
        ]
        seconds = _best_seconds([run for _, _, run in runs])
        for (name, argument, _), value in zip(runs, seconds, strict=True):
            images = len(argument[0])
            times.append(EngineTime(name, count, images, 1e3 * value / images))
    return times


def joined(batches: Iterable[Batch]) -> list[NDArray[Any]]:
    """The samples of all batches, one array for each graph input."""
    together = zip(*(batch.arrays for batch in batches), strict=True)
    return [np.concatenate(arrays) for arrays in together]


def _engines(graph: Graph, threads: int, target: str) -> list[tuple[str, Engine]]:
    """Those that run the graph here."""
    results: list[tuple[str, Engine]] = [("float", FloatEngine(graph, threads=threads))]
    if not graph.quantized:
        return results
    results.append(("lowered", FastEngine(graph, target=target, threads=threads)))
    if compiler() and variant().fast:
        with suppress(NNShellError):  # no C form, or nowhere to keep kernels: `doctor` says more
            results.append(("native", NativeEngine(graph, target=target, threads=threads)))
    return results


def _best_seconds(runs: Sequence[Callable[[], object]]) -> list[float]:
    """Seconds of each run in its fastest round; all take turns, so that noise meets all."""
    repeats = [_repeats(run) for run in runs]
    best = [float("inf")] * len(runs)
    for _ in range(_ROUNDS):
        for place, run in enumerate(runs):
            start = perf_counter()
            for _ in range(repeats[place]):
                run()
            best[place] = min(best[place], (perf_counter() - start) / repeats[place])
    return best


def _repeats(run: Callable[[], object]) -> int:
    """How often a run fills a round; the first one is not counted."""
    run()
    start = perf_counter()
    run()
    return max(1, int(_LEAST_SECONDS / max(perf_counter() - start, 1e-9)))
