"""Pictures from Python: of a project's graph, and of what studies return."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nnshell.chips import SimulationReport
from nnshell.chips.insight.sweep import Sweep
from nnshell.execution.metrics import Comparison
from nnshell.execution.validation import ValidationReport
from nnshell.experiments.sensitivity import Sensitivity
from nnshell.experiments.sweep import Row
from nnshell.ir.select import select
from nnshell.reports import drawing, simulation_tables
from nnshell.reports.chip_plots import memory_curve, memory_plot
from nnshell.reports.distribution_tables import distribution_table
from nnshell.reports.distributions import Distribution
from nnshell.reports.experiment_tables import sensitivity_table
from nnshell.reports.pictures import check, picture
from nnshell.reports.plots import Plot
from nnshell.reports.quantization_tables import comparison_table
from nnshell.reports.sweep_tables import sweep_table
from nnshell.reports.table import Table
from nnshell.reports.tensor_text import confusion_plot
from nnshell.session.project import Project
from nnshell.support.errors import UsageError
from nnshell.support.files import write_atomically


def draw(
    project: Project,
    path: str | Path,
    selector: str | None = None,
    *,
    constants: bool = False,
    fusions: bool = False,
    quantization: bool = False,
    anonymise: bool = False,
) -> Path:
    """The graph, or the selected nodes, as .svg, .png, .pdf or Graphviz text (.dot)."""
    names = None
    if selector is not None:
        names = {node.name for _, node in select(project.graph, selector)}
    form = drawing.Drawing(constants, fusions, quantization, anonymise)
    drawing.draw(project.graph, Path(path), form, names)
    return Path(path)


def plot(results: Any, path: str | Path, title: str = "") -> Path:
    """What a study returned as .svg, .png or .pdf: histograms, bars, curves, heat maps.

    ``results`` are distributions (``weights``, ``activations``), comparisons, rows of
    ``sweep_options``, sensitivities, a validation, a simulation or a sweep of one. UsageError for
    anything else; NNShellError when the extra ``report`` is not installed.
    """
    target = Path(path)
    check(target.name)
    own, plots = _plots(results)
    write_atomically(target, picture(title or own, plots, target.suffix))
    return target


_TABLES: tuple[tuple[type[Any], Callable[[Any], Table]], ...] = (
    (Distribution, lambda rows: distribution_table("distributions", rows)),
    (Comparison, lambda rows: comparison_table("integers against floats", rows)),
    (Row, lambda rows: sweep_table("sweep", rows, 0)),
    (Sensitivity, lambda rows: sensitivity_table("sensitivity", rows)),
)


def _plots(results: Any) -> tuple[str, Sequence[Plot]]:
    """A title, and what there is to draw."""
    if isinstance(results, Table):
        return results.title, results.plots
    if isinstance(results, ValidationReport):
        return f"{results.model}: labels against predictions", (confusion_plot(results),)
    if isinstance(results, SimulationReport):
        table = simulation_tables.layer_table(results)
        return table.title, (*table.plots, memory_plot(results), memory_curve(results))
    if isinstance(results, Sweep):
        table = simulation_tables.sweep_table(results)
        return table.title, table.plots
    for kind, table_of in _TABLES:
        if isinstance(results, list | tuple) and results and isinstance(results[0], kind):
            table = table_of(results)
            return table.title, table.plots
    raise UsageError(
        f"there is no picture of {type(results).__name__}",
        hint="weights, activations, compare, sweep_options, sensitivity, validate, simulate",
    )
