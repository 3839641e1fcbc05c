"""What is on a page, as data: facts at the top, then sections of text, tables and plots."""

from __future__ import annotations

from dataclasses import dataclass

from nnshell.reports.graph_layout import GraphPicture
from nnshell.reports.plots import Plot
from nnshell.reports.table import Table


@dataclass(frozen=True, slots=True)
class Fact:
    """A figure that stands at the top: what it is, the figure, a word about it."""

    name: str
    value: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A plot with its title; ``lead`` says what to see in it."""

    title: str
    plot: Plot
    lead: str = ""


@dataclass(frozen=True, slots=True)
class Tabulated:
    """A table; its notes are printed below it. ``folded`` shows it only when it is opened."""

    table: Table
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Graphs:
    """The graph at several stages, by title; the last one is shown first."""

    pictures: tuple[tuple[str, GraphPicture], ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Lines that were typed."""

    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a lab, what was answered, and whether that is right (None: not checked)."""

    question: str
    answer: str
    right: bool | None
    explanation: str = ""
    lesson: str = ""


@dataclass(frozen=True, slots=True)
class Questions:
    """Questions and answers, in their order."""

    entries: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Warned:
    """Lines that deserve attention."""

    lines: tuple[str, ...]


Part = Drawn | Tabulated | Graphs | Code | Questions | Warned


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what stands below it; ``lead`` is the sentence or two that begin it."""

    key: str
    title: str
    parts: tuple[Part, ...]
    lead: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that `report` writes."""

    title: str
    subtitle: str
    facts: tuple[Fact, ...]
    sections: tuple[Section, ...]
