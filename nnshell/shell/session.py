"""What a shell session holds: open graphs, settings, script variables and stored tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nnshell.shell.makefiles.variables import ScriptVariables
from nnshell.support.errors import GraphError, UsageError
from nnshell.support.settings import Settings

if TYPE_CHECKING:  # the prompt appears without numpy
    from nnshell.ir.graph import Graph
    from nnshell.session.project import Project
    from nnshell.session.steps import Step


@dataclass(slots=True)
class Opened:
    """A project, the file it was opened from, and its recipe when it was last saved."""

    project: Project
    file: str
    saved: tuple[Step, ...] = ()

    @property
    def graph(self) -> Graph:
        return self.project.graph

    @property
    def unsaved(self) -> bool:
        recipe = self.project.recipe
        same = len(recipe) == len(self.saved)
        return not same or any(a is not b for a, b in zip(recipe, self.saved, strict=True))

    @property
    def unchanged(self) -> str:
        """What the toolbar says of a graph that has no unsaved changes."""
        changing = any(step.command not in ("open", "set") for step in self.project.recipe)
        return "saved" if changing else "as opened"

    def mark_saved(self) -> None:
        self.saved = tuple(self.project.recipe)


@dataclass(slots=True)
class Session:
    """The state behind the prompt; commands change it, the prompt and the toolbar show it."""

    settings: Settings = field(default_factory=Settings)
    opened: list[Opened] = field(default_factory=list)
    index: int = 0
    variables: ScriptVariables = field(default_factory=ScriptVariables)  # what $(NAME) finds
    tensors: dict[str, Any] = field(default_factory=dict)
    partial: bool = False  # the last command showed what it had when it was interrupted

    @property
    def current(self) -> Opened:
        if not self.opened:
            raise GraphError("no graph is open", hint="open one: `open MODEL.onnx`")
        return self.opened[self.index]

    @property
    def project(self) -> Project:
        return self.current.project

    @property
    def graph(self) -> Graph:
        return self.current.graph

    def add(self, opened: Opened, *, keep: bool) -> None:
        """Make a graph the current one, beside the current one (keep) or in its place."""
        if keep or not self.opened:
            self.opened.append(opened)
            self.index = len(self.opened) - 1
        else:
            self.opened[self.index] = opened

    def select(self, index: int) -> None:
        if not 0 <= index < len(self.opened):
            raise UsageError(f"there is no graph {index}", hint="`graph` lists the open graphs")
        self.index = index

    def note_line(self, line: str) -> None:
        """Write a command's line to the step it added to the recipe, their names to any others."""
        for opened in self.opened:
            recipe = opened.project.recipe
            new = [step for step in recipe if not step.line]
            with_line = {
                id(s): replace(s, line=s.command if n else line) for n, s in enumerate(new)
            }
            recipe[:] = [with_line.get(id(step), step) for step in recipe]
            opened.saved = tuple(with_line.get(id(step), step) for step in opened.saved)

    def remember(self) -> Callable[[], None]:
        """A function, to be called once, that brings graphs, settings and stored tensors back."""
        undo = [_remember(opened) for opened in self.opened]
        opened, index, tensors = list(self.opened), self.index, dict(self.tensors)
        settings = self.settings.copy()

        def restore() -> None:
            for restore_graph in undo:
                restore_graph()
            self.opened, self.index, self.tensors = opened, index, tensors
            self.settings.restore(settings)

        return restore

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Graphs, settings and stored tensors become what they were if the block is left early."""
        restore = self.remember()
        try:
            yield
        except BaseException:
            restore()
            raise


def _remember(opened: Opened) -> Callable[[], None]:
    project, saved_recipe = opened.project, opened.saved
    bring_back = project.remember()

    def restore() -> None:
        opened.project, opened.saved = project, saved_recipe
        bring_back()

    return restore
