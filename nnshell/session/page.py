"""The page of a project: its script, graph, layers, distributions, errors, chip and answers.

``page_of`` collects what there is to say, section by section; what needs samples is only there when
they are given, what needs integers only once the graph is quantized.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from nnshell.chips import SimulationReport
from nnshell.execution.metrics import Comparison, compare_engines
from nnshell.execution.scores import METRICS, Metric, describe_scores, natural_metric
from nnshell.execution.validation import ValidationReport
from nnshell.inputs.input_set import Batch
from nnshell.reports import chip_plots, simulation_tables
from nnshell.reports.distribution_tables import distribution_table
from nnshell.reports.distributions import constant_distributions
from nnshell.reports.graph_layout import graph_picture
from nnshell.reports.layer_overview import layer_overview
from nnshell.reports.page.content import (
    Code,
    Drawn,
    Fact,
    Graphs,
    Page,
    Part,
    Question,
    Questions,
    Section,
    Tabulated,
    Warned,
)
from nnshell.reports.page.render import page_html
from nnshell.reports.page.templates import check_extra
from nnshell.reports.plots import Curves, Plot
from nnshell.reports.quantization_tables import comparison_table, qshow_table
from nnshell.reports.simulation_text import headline
from nnshell.reports.table import Table
from nnshell.reports.tensor_text import accuracy_lines, confusion_plot
from nnshell.session import simulation, studies
from nnshell.session.project import Project
from nnshell.session.running import engine_for, evaluate, quantized_engine, validate
from nnshell.session.samples import Samples, batches_of
from nnshell.session.sizes import quantized_bytes
from nnshell.session.steps import Step
from nnshell.support.files import write_atomically

Progress = Callable[[int], None]
PASSES_OVER_SAMPLES = 4  # activations, errors, accuracy of floats and of integers
_SHORT = 100  # characters of an option that is printed
_POINT = 1.0  # of accuracy, whose loss is worth a warning


def report(
    project: Project,
    path: str | Path,
    samples: Samples | None = None,
    *,
    progress: Progress | None = None,
) -> Path:
    """Write one self-contained HTML file about a project; returns its path.

    With ``samples`` it has distributions of activations, errors by layer and, where they are
    labelled, accuracy and confusions. ``progress`` counts samples, ``PASSES_OVER_SAMPLES`` times
    each. NNShellError when the extra ``report`` is not installed.
    """
    check_extra()
    target = Path(path)
    write_atomically(target, page_html(page_of(project, samples, progress=progress)).encode())
    return target


@dataclass(slots=True)
class _Findings:
    """What the graph did on the samples."""

    count: int = 0
    errors: Sequence[Comparison] = ()
    floats: ValidationReport | None = None
    integers: ValidationReport | None = None
    lines: tuple[str, ...] = ()  # of a metric that is not accuracy
    activations: Table | None = None
    warnings: list[str] = field(default_factory=list)


def page_of(
    project: Project, samples: Samples | None = None, *, progress: Progress | None = None
) -> Page:
    """What ``report`` writes, as data."""
    known = _Findings()
    if samples is not None:
        with _heard(known.warnings):
            _run(project, list(batches_of(project, samples, check=True)), known, progress)
    chip = simulation.one_inference(project)
    title = f"{project.name}: constants"
    weights = distribution_table(title, constant_distributions(project.graph))
    sections = (
        _questions(project),
        _warnings(project, known, chip),
        _script(project),
        _graph(project),
        _layers(project, known, chip),
        _accuracy(known),
        _studies(project),
        _spread("weights", "Weights", weights, "Weights and biases of the graph."),
        _spread("activations", "Activations", known.activations, _about_activations(known.count)),
        _errors(project, known),
        _chip(chip),
    )
    return Page(
        project.name,
        _subtitle(project, known),
        tuple(_facts(project, known, chip)),
        tuple(section for section in sections if section is not None),
    )


# -- what samples say ------------------------------------------------------------------------


@contextmanager
def _heard(lines: list[str]) -> Iterator[None]:
    """Collects what is logged as a warning in the block."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger, listener = logging.getLogger("nnshell"), Listener(logging.WARNING)
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)


def _run(
    project: Project, batches: list[Batch], known: _Findings, progress: Progress | None
) -> None:
    known.count = sum(len(batch) for batch in batches)
    spread = studies.activations(project, batches, progress=progress)
    notes = studies.activation_notes(project)
    known.activations = distribution_table(f"{project.name}: activations", spread, notes)
    if project.quantized:
        name = quantized_engine(project)
        known.errors = compare_engines(
            project.graph,
            iter(batches),
            inner=False,
            progress=progress,
            engine=lambda graph, keys: engine_for(replace(project, graph=graph), name, keys),
            real=name == "simulated",
        )
    metric = natural_metric(project.graph, project.outputs[0].name)
    if metric in METRICS:
        _score(project, batches, known, metric, progress)
    else:
        _judge(project, batches, known, progress)


def _judge(
    project: Project, batches: list[Batch], known: _Findings, progress: Progress | None
) -> None:
    """Accuracy, where there are labels."""
    known.floats = validate(project, batches, progress=progress)
    if project.quantized:
        name = quantized_engine(project)
        known.integers = validate(project, batches, name, progress=progress)


def _score(
    project: Project,
    batches: list[Batch],
    known: _Findings,
    metric: Metric,
    progress: Progress | None,
) -> None:
    """A metric of outputs that are not classes."""
    name = quantized_engine(project) if project.quantized else "float"
    scored = evaluate(project, batches, name, metric, progress=progress)
    known.lines = describe_scores(scored)[1:]  # the first is how fast it went


# -- sections --------------------------------------------------------------------------------


def _subtitle(project: Project, known: _Findings) -> str:
    source = project.graph.source
    state = "quantized" if project.quantized else "float"
    words = [source.path.name if source is not None else "", f"{len(project)} nodes", state]
    words.append(f"{known.count:,} samples" if known.count else "no samples were given")
    return ", ".join(word for word in words if word)


def _facts(project: Project, known: _Findings, chip: SimulationReport) -> Iterator[Fact]:
    graph = project.graph
    parameters = graph.parameters()
    yield Fact("parameters", f"{parameters:,}", f"{_kilobytes(4 * parameters)} as float32")
    if project.quantized:
        size = quantized_bytes(graph)
        share = 100 * size / max(1, 4 * parameters)
        yield Fact("quantized", _kilobytes(size), f"{share:.1f} % of float32")
    yield from _accuracy_facts(known)
    error = f"{chip.macs_per_cycle:.2f} MAC/cycle, kernels {chip.kernels}"
    yield Fact("one inference", f"{chip.latency_ms:.3g} ms", f"{chip.total_cycles:,} cycles")
    yield Fact("MACs", f"{chip.macs:,}", error)
    yield Fact("energy", f"{chip.energy_mj:.3g} mJ", "of one inference")
    limit = chip.parameters.l2_size
    share = 100 * chip.l2_peak_bytes / max(1, limit)
    yield Fact("L2 at its fullest", _kilobytes(chip.l2_peak_bytes), f"{share:.0f} % of the budget")


def _accuracy_facts(known: _Findings) -> Iterator[Fact]:
    for name, entry in (("accuracy, float", known.floats), ("accuracy, integers", known.integers)):
        if entry is not None and entry.accuracy is not None:
            about = f"of {entry.labelled:,} labelled"
            if entry.agreement_with_float is not None:
                about = f"{100 * entry.agreement_with_float:.2f} % as float"
            yield Fact(name, f"{100 * entry.accuracy:.2f} %", about)


def _kilobytes(count: int) -> str:
    return f"{count / 1024:,.1f} KB" if count < 1 << 20 else f"{count / (1 << 20):,.2f} MB"


def _questions(project: Project) -> Section | None:
    entries = tuple(
        Question(a.question, a.answer, a.right, a.explanation, a.lesson) for a in project.answers
    )
    if not entries:
        return None
    checked = [entry for entry in entries if entry.right is not None]
    right = sum(entry.right is True for entry in checked)
    lead = f"{right} of {len(checked)} answers that were checked are right." if checked else ""
    return Section("questions", "Questions and answers", (Questions(entries),), lead)


def _warnings(project: Project, known: _Findings, chip: SimulationReport) -> Section | None:
    lines = list(dict.fromkeys(known.warnings))
    if remark := simulation.remark(project):
        lines.append(remark)
    lines += [str(shortfall) for shortfall in chip.shortfalls]
    before, after = (
        None if entry is None else entry.accuracy for entry in (known.floats, known.integers)
    )
    if before is not None and after is not None and 100 * (before - after) > _POINT:
        lines.append(f"quantization costs {100 * (before - after):.2f} points of accuracy")
    return Section("warnings", "Warnings", (Warned(tuple(lines)),)) if lines else None


def _script(project: Project) -> Section:
    text = "\n".join(step.line or _commented(step) for step in project.recipe)
    lead = "The commands that made this network; `nnshell -s FILE` runs them again."
    return Section("script", "Script", (Code(text),), lead)


def _commented(step: Step) -> str:
    """A step that no line stands for: it was a call from Python."""
    options = " ".join(f"{key}={value}" for key, value in step.options.items() if _is_short(value))
    return f"# {step.command} {options}".rstrip()


def _is_short(value: object) -> bool:
    return isinstance(value, str | int | float) and len(str(value)) < _SHORT


def _graph(project: Project) -> Section:
    stages = []
    before = project.snapshots[0].graph if project.snapshots else project.graph
    if [node.name for node in before] != [node.name for node in project]:
        stages.append(("as opened", graph_picture(before)))
    stages.append(("now", graph_picture(project.graph)))
    lead = "Shapes and bits stand beside the edges. Point at a node for all of its names."
    return Section("graph", "Graph", (Graphs(tuple(stages)),), lead)


def _layers(project: Project, known: _Findings, chip: SimulationReport) -> Section:
    parts: list[Part] = [Tabulated(layer_overview(project.graph, chip, known.errors))]
    if project.quantized:
        parts.append(Tabulated(qshow_table(project.graph), folded=True))
    return Section("layers", "Layers", tuple(parts), "Click on a heading to sort.")


def _accuracy(known: _Findings) -> Section | None:
    judged = known.integers or known.floats
    if judged is None:
        lead = "\n".join(known.lines)
        return Section("accuracy", "Result on the samples", (), lead) if lead else None
    parts: list[Part] = []
    if judged.labelled:
        parts.append(Drawn("Labels against predictions", confusion_plot(judged)))
    return Section(
        "accuracy", "Accuracy", tuple(parts), "\n".join(accuracy_lines(judged, speed=False))
    )


def _studies(project: Project) -> Section | None:
    parts: list[Part] = []
    for table in project.tables:
        drawn = [plot for plot in table.plots if isinstance(plot, Curves)]  # bars are in the cells
        parts += [Drawn(f"{table.title}: {plot.y_title}", plot) for plot in drawn]
        parts.append(Tabulated(table))
    lead = "What the studies of this session measured."
    return Section("studies", "Studies", tuple(parts), lead) if parts else None


def _spread(key: str, title: str, table: Table | None, lead: str) -> Section | None:
    if table is None:
        return None
    without = [index for index, column in enumerate(table.columns) if column.name != "Histogram"]
    shown = replace(
        table,
        columns=tuple(table.columns[index] for index in without),
        rows=tuple(tuple(row[index] for index in without) for row in table.rows),
        notes=tuple(note for note in table.notes if not note.startswith("histogram:")),
        plots=(),
    )
    drawn: list[Part] = [Drawn("Histograms", plot) for plot in table.plots]
    return Section(key, title, (*drawn, Tabulated(shown, folded=True)), lead)


def _about_activations(count: int) -> str:
    return f"Outputs of the float graph's layers over {count:,} samples."


def _errors(project: Project, known: _Findings) -> Section | None:
    if not known.errors:
        return None
    table = comparison_table("Integers against floats", known.errors, worst_first=True)
    lead = "How far each layer's integers are from the float graph, worst first."
    return Section("errors", "Error by layer", (Tabulated(table),), lead)


def _chip(chip: SimulationReport) -> Section:
    table = simulation_tables.layer_table(chip)
    drawn: list[tuple[str, Plot, str]] = [
        ("L2 while the layers run", chip_plots.memory_plot(chip), ""),
        ("L2 over time", chip_plots.memory_curve(chip), ""),
        ("Roofline", chip_plots.roofline_plot(chip), "Above its layers are the ceilings."),
    ]
    parts: list[Part] = [Tabulated(replace(table, title="Cycles and energy", notes=()))]
    parts += [Drawn(title, plot, lead) for title, plot, lead in drawn if chip.layers]
    return Section("chip", "On the chip", tuple(parts), "\n".join(headline(chip)))
