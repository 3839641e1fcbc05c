"""What a pass is: a frozen dataclass whose fields are its options, with one method to write.

A pass edits the graph in place and says what it did and what it nearly did, one line each. It
never raises because a rule does not fire: it leaves a note that says why.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from inspect import cleandoc
from typing import ClassVar

from nnshell.ir.graph import Graph, Node


@dataclass(frozen=True, slots=True)
class Note:
    """One line about ``node``: a change (``done``), or a near miss and its reason."""

    node: str
    text: str
    done: bool
    about: tuple[str, ...] = ()  # further nodes the line speaks of

    def concerns(self, name: str) -> bool:
        return name == self.node or name in self.about


@dataclass(frozen=True, slots=True)
class PassResult:
    """Whether the graph changed, and the notes in the order they were made."""

    changed: bool
    notes: tuple[Note, ...] = ()


class Notes:
    """Collects a pass's notes while it runs."""

    def __init__(self, pass_name: str) -> None:
        self.pass_name = pass_name
        self.changed = False
        self._notes: dict[tuple[str, str], Note] = {}

    def did(self, node: str, text: str, *about: str) -> None:
        """The graph was changed."""
        self.changed = True
        self._add(Note(node, text, True, about))

    def did_not(self, node: str, text: str, *about: str) -> None:
        """A rule nearly fired; ``text`` says why it did not."""
        self._add(Note(node, text, False, about))

    def info(self, node: str, text: str, *about: str) -> None:
        """Something true and worth reading; nothing was changed."""
        self._add(Note(node, text, True, about))

    def touch(self, *nodes: Node) -> None:
        """Record in the nodes' origins that this pass made or changed them."""
        for node in nodes:
            node.origin = node.origin.touched_by(self.pass_name)

    def result(self) -> PassResult:
        return PassResult(self.changed, tuple(self._notes.values()))

    def _add(self, note: Note) -> None:
        self._notes.setdefault((note.node, note.text), note)


@dataclass(frozen=True)
class Pass(ABC):
    """Base of every pass: fields are options, ``rewrite`` does the work."""

    name: ClassVar[str] = ""
    nntool_names: ClassVar[tuple[str, ...]] = ()  # what `fusions -a` also accepts

    def apply(self, graph: Graph) -> PassResult:
        """Edit ``graph`` in place; types are inferred again and dead nodes removed."""
        notes = Notes(self.name)
        self.rewrite(graph, notes)
        if notes.changed:
            graph.prune()
            graph.infer_types()
        return notes.result()

    @abstractmethod
    def rewrite(self, graph: Graph, notes: Notes) -> None:
        """Do the work; every change and every near miss leaves a note."""

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring, for lists."""
        return cleandoc(cls.__doc__ or "").partition("\n")[0]

    def options(self) -> str:
        """Options that differ from their defaults, as ``name=value`` pairs."""
        changed = [f for f in fields(self) if getattr(self, f.name) != f.default]
        return " ".join(f"{f.name}={getattr(self, f.name)}" for f in changed)
