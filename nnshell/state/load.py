"""Loading: find the model, check that it is the same, and replay the recipe on it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from nnshell.ir.graph import Graph, all_nodes
from nnshell.quantization.options import QuantizationOptions
from nnshell.quantization.ranges.statistics import Statistics
from nnshell.session.project import Project
from nnshell.session.steps import Step
from nnshell.state.document import State
from nnshell.state.read import read_state
from nnshell.state.write import digest_of
from nnshell.support.errors import NNShellError, StateError
from nnshell.support.settings import Settings

Result = TypeVar("Result")

OPEN = "open"  # the step that reads the model; the first of every recipe

_LOG = logging.getLogger(__name__)

# What a function may raise when the options in a file are not those it takes.
_MISFITS = (
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
)


@dataclass(frozen=True, slots=True)
class Replay:
    """The functions that carry out the steps of a recipe.

    ``open`` reads the model file with the options of its step; ``commands`` are the others by
    name. A step that quantizes finds what was saved in ``project.statistics`` and
    ``project.quantization_options``.
    """

    open: Callable[[Path, Step, Settings], Project]
    commands: Mapping[str, Callable[[Project, Step], None]]


def load_state(
    path: Path | str,
    replay: Replay,
    *,
    model_path: Path | str | None = None,
    settings: Settings | None = None,
) -> Project:
    """The project a state file describes, quantized as it was when it was saved.

    ``model_path`` says where the model is now. ``settings`` are the session's: the saved values
    are put into them, and taken out again when loading fails.
    """
    path = Path(path)
    state = read_state(path)
    _check_steps(state, replay, path)
    model = _find_model(state, path, model_path)
    settings = settings if settings is not None else Settings()
    before = settings.copy()
    try:
        for name, value in state.settings.items():
            settings.assign(name, value)
        project = _replay(state, replay, model, settings, path)
        _apply_node_options(project.graph, state, path)
    except BaseException:
        settings.restore(before)
        raise
    return project


def _check_steps(state: State, replay: Replay, path: Path) -> None:
    """Every step is known before the first one runs."""
    for number, step in enumerate(state.recipe):
        if step.command in replay.commands or (number == 0 and step.command == OPEN):
            continue
        raise StateError(
            f"step {number} of the recipe, '{step.command[:60]}', is none of this version's"
            f" commands; nnshell {state.nnshell[:40]} wrote it",
            where=str(path),
            hint=f"use nnshell {state.nnshell[:40]}",
        )


def _find_model(state: State, path: Path, model_path: Path | str | None) -> Path:
    """The model file: where the state says, or ``model_path``, which may be another model."""
    expected = Path(os.path.realpath(path.parent)) / state.model
    model = Path(os.path.normpath(expected)) if model_path is None else Path(model_path)
    if not _is_file(model):
        raise StateError(
            f"the state's model is not at {model}",
            where=str(path),
            hint=f"if it moved, type `open {path} --orgmodel_path PATH`",
        )
    result = digest_of(model)
    difference = f"SHA-256 is {result[:16]}..., and was {state.sha256[:16]}... in the state"
    if result != state.sha256 and model_path is None:
        raise StateError(
            f"the model {model} has changed: its {difference}",
            where=str(path),
            hint=f"calibrate it again, or type `open {path} --orgmodel_path PATH`",
        )
    if result != state.sha256:
        _LOG.warning("%s is not the model of %s: its %s", model, path, difference)
    return model


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that must not be searched
        return False


def _replay(state: State, replay: Replay, model: Path, settings: Settings, path: Path) -> Project:
    steps = list(state.recipe)
    opening = steps.pop(0) if steps and steps[0].command == OPEN else Step(OPEN)
    project = _guarded(partial(replay.open, model, opening, settings), opening, path)
    project.graph.name = state.graph
    project.settings = settings
    if state.statistics is not None:
        project.statistics = _guarded(
            partial(Statistics.from_json, state.statistics), Step("statistics"), path
        )
    if state.quantization_options is not None:
        project.quantization_options = _guarded(
            partial(QuantizationOptions.from_mapping, state.quantization_options),
            Step("quantization_options"),
            path,
        )
    done = [opening]
    for step in steps:
        project.recipe = list(done)  # with the lines as typed, so that undo brings them back
        _guarded(partial(replay.commands[step.command], project, step), step, path)
        done.append(step)
    project.recipe = list(state.recipe)
    return project


def _guarded(act: Callable[[], Result], step: Step, path: Path) -> Result:
    """Run one step; whatever its options make of it, the error says which step it was."""
    where = f"{path}, step '{(step.line or step.command)[:80]}'"
    try:
        return act()
    except NNShellError as error:
        message = f"replay failed: {error.message}"
        raise StateError(message, where=where, hint=error.hint, details=error.details) from error
    except _MISFITS as error:
        _LOG.debug("replay of %s", where, exc_info=True)
        reason = " ".join(str(error).split())[:200]
        raise StateError(
            f"replay failed, its options do not fit: {reason}",
            where=where,
            hint="the state file was edited, or is of another version",
        ) from error


def _apply_node_options(graph: Graph, state: State, path: Path) -> None:
    nodes = {name: node for name, node, _ in all_nodes(graph)}
    for name, options in state.node_options.items():
        if name not in nodes:
            raise StateError(
                f"it has options for a node '{name[:80]}', which the graph does not have",
                where=str(path),
            )
        nodes[name].options = dict(options)
