"""Commands that change a graph: all or nothing, recorded in the recipe, undoable."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nnshell.session.project import Project
from nnshell.session.steps import Step
from nnshell.support.errors import GraphError
from nnshell.support.settings import Settings

_SNAPSHOTS = 50  # nodes are small and arrays are shared, so a snapshot costs little
_OPEN = "open"
_SETTING = "set"
_QUANTIZING = ("aquant", "fquant")
LEARNING = ("bcorr", "adaround", "scale_search")  # their steps hold what they chose
_REPLACED = (*_QUANTIZING, "qtune", *LEARNING)  # by a new quantization, with its own options


@contextmanager
def recorded(
    project: Project, command: str, options: dict[str, Any] | None = None
) -> Iterator[None]:
    """Run a block that edits a project; on success append it to the recipe, else undo it.

    Leaving the block by any exception, Ctrl-C included, restores it.
    """
    saved = project.copy()
    try:
        yield
    except BaseException:
        project.restore(saved)
        raise
    if command in _QUANTIZING:
        project.recipe = [step for step in project.recipe if step.command not in _REPLACED]
    project.recipe.append(Step(command, options or {}))
    project.snapshots = [*project.snapshots, saved][-_SNAPSHOTS:]


def remember_setting(project: Project, name: str, value: Any) -> None:
    """Append a setting that is about to change; of changes in a row the last is kept."""
    saved = project.copy()
    saved.settings = project.settings.copy()
    row = len(project.recipe)
    while row and project.recipe[row - 1].command == _SETTING:
        row -= 1
    others = [step for step in project.recipe[row:] if step.options.get("name") != name]
    project.recipe = [*project.recipe[:row], *others, _setting_step(name, value)]
    project.snapshots = [*project.snapshots, saved][-_SNAPSHOTS:]


def opening(options: dict[str, Any], settings: Settings) -> list[Step]:
    """The first steps of a recipe: a model is read, with settings that were changed before."""
    changed = [
        _setting_step(entry.name, settings[entry.name], typed=True) for entry in settings.changed()
    ]
    return [Step(_OPEN, options), *changed]


def only_opened(project: Project) -> bool:
    """Whether nothing was done to the graph since its model was read."""
    return all(step.command in (_OPEN, _SETTING) for step in project.recipe)


def _setting_step(name: str, value: Any, *, typed: bool = False) -> Step:
    line = f"{_SETTING} {name} {shlex.quote(str(value))}" if typed else ""
    return Step(_SETTING, {"name": name, "value": value}, line)


def undo(project: Project) -> Step:
    """Take back the last recorded command; returns it. GraphError when there is none.

    Settings are the session's: the graph goes on sharing them, and only one that a ``set`` changed
    gets its former value.
    """
    if not project.snapshots:
        raise GraphError("there is nothing to undo", where=project.name)
    undone = project.recipe[-1] if project.recipe else Step("open")
    saved, settings = project.snapshots[-1], project.settings
    if undone.command == _SETTING:
        name = undone.options["name"]
        settings.assign(name, saved.settings[name])
    project.restore(saved)
    project.settings = settings
    project.snapshots = project.snapshots[:-1]
    return undone
