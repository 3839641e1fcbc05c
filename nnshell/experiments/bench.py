"""Judging candidates: what a quantized graph's output is beside that of the float graph.

The noise of a candidate is the mean squared difference of the graph's first output from that of the
float graph, relative to the mean square of the float output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.engines import make_engine
from nnshell.execution.scores import natural_metric, reconstructs
from nnshell.inputs.input_set import Batch
from nnshell.ir.graph import Graph
from nnshell.quantization import Basis, QuantizationOptions

Done = Callable[[int], None]
Judged = Literal["labels", "input", "nothing"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a quantized graph did: noise as a ratio, accuracy and agreement as fractions.

    Where outputs are no classes, accuracy and agreement are None, and ``error`` is the mean squared
    error to the input if the output reconstructs that.
    """

    noise: float
    agreement: float | None
    accuracy: float | None
    error: float | None = None

    @property
    def noise_db(self) -> float:
        """Noise of the output against float in dB; minus infinite without any."""
        return 10 * math.log10(self.noise) if self.noise > 0 else -math.inf


Trials = Callable[[Sequence[QuantizationOptions], Done | None], list[Outcome]]


class Bench:
    """Inputs that all candidates are judged on, and what the float graph makes of them."""

    def __init__(self, graph: Graph, basis: Basis, batches: Sequence[Batch]) -> None:
        self.graph = graph
        self.basis = basis
        self._batches = batches
        self._key = graph.outputs[0].name
        floats = make_engine(graph, "float", keys=[self._key])
        self._reference = [floats.run(batch.arrays)[self._key] for batch in batches]
        self._judged = judged_by(graph, self._key)
        self.float_outcome = outcome(batches, self._reference, self._reference, self._judged)

    @property
    def options(self) -> QuantizationOptions:
        """Those that the graph was quantized with."""
        return self.basis.options

    def try_options(self, options: QuantizationOptions) -> Outcome:
        """What a copy of the graph does when it is quantized with these options."""
        return self.try_basis(self.basis.with_options(options))

    def try_basis(self, basis: Basis) -> Outcome:
        """What a copy of the graph does when it is quantized from ``basis``."""
        twin = self.graph.copy()
        basis.quantize(twin)
        engine = make_engine(twin, "simulated", keys=[self._key])
        results = [engine.run(batch.arrays)[self._key] for batch in self._batches]
        return outcome(self._batches, results, self._reference, self._judged)

    def try_all(
        self, candidates: Sequence[QuantizationOptions], progress: Done | None = None
    ) -> list[Outcome]:
        """``try_options`` of each."""
        outcomes = []
        for options in candidates:
            outcomes.append(self.try_options(options))
            if progress is not None:
                progress(1)
        return outcomes


def judged_by(graph: Graph, output: str) -> Judged:
    """What an output is compared with beside the float graph's: labels, the input, or nothing."""
    if reconstructs(graph, output):
        return "input"
    return "nothing" if natural_metric(graph, output) == "mse" else "labels"


def outcome(
    batches: Sequence[Batch],
    outputs: Sequence[NDArray[Any]],
    floats: Sequence[NDArray[Any]],
    judged: Judged = "labels",
) -> Outcome:
    """What ``outputs`` are beside those of the float graph, and beside labels or inputs."""
    if judged != "labels":
        return _distance(batches, outputs, floats, judged)
    noise = signal = 0.0
    agreed = right = labelled = count = 0
    for batch, result, expected in zip(batches, outputs, floats, strict=True):
        noise += float(np.square(result.astype(np.float64) - expected).sum())
        signal += float(np.square(expected.astype(np.float64)).sum())
        answers = result.reshape(len(result), -1).argmax(axis=1)
        agreed += int((answers == expected.reshape(len(result), -1).argmax(axis=1)).sum())
        count += len(result)
        labelled += sum(label is not None for label in batch.labels)
        right += sum(int(a) == b for a, b in zip(answers, batch.labels, strict=True))
    accuracy = right / labelled if labelled else None
    return Outcome(noise / signal if signal else 0.0, agreed / max(count, 1), accuracy)


def _distance(
    batches: Sequence[Batch],
    outputs: Sequence[NDArray[Any]],
    floats: Sequence[NDArray[Any]],
    judged: Judged,
) -> Outcome:
    """For outputs that are no classes."""
    noise = signal = squares = 0.0
    count = 0
    for batch, result, expected in zip(batches, outputs, floats, strict=True):
        noise += float(np.square(result.astype(np.float64) - expected).sum())
        signal += float(np.square(expected.astype(np.float64)).sum())
        if judged == "input":
            target = batch.arrays[0].reshape(result.shape).astype(np.float64)
            squares += float(np.square(result - target).sum())
        count += result.size
    error = squares / max(count, 1) if judged == "input" else None
    return Outcome(noise / signal if signal else 0.0, None, None, error)
