"""Metrics of outputs that are not classes: how far they are from what they should be.

With t the target and y the output, means over all elements of all samples:

    mse   mean((y - t)^2)                        mae   mean(|y - t|)
    psnr  10 log10(range(t)^2 / mse)  in dB      iou   |y > h and t > h| / |y > h or t > h|
    bce   mean(-(t ln y + (1 - t) ln(1 - y)))    t and y in 0..1, y kept 1e-7 from the ends

The target of a network whose output has as many elements as its input is the input (an
autoencoder); else the float graph's output is, which then scores perfectly itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.engines import Engine
from nnshell.inputs.input_set import Batch
from nnshell.ir.graph import Graph
from nnshell.support.errors import InputError
from nnshell.support.html import html_table

Metric = Literal["mse", "mae", "bce", "psnr", "iou"]
METRICS: tuple[Metric, ...] = ("mse", "mae", "bce", "psnr", "iou")
CLASS_METRICS = ("top1", "top5", "binary")
_HALF = 0.5  # above it a pixel belongs to the mask
_EDGE = 1e-7


@dataclass(frozen=True, slots=True, repr=False)
class ScoreReport:
    """A metric of one output over samples, of an engine and of the float graph."""

    model: str
    engine: str
    metric: Metric
    target: str
    samples: int
    value: float
    float_value: float
    seconds: float
    complete: bool = True

    @property
    def images_per_second(self) -> float:
        """Samples over the engine's own seconds; 0 when no time was measured."""
        return self.samples / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "engine": self.engine,
            "images": self.samples,
            "metric": self.metric,
            "target": self.target,
            "value": _finite(self.value),
            "float": _finite(self.float_value),
            "images_per_second": round(self.images_per_second, 1),
            **({} if self.complete else {"partial": True}),
        }

    def __repr__(self) -> str:
        values = f"{self.metric} {self.value:.6g} (float {self.float_value:.6g})"
        return f"<ScoreReport {self.model}, {self.engine}: {self.samples} samples, {values}>"

    def _repr_html_(self) -> str:
        rows = [(self.engine, self.value), ("float", self.float_value)]
        caption = f"{self.model}: {self.metric} to the {self.target}, {self.samples} samples"
        return html_table(caption, ("Engine", self.metric), rows)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def natural_metric(graph: Graph, output: str) -> str:
    """The metric that the shape of an output suggests: mse unless it can be scores of classes."""
    shape = graph[output].type.shape
    sizes = [size for size in shape if size > 1]
    if len(sizes) > 1 or reconstructs(graph, output):
        return "mse"
    return "top1" if sizes else "binary"


def reconstructs(graph: Graph, output: str) -> bool:
    """Whether an output has as many elements as the graph's only input, and more than a few."""
    size = graph[output].type.size
    return len(graph.inputs) == 1 and size == graph.inputs[0].type.size and size > 16


@dataclass(slots=True)
class _Sums:
    """What a metric needs, streaming."""

    count: int = 0
    squares: float = 0.0
    absolute: float = 0.0
    entropy: float = 0.0
    both: int = 0
    either: int = 0
    low: float = math.inf
    high: float = -math.inf

    def add(self, y: NDArray[np.float64], t: NDArray[np.float64]) -> None:
        """Take a batch of outputs ``y`` and targets ``t``, float64 of the same shape."""
        difference = y - t
        self.count += y.size
        self.squares += float(np.square(difference).sum())
        self.absolute += float(np.abs(difference).sum())
        kept = np.clip(y, _EDGE, 1 - _EDGE)
        self.entropy -= float((t * np.log(kept) + (1 - t) * np.log1p(-kept)).sum())
        self.both += int(((y > _HALF) & (t > _HALF)).sum())
        self.either += int(((y > _HALF) | (t > _HALF)).sum())
        self.low, self.high = min(self.low, float(t.min())), max(self.high, float(t.max()))

    def value(self, metric: Metric) -> float:
        mse = self.squares / max(self.count, 1)
        if metric == "mse":
            return mse
        if metric == "mae":
            return self.absolute / max(self.count, 1)
        if metric == "bce":
            return self.entropy / max(self.count, 1)
        if metric == "iou":
            return self.both / self.either if self.either else 1.0
        reach = self.high - self.low
        return 10 * math.log10(reach * reach / mse) if mse > 0 and reach > 0 else math.inf


@dataclass(slots=True)
class _Tally:
    own: _Sums = field(default_factory=_Sums)
    floats: _Sums = field(default_factory=_Sums)
    samples: int = 0
    seconds: float = 0.0


def evaluate(
    batches: Iterable[Batch],
    engine: Engine,
    floats: Engine,
    output: str,
    metric: Metric,
    *,
    graph: Graph,
    engine_name: str,
    to_real: Callable[[NDArray[Any]], NDArray[Any]],
    progress: Callable[[int], None] | None = None,
) -> ScoreReport:
    """The metric of ``output`` over the samples; ``to_real`` makes real numbers of integers.

    An interrupt ends the run early: what was done is reported as not complete. Raises InputError
    for a metric whose targets do not fit, or no samples.
    """
    tally, complete, itself = _Tally(), True, reconstructs(graph, output)
    try:
        for batch in batches:
            _add(tally, batch, engine, floats, output, metric, itself=itself, to_real=to_real)
            if progress is not None:
                progress(len(batch))
    except KeyboardInterrupt:
        complete = False
    if not tally.samples:
        if not complete:
            raise KeyboardInterrupt
        raise InputError("there are no samples to judge", hint="check the file pattern")
    return ScoreReport(
        graph.name,
        engine_name,
        metric,
        "input" if itself else "float output",
        tally.samples,
        tally.own.value(metric),
        tally.floats.value(metric),
        tally.seconds,
        complete,
    )


def _add(
    tally: _Tally,
    batch: Batch,
    engine: Engine,
    floats: Engine,
    output: str,
    metric: Metric,
    *,
    itself: bool,
    to_real: Callable[[NDArray[Any]], NDArray[Any]],
) -> None:
    start = perf_counter()
    outputs = engine.run(batch.arrays)
    tally.seconds += perf_counter() - start
    real = _rows(to_real(outputs[output]))
    reference = _rows(floats.run(batch.arrays)[output] if engine is not floats else outputs[output])
    target = _rows(batch.arrays[0]) if itself else reference
    if metric == "bce" and (target.min() < 0 or target.max() > 1):
        raise InputError(
            f"bce needs targets of 0 to 1, not {target.min():.4g} to {target.max():.4g}",
            hint="use --metric mse, or images divided by 255",
        )
    tally.own.add(real, target)
    tally.floats.add(reference, target)
    tally.samples += len(batch)


def _rows(array: NDArray[Any]) -> NDArray[np.float64]:
    return array.reshape(len(array), -1).astype(np.float64)


def describe_scores(report: ScoreReport) -> tuple[str, ...]:
    """What `validate` says: the value of the engine and of the float graph, side by side."""
    speed = f"{report.samples} samples, {report.images_per_second:.0f} a second"
    unit = " dB" if report.metric == "psnr" else ""
    lines = [f"{speed} ({report.engine}, on this machine: not the chip's speed)"]
    if not report.complete:
        lines.append("interrupted: these are the results so far")
    beside = "" if report.engine == "float" else f"; float: {report.float_value:.6g}{unit}"
    against = f"{report.metric} against the {report.target}"
    lines.append(f"{against}: {report.value:.6g}{unit} ({report.engine}){beside}")
    return tuple(lines)
