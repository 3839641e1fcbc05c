"""Commands that change a graph: all or nothing, recorded in the recipe, undoable."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nnshell.ir.graph import Graph, Step
from nnshell.support.errors import GraphError
from nnshell.support.settings import Settings

_SNAPSHOTS = 50  # nodes are small and arrays are shared, so a snapshot costs little
_OPEN = "open"
_SETTING = "set"
_QUANTIZING = ("aquant", "fquant")
LEARNING = ("bcorr", "adaround", "scale_search")  # their steps hold what they chose
_REPLACED = (*_QUANTIZING, "qtune", *LEARNING)  # by a new quantization, with its own options


@contextmanager
def recorded(graph: Graph, command: str, options: dict[str, Any] | None = None) -> Iterator[None]:
    """Run a block that edits ``graph``; on success append it to the recipe, else undo it.

    Leaving the block by any exception, Ctrl-C included, restores the graph.
    """
    saved = graph.copy()
    try:
        yield
    except BaseException:
        graph.restore(saved)
        raise
    if command in _QUANTIZING:
        graph.recipe = [step for step in graph.recipe if step.command not in _REPLACED]
    graph.recipe.append(Step(command, options or {}))
    graph.snapshots = [*graph.snapshots, saved][-_SNAPSHOTS:]


def remember_setting(graph: Graph, name: str, value: Any) -> None:
    """Append a setting that is about to change; of changes in a row the last is kept."""
    saved = graph.copy()
    saved.settings = graph.settings.copy()
    row = len(graph.recipe)
    while row and graph.recipe[row - 1].command == _SETTING:
        row -= 1
    others = [step for step in graph.recipe[row:] if step.options.get("name") != name]
    graph.recipe = [*graph.recipe[:row], *others, _setting_step(name, value)]
    graph.snapshots = [*graph.snapshots, saved][-_SNAPSHOTS:]


def opening(options: dict[str, Any], settings: Settings) -> list[Step]:
    """The first steps of a recipe: a model is read, with settings that were changed before."""
    changed = [
        _setting_step(entry.name, settings[entry.name], typed=True) for entry in settings.changed()
    ]
    return [Step(_OPEN, options), *changed]


def only_opened(graph: Graph) -> bool:
    """Whether nothing was done to the graph since its model was read."""
    return all(step.command in (_OPEN, _SETTING) for step in graph.recipe)


def _setting_step(name: str, value: Any, *, typed: bool = False) -> Step:
    line = f"{_SETTING} {name} {shlex.quote(str(value))}" if typed else ""
    return Step(_SETTING, {"name": name, "value": value}, line)


def undo(graph: Graph) -> Step:
    """Take back the last recorded command; returns it. GraphError when there is none.

    Settings are the session's: the graph goes on sharing them, and only one that a ``set`` changed
    gets its former value.
    """
    if not graph.snapshots:
        raise GraphError("there is nothing to undo", where=graph.name)
    undone = graph.recipe[-1] if graph.recipe else Step("open")
    saved, settings = graph.snapshots[-1], graph.settings
    if undone.command == _SETTING:
        name = undone.options["name"]
        settings.assign(name, saved.settings[name])
    graph.restore(saved)
    graph.settings = settings
    graph.snapshots = graph.snapshots[:-1]
    return undone
