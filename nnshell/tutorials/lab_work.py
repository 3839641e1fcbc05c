"""What labs share: a model and data, graphs made from them, and judging what was quantized."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell import flow
from nnshell.execution.engines import make_engine
from nnshell.experiments.bench import Outcome, judged_by, outcome
from nnshell.inputs.input_set import Batch
from nnshell.ir.widths import has_chip_widths
from nnshell.quantization import QuantizationOptions
from nnshell.reports.table import Cell, Column, Table
from nnshell.session import studies
from nnshell.session.project import Project
from nnshell.session.studies import keep_sweep
from nnshell.tutorials.lesson_data import LessonData


@dataclass
class LabWork:
    """The model and the data of a lab.

    ``limit`` is how many test samples are measured at most, ``images`` how many calibrate.
    """

    data: LessonData
    limit: int | None = None
    images: int = 256
    _tests: list[Batch] = field(default_factory=list)
    _training: list[Batch] = field(default_factory=list)

    def project(self, *, fused: bool = True) -> Project:
        """The model, adjusted and, unless ``fused`` is False, fused."""
        project = flow.open_graph(self.data.model)
        flow.adjust(project)
        if fused:
            flow.fuse(project, "scale8")
        return project

    def training(self, project: Project) -> list[Batch]:
        """The calibration samples, read once."""
        if not self._training:
            self._training = self.read(project, self.data.calibration, self.images)
        return self._training

    def tests(self, project: Project) -> list[Batch]:
        """The test samples, read once."""
        if not self._tests:
            self._tests = self.read(project, self.data.test, self.limit)
        return self._tests

    def read(
        self, project: Project, files: str, limit: int | None, norm: str | None = None
    ) -> list[Batch]:
        """Samples, prepared with the lab's norm function or another one."""
        function = self.data.norm if norm is None else norm
        images = flow.load_inputs(files, norm=function or None, limit=limit)
        return flow.batches_of(project, images)

    def quantized(self, project: Project, **options: Any) -> Project:
        """The project, calibrated on the training samples and quantized."""
        return self.quantized_on(project, self.training(project), **options)

    def quantized_on(self, project: Project, batches: Sequence[Batch], **options: Any) -> Project:
        """The same on other samples."""
        values = QuantizationOptions.from_mapping(options)
        seen = flow.calibrate(project, list(batches), clip_type=values.clip_types)
        flow.quantize(project, seen, values)
        return project

    def judge(self, project: Project) -> Outcome:
        """The quantized graph's first output on the test samples, in int8 where it can."""
        graph, batches = project.graph, self.tests(project)
        key = graph.outputs[0].name
        floats = make_engine(graph, "float", keys=[key])
        exact = has_chip_widths(graph)
        engine = make_engine(graph, "int8" if exact else "simulated", keys=[key])
        record = graph.outputs[0].quantization
        outputs: list[NDArray[Any]] = [engine.run(batch.arrays)[key] for batch in batches]
        if exact and record is not None:
            outputs = [record.output.dequantize(array) for array in outputs]
        reference = [floats.run(batch.arrays)[key] for batch in batches]
        return outcome(batches, outputs, reference, judged_by(graph, key))

    def sweep(self, axes: Mapping[str, Sequence[Any]]) -> Table:
        """The table of all combinations of options on the fused model."""
        project = self.project()
        tests, training = self.tests(project), self.training(project)
        rows = studies.sweep_options(project, axes, tests, training)
        return keep_sweep(project, axes, rows, sum(len(batch) for batch in tests))


JUDGED = (
    Column("Accuracy", "right", "%", digits=2),
    Column("As float", "right", "%", digits=2),
    Column("Noise", "right", "dB", digits=1),
)


def judged_cells(result: Outcome) -> tuple[Cell, ...]:
    """The cells of JUDGED."""
    both = (result.accuracy, result.agreement)
    shares = (None if share is None else 100 * share for share in both)
    return (*shares, result.noise_db if result.noise > 0 else None)


def kl_divergence(mean: NDArray[Any], logvar: NDArray[Any]) -> float:
    """Mean over samples of KL(N(mean, exp(logvar)) || N(0, 1)) in nats, (samples, latents) each.

    D. Kingma and M. Welling, "Auto-encoding variational Bayes", 2013, appendix B.
    """
    mean, logvar = mean.astype(np.float64), logvar.astype(np.float64)
    terms = 0.5 * (mean**2 + np.exp(logvar) - 1 - logvar)
    return float(terms.reshape(len(mean), -1).sum(axis=1).mean())
