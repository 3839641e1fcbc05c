"""Running a project's graph by an engine: batch by batch, judged by labels or metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.engines import INTEGER_ENGINES, Engine, EngineName, make_engine
from nnshell.inputs.input_set import Batch
from nnshell.ir.widths import has_chip_widths
from nnshell.session.losses import watched_inputs
from nnshell.session.project import Project
from nnshell.session.samples import Samples
from nnshell.session.samples import batches_of as samples_of

if TYPE_CHECKING:
    from nnshell.execution.scores import Metric, ScoreReport
    from nnshell.execution.validation import ValidationReport

Progress = Callable[[int], None]  # called with the number of samples just done
# From batches, an engine's name and a key: the batches, that engine, and the float engine.
Runner = Callable[[Iterator[Batch], EngineName, str], tuple[Iterator[Batch], Engine, Engine]]


def run_batches(
    project: Project,
    images: Samples,
    engine: EngineName = "float",
    *,
    keys: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[Batch, Mapping[str, NDArray[Any]]]]:
    """A batch of samples and its tensors at a time, with a leading sample axis (streaming)."""
    runner = engine_for(project, engine, keys)
    for batch in samples_of(project, images):
        yield batch, runner.run(batch.arrays)
        if progress is not None:
            progress(len(batch))


def engine_for(project: Project, name: EngineName, keys: Sequence[str] | None = None) -> Engine:
    """The engine for some tensors, by default all, with the integers the settings ask for."""
    target = project.settings.int8_target
    return make_engine(project.graph, name, keys=keys, everything=keys is None, target=target)


def _outputs(project: Project) -> list[str]:
    return [node.name for node in project.outputs]


def quantized_engine(project: Project) -> EngineName:
    """int8, or simulated for a graph whose widths only the simulation has."""
    return "int8" if has_chip_widths(project.graph) else "simulated"


def compare_samples(
    project: Project, images: Samples, *, progress: Progress | None = None
) -> list[tuple[str, float]]:
    """The QSNR in dB of each sample's int8 outputs against float, by name, lowest first."""
    from nnshell.execution import metrics

    batches = samples_of(project, images)
    return metrics.compare_samples(
        project.graph, batches, engine_for(project, "int8", _outputs(project)), progress=progress
    )


def validate(
    project: Project,
    images: Samples,
    engine: EngineName = "float",
    *,
    output: str | None = None,
    threshold: float | None = None,
    progress: Progress | None = None,
    runner: Runner | None = None,
) -> ValidationReport:
    """Accuracy on labelled images, and for integers the agreement with float.

    The class with the largest value of ``output`` is the answer; with ``threshold`` that output has
    one value, and above the threshold (in real units) the answer is class 1. ``runner`` runs the
    engines elsewhere, as on a cluster.
    """
    from nnshell.execution.integer_engine import IntegerEngine
    from nnshell.execution.validation import Threshold
    from nnshell.execution.validation import validate as judge

    key = output or project.outputs[0].name
    batches = samples_of(project, images, check=True)
    if engine != "float":
        batches = watched_inputs(project, batches)
    batches, chosen, float_engine = _engines(project, batches, engine, key, runner)
    limit = None
    if threshold is not None:
        record = IntegerEngine(project.graph).record(key) if engine in INTEGER_ENGINES else None
        scaled = threshold / record.first_scale + record.zero_point if record else threshold
        limit = Threshold(scaled, threshold)
    return judge(
        batches,
        chosen,
        key,
        model=project.name,
        engine_name=engine,
        reference=None if engine == "float" else float_engine,
        threshold=limit,
        progress=progress,
    )


def _engines(
    project: Project,
    batches: Iterator[Batch],
    engine: EngineName,
    key: str,
    runner: Runner | None,
) -> tuple[Iterator[Batch], Engine, Engine]:
    """The batches, the engine and the float engine; from ``runner`` where there is one."""
    if runner is not None:
        return runner(batches, engine, key)
    float_engine = engine_for(project, "float", [key])
    chosen = float_engine if engine == "float" else engine_for(project, engine, [key])
    return batches, chosen, float_engine


def stream_runner(project: Project) -> Runner:
    """What ``validate`` and ``evaluate`` run samples with that are parts of one stream, in order.

    Recurrent layers begin each sample in the state that the one before has left.
    """

    def runner(
        batches: Iterator[Batch], engine: EngineName, key: str
    ) -> tuple[Iterator[Batch], Engine, Engine]:
        from nnshell.execution.streams import StreamEngine

        target = project.settings.int8_target
        real = StreamEngine(project.graph, "float", keys=[key])
        if engine == "float":
            return batches, real, real
        return batches, StreamEngine(project.graph, engine, keys=[key], target=target), real

    return runner


def evaluate(
    project: Project,
    images: Samples,
    engine: EngineName = "float",
    metric: Metric = "mse",
    *,
    output: str | None = None,
    progress: Progress | None = None,
    runner: Runner | None = None,
) -> ScoreReport:
    """A metric of outputs that are not classes (mse, mae, bce, psnr, iou), beside that of float.

    The target is the input where the output has as many elements (an autoencoder), else the float
    graph's output. ``runner`` is as in ``validate``.
    """
    from nnshell.execution import scores

    key = output or project.outputs[0].name
    batches = samples_of(project, images)
    batches, chosen, float_engine = _engines(project, batches, engine, key, runner)
    quantization = project.graph[key].quantization
    integers = engine in INTEGER_ENGINES and quantization is not None
    return scores.evaluate(
        batches,
        chosen,
        float_engine,
        key,
        metric,
        graph=project.graph,
        engine_name=engine,
        to_real=quantization.output.dequantize if integers and quantization else np.asarray,
        progress=progress,
    )


def batches_of(project: Project, images: Samples) -> list[Batch]:
    """All samples at once, for experiments that run them many times."""
    return list(samples_of(project, images))
