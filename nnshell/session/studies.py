"""Studies and improvements of a project as functions: what the laboratory commands do.

Each takes samples in any form that ``calibrate`` takes. Studies leave the project as it is;
improvements keep what they find if the graph's output gets less noisy, and record it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nnshell.chips import SimulationReport
from nnshell.chips.insight.sweep import Sweep
from nnshell.chips.tiled.run import TiledRun
from nnshell.execution.engines import make_engine
from nnshell.experiments import mixed as mixing
from nnshell.experiments import sensitivity as ranking
from nnshell.experiments import sweep as options
from nnshell.experiments.mixed import Mixture
from nnshell.experiments.sensitivity import Advice, Sensitivity
from nnshell.experiments.sweep import Row
from nnshell.inputs.input_set import Batch
from nnshell.ir.graph import all_nodes
from nnshell.ir.select import select_one
from nnshell.ir.widths import check_sq8
from nnshell.learning import adaround as rounding
from nnshell.learning import bias_correction, equalization, layers, outliers, ranges
from nnshell.learning.judged import Change
from nnshell.learning.outliers import Outlier
from nnshell.passes import explain
from nnshell.passes.explain import Explanation
from nnshell.quantization import QuantizationRow, Statistics, quantization_rows
from nnshell.quantization.ranges.calibration import calibrate_graph
from nnshell.reports import distributions, scales
from nnshell.reports.distributions import Distribution
from nnshell.reports.sweep_tables import sweep_table
from nnshell.reports.table import Table
from nnshell.session import edits, improve, simulation
from nnshell.session.improve import Equalization
from nnshell.session.project import Project
from nnshell.session.samples import Samples, batches_of
from nnshell.support.errors import QuantizationError

Progress = Callable[[int], None]

# -- what quantization costs, and where ----------------------------------------------------


def sensitivity(
    project: Project, samples: Samples, progress: Progress | None = None
) -> list[Sensitivity]:
    """Every node that computes: the noise of quantizing it alone, and of all but it."""
    check_sq8(project.graph, "sensitivity")
    batches = list(batches_of(project, samples))
    return ranking.sensitivity(project.graph, project.basis, batches, progress)


def advise(
    project: Project, samples: Samples, ranked: list[Sensitivity], most: int = 3
) -> list[Advice]:
    """For the worst nodes of ``sensitivity``, the change to each that takes most noise away."""
    batches = list(batches_of(project, samples))
    return ranking.advise(project.graph, project.basis, batches, ranked, most)


def mixed(
    project: Project,
    samples: Samples,
    *,
    drop: float | None = None,
    size_bytes: int | None = None,
    progress: Progress | None = None,
) -> Mixture:
    """Weight bits for each node, within a loss in points or a size; applied and recorded."""
    check_sq8(project.graph, "mixed")
    batches = list(batches_of(project, samples))
    mixture = mixing.mixed(
        project.graph,
        project.basis,
        batches,
        drop=drop,
        size_bytes=size_bytes,
        progress=progress,
    )
    edits.tune(project, {name: {"weight_bits": bits} for name, bits in mixture.bits.items()})
    return mixture


# -- better integers without training ------------------------------------------------------


def equalize(
    project: Project, samples: Samples | None = None, *, threshold: float = equalization.THRESHOLD
) -> Equalization:
    """Even out channels between filters; a quantized one is judged on samples, too."""
    batches = None if samples is None else list(batches_of(project, samples))
    return improve.equalize(project, batches, threshold)


def correct_biases(
    project: Project,
    samples: Samples,
    *,
    analytic: bool = False,
    progress: Progress | None = None,
) -> Change:
    """Take back the shift of means that rounding gives every channel (``bcorr``)."""
    check_sq8(project.graph, "bcorr")
    graph, basis, batches = project.graph, project.basis, list(batches_of(project, samples))
    if analytic:
        learned = bias_correction.corrected_analytically(graph, basis)
    else:
        learned = bias_correction.corrected_by_means(graph, basis, batches, progress)
    return improve.apply_if_better(project, "bcorr", [learned], batches)


def search_scales(
    project: Project, samples: Samples, *, progress: Progress | None = None
) -> Change:
    """Scales of weights and ranges of activations with the least error of what reads them."""
    check_sq8(project.graph, "scale_search")
    graph, basis, batches = project.graph, project.basis, list(batches_of(project, samples))
    weights = layers.search_scales(graph, basis, batches, progress)
    reach = ranges.searched_ranges(graph, basis, batches)
    candidates = [weights, reach, weights.updated(reach)]
    return improve.apply_if_better(project, "scale_search", candidates, batches)


def adaround(
    project: Project,
    samples: Samples,
    method: str = "gptq",
    *,
    iterations: int | None = None,
    drop: float = 0.5,
    seed: int = 0,
    tune_ranges: bool = False,
    progress: Progress | None = None,
) -> Change:
    """Learn how to round weights; ``method`` is gptq, or brecq or network (extra ``train``)."""
    rounding.check_method(method)
    check_sq8(project.graph, "adaround")
    batches = list(batches_of(project, samples))
    learned = rounding.learn_rounding(
        project.graph,
        project.basis,
        batches,
        method,
        iterations=iterations,
        drop=drop,
        seed=seed,
        ranges=tune_ranges,
        progress=progress,
    )
    return improve.apply_if_better(project, "adaround", [learned], batches)


def find_outliers(project: Project, samples: Samples | None = None) -> list[Outlier]:
    """Channels that force the scale of a tensor: of weights, or of activations over samples."""
    if samples is None:
        return outliers.weight_outliers(project.graph)
    return outliers.activation_outliers(project.graph, list(batches_of(project, samples)))


# -- tables of options ---------------------------------------------------------------------


def sweep_options(
    project: Project,
    axes: Mapping[str, str | Sequence[Any]],
    samples: Samples,
    calibration: Samples | None = None,
    *,
    progress: Progress | None = None,
) -> list[Row]:
    """A row for each combination of quantization options, measured on samples (`sweep`).

    ``axes`` has values by option, lists or texts: ``{"bits": "8,6,4", "clip_type": ["none"]}``.
    Ranges come from ``calibration``, by default the samples themselves. The graph stays as it is;
    the table is kept for the page.
    """
    values = {
        name: options.values_of(name, entry) if isinstance(entry, str) else list(entry)
        for name, entry in axes.items()
    }
    batches = list(batches_of(project, samples))
    known = batches if calibration is None else list(batches_of(project, calibration))

    def calibrate(count: int | None, clip_types: frozenset[str]) -> Statistics:
        chosen = known if count is None else list(_first(known, count))
        total = sum(len(batch) for batch in chosen)
        return calibrate_graph(project.graph, iter(chosen), clip_type=clip_types, samples=total)

    rows = []
    base = project.quantization_options
    for _, row in options.sweep(project.graph, values, batches, calibrate, base):
        rows.append(row)
        if progress is not None:
            progress(1)
    keep_sweep(project, values, rows, sum(len(batch) for batch in batches))
    return rows


def keep_sweep(
    project: Project,
    names: Iterable[str],
    rows: Sequence[Row],
    samples: int,
    *,
    complete: bool = True,
    published: Sequence[Mapping[str, str]] = (),
) -> Table:
    """The table of a sweep, which the project keeps for its page."""
    title = f"{project.name}: {', '.join(name.replace('_', ' ') for name in names)}"
    return project.keep(sweep_table(title, rows, samples, complete=complete, published=published))


def _first(batches: Iterable[Batch], count: int) -> Iterator[Batch]:
    """The first ``count`` samples."""
    for batch in batches:
        if count <= 0:
            return
        arrays = tuple(array[:count] for array in batch.arrays)
        yield Batch(arrays, batch.names[:count], batch.labels[:count])
        count -= len(batch)


# -- the chip ------------------------------------------------------------------------------


def sweep(
    project: Project,
    values: Mapping[str, str | Sequence[float]],
    *,
    kernels: str | None = None,
    chip: str | Path | None = None,
) -> Sweep:
    """Simulate all combinations of values, e.g. ``{"cores": [1, 2, 4, 8], "l1": "32k,64k"}``."""
    return simulation.sweep(project, values, kernels=kernels, chip=chip)


def tiled(project: Project, report: SimulationReport, samples: Samples) -> list[TiledRun]:
    """The int8 graph tile by tile, as a report plans it, each layer compared with the whole run."""
    return simulation.tiled(project, report, batches_of(project, samples))


# -- why, and how values are spread ----------------------------------------------------------


def explain_fusions(project: Project, node: str) -> list[Explanation]:
    """What reading the model and the passes did to a node, and why not more."""
    return explain.explain(project.graph, node, project.pass_records, project.import_notes)


def explain_scales(project: Project, node: str, channel: int = 0) -> str:
    """The integers of a filter by hand: formulas, and the same with numbers."""
    return scales.scales_text(project.graph, select_one(project.graph, node)[0], channel)


def records(project: Project) -> list[QuantizationRow]:
    """Records, multipliers and shifts of every step: the rows of ``qshow``."""
    return quantization_rows(project.graph)


def weights(
    project: Project, selector: str | None = None, *, channels: bool = False
) -> list[Distribution]:
    """How the values of constants are spread, all of them or of the selected nodes."""
    names = distributions.constants_of(project.graph, selector) if selector else None
    return distributions.constant_distributions(project.graph, names, channels=channels)


def activations(
    project: Project, samples: Samples, *, progress: Progress | None = None
) -> list[Distribution]:
    """How the float output of every step is spread over samples."""
    engine = make_engine(project.graph, "float", everything=True)
    return distributions.activation_distributions(
        project.graph, batches_of(project, samples), engine.run, progress=progress
    )


def kept_activations(project: Project) -> list[Distribution]:
    """What the last calibration kept of every step; QuantizationError without one."""
    if project.statistics is None:
        raise QuantizationError(
            "no calibration has looked at activations",
            where=project.name,
            hint="activations INPUTS runs the float graph",
        )
    return distributions.kept_distributions(project.graph, project.statistics)


def activation_notes(project: Project) -> tuple[str, ...]:
    """What a table of activations should say of the graph's stage, and of layers that were moved.

    A layer that a pass moved computes something else than in the model file: a pool that moved
    before its relu makes the relu's rows those of pooled values.
    """
    fused = sum(node.body is not None for node in project)
    if not fused:
        return ("before fusions: the layers as in the model file",)
    names = {key.rpartition("/")[2] for key, _, _ in all_nodes(project.graph)}
    moved = [
        note.text
        for record in project.pass_records
        for note in record.notes
        if note.done and note.text.startswith("moved ") and note.node in names
    ]
    head = f"after fusions: {fused} fused nodes, FUSION/LAYER is what a layer inside one computes"
    return (head, *moved)
