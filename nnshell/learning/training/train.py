"""Training a graph: samples in, values for the graph and for its quantizer out; needs torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nnshell.ir.graph import Graph
from nnshell.learning.training.losses import loss_of
from nnshell.learning.training.model import TrainedModel
from nnshell.learning.training.options import TrainingOptions
from nnshell.learning.training.report import Epoch, Moment, Training
from nnshell.learning.training.run import Run
from nnshell.learning.training.samples import StoredSamples
from nnshell.quantization import Learned
from nnshell.support.errors import QuantizationError


@dataclass(frozen=True, slots=True)
class Watchers:
    """Who is told how training goes, and where it is kept."""

    report: Callable[[Epoch], None] | None = None
    watch: Callable[[Moment], None] | None = None
    checkpoint: Path | None = None
    resume: bool = False


def train_graph(
    graph: Graph, samples: StoredSamples, options: TrainingOptions, watchers: Watchers
) -> tuple[Training, dict[str, NDArray[Any]], Learned]:
    """What training came to, float weights by constant, and what the quantizer is to take.

    ``graph`` stays as it is. Without a quantizer nothing is learned beyond the weights.
    """
    model = trained_model(graph, options)
    teacher = TrainedModel(graph).eval() if options.quantized else None
    loss = loss_of(options, model, teacher, samples)
    run = Run(
        model,
        loss,
        samples,
        options,
        report=watchers.report,
        watch=watchers.watch,
        checkpoint=watchers.checkpoint,
    )
    if teacher is not None:
        teacher.to(run.device)
    epochs = run.train(resume=watchers.resume)
    training = Training(
        options.quantizer,
        tuple(epochs),
        run.best,
        run.interrupted,
        len(run.shares.training),
        len(run.shares.held_out),
        options.epochs,
        type(loss).__name__,
    )
    return training, dict(model.trained()), model.learned()


def trained_model(graph: Graph, options: TrainingOptions) -> TrainedModel:
    """The graph in torch; GraphError for what cannot be trained through, and without weights."""
    model = TrainedModel(graph, options.quantizer, options.gradient_bits)
    if not len(model.values):
        raise QuantizationError("there are no weights to train", where=graph.name)
    return model
