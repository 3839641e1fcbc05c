"""Improvements of a project's integers: applied when they help, recorded, replayed from a state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nnshell.experiments.bench import Bench, Outcome
from nnshell.inputs.input_set import Batch
from nnshell.learning.equalization import THRESHOLD, Pair, equalize_filters
from nnshell.learning.judged import Change, best_of
from nnshell.quantization import Learned, QuantizationOptions
from nnshell.quantization.ranges.calibration import calibrate_graph
from nnshell.session.edits import requantized
from nnshell.session.project import Project
from nnshell.session.recipe import LEARNING, recorded
from nnshell.session.steps import Step
from nnshell.support.errors import UsageError


def apply_learned(project: Project, command: str, learned: Learned) -> None:
    """Quantize the graph with what was learned, on top of what was before; recorded."""
    with recorded(project, command, {"learned": learned.to_json()}):
        project.quantize(project.basis.with_learned(learned))


def apply_if_better(
    project: Project, command: str, candidates: Sequence[Learned], batches: Sequence[Batch]
) -> Change:
    """Apply the candidate with the least noise, if it has less than there is; recorded."""
    change, best = best_of(project.graph, project.basis, candidates, batches)
    if change.applied:
        apply_learned(project, command, best)
    return change


@dataclass(frozen=True, slots=True)
class Equalization:
    """Pairs of filters, and for a quantized graph the noise before and after.

    ``learned`` names commands whose choice belongs to the weights as they are, so that the graph
    was left alone.
    """

    pairs: list[Pair]
    change: Change | None = None
    learned: tuple[str, ...] = ()


def equalize(
    project: Project, batches: Sequence[Batch] | None = None, threshold: float = THRESHOLD
) -> Equalization:
    """Equalize all pairs of filters; recorded.

    A quantized graph is calibrated again on ``batches``, for the ranges it has are of the old
    channels, and quantized again; that is kept only when its output is less noisy and nothing
    was learned for the weights as they are. Raises UsageError when there is no pair or the
    samples are missing, GraphError when the float function would change.
    """
    if project.quantized and not batches:
        raise UsageError(
            "the graph is quantized: its ranges must be measured again",
            where=project.name,
            hint="weight_equalization IMAGES",
        )
    if not project.quantized:
        with recorded(project, "weight_equalization", {"threshold": threshold}):
            return Equalization(_equalized(project, batches, threshold))
    twin = project.copy()
    pairs = _equalized(twin, batches, threshold)
    before, after = (_outcome(entry, batches or ()) for entry in (project, twin))
    learned = tuple(step.command for step in project.recipe if step.command in LEARNING)
    keep = project.learned is None and after.noise < before.noise
    if keep:
        with recorded(project, "weight_equalization", {"threshold": threshold}):
            project.restore(twin)
    names = tuple(dict.fromkeys(learned)) if project.learned is not None else ()
    return Equalization(pairs, Change(before, after, keep), names)


def _equalized(project: Project, batches: Sequence[Batch] | None, threshold: float) -> list[Pair]:
    """Equalize the filters; a quantized graph gets ranges and records of the new channels."""
    with requantized(project):
        project.learned = None  # was chosen for the old weights
        pairs = equalize_filters(project.graph, threshold)
        if batches and project.statistics is not None:
            options = project.quantization_options or QuantizationOptions()
            project.statistics = calibrate_graph(
                project.graph, batches, clip_type=options.clip_types
            )
    return pairs


def _outcome(project: Project, batches: Sequence[Batch]) -> Outcome:
    return Bench(project.graph, project.basis, batches).try_basis(project.basis)


def replay_learned(command: str, project: Project, step: Step) -> None:
    """A step of a state file, which holds all that was learned."""
    apply_learned(project, command, Learned.from_json(step.options.get("learned")))


def replay_equalization(project: Project, step: Step) -> None:
    """The state's ranges are those measured last, so none are measured here."""
    with requantized(project):
        project.learned = None
        equalize_filters(project.graph, **step.options)
