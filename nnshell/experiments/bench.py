"""Judging candidates: what a quantized graph's output is beside that of the float graph.

The noise of a candidate is the mean squared difference of the graph's first output from that of the
float graph, relative to the mean square of the float output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.engines import make_engine
from nnshell.inputs.input_set import Batch
from nnshell.ir.graph import Graph
from nnshell.quantization import Basis, QuantizationOptions

Done = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a quantized graph did: noise as a ratio, accuracy and agreement as fractions."""

    noise: float
    agreement: float
    accuracy: float | None

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
        self.float_outcome = outcome(batches, self._reference, self._reference)

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
        return outcome(self._batches, results, self._reference)

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


def outcome(
    batches: Sequence[Batch], outputs: Sequence[NDArray[Any]], floats: Sequence[NDArray[Any]]
) -> Outcome:
    """What ``outputs`` are beside those of the float graph, and beside the labels."""
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
