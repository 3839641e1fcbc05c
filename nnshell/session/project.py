"""The project: a graph, and all that a session knows of it.

``ir.Graph`` is nodes, name and source; passes, operators, engines, chips and targets take it and
the one thing they need. What commands did to a graph (``recipe``), what calibration saw
(``statistics``), what was chosen (``quantization_options``, ``settings``, ``input_options``), what
was learned on samples, and how it was before each command (``snapshots``) is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields

from nnshell.inputs.options import InputOptions
from nnshell.ir.graph import Graph, Node
from nnshell.passes.base import Pass
from nnshell.passes.manager import Check, PassRecord, run_passes
from nnshell.quantization import (
    Basis,
    ImportedQuantization,
    Learned,
    QuantizationOptions,
    Statistics,
)
from nnshell.reading.registry import ImportNote
from nnshell.reports.table import Table
from nnshell.session.steps import Step
from nnshell.support.errors import QuantizationError
from nnshell.support.settings import Settings


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a question of a lab or a tutorial, as the page to hand in shows it.

    ``right`` is None where nothing can check it; ``explanation`` is what was said to it.
    """

    question: str
    answer: str
    right: bool | None = None
    explanation: str = ""
    lesson: str = ""  # the tutorial or lab that asked


@dataclass(slots=True, eq=False)
class Project:
    """A graph with its settings, recipe, statistics, options, learned values and snapshots.

    ``settings`` are shared with the session that opened the graph, and with the snapshots.
    Nodes can be read through the project: ``project["conv1"]``, ``for node in project``.
    """

    graph: Graph
    settings: Settings = field(default_factory=Settings)
    recipe: list[Step] = field(default_factory=list)
    statistics: Statistics | None = None  # of the last calibration
    quantization_options: QuantizationOptions | None = None  # of the last quantization
    learned: Learned | None = None  # integers, biases and ranges that were chosen on samples
    input_options: InputOptions | None = None  # of the last calibration
    import_notes: tuple[ImportNote, ...] = ()  # what reading the model file did
    pass_records: list[PassRecord] = field(default_factory=list)  # in the order they ran
    told: set[str] = field(default_factory=set)  # notes on its inputs that are news only once
    answers: list[Answer] = field(default_factory=list)  # to questions, oldest first
    tables: list[Table] = field(default_factory=list)  # of studies, oldest first, for the page
    snapshots: list[Project] = field(default_factory=list)  # before each command, for undo
    imported: ImportedQuantization | None = None  # what the model file says, opened with -q

    # -- reading the graph ---------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The graph's name."""
        return self.graph.name

    @property
    def inputs(self) -> list[Node]:
        """Graph inputs in the model's order."""
        return self.graph.inputs

    @property
    def outputs(self) -> list[Node]:
        """Output nodes in the model's order."""
        return self.graph.outputs

    @property
    def quantized(self) -> bool:
        """Whether every node of the graph has its records."""
        return self.graph.quantized

    def steps(self) -> list[Node]:
        """Nodes in step order; the position in the list is the step number."""
        return self.graph.steps()

    def __getitem__(self, name: str) -> Node:
        return self.graph[name]

    def __contains__(self, name: str) -> bool:
        return name in self.graph

    def __iter__(self) -> Iterator[Node]:
        return iter(self.graph)

    def __len__(self) -> int:
        return len(self.graph)

    def __repr__(self) -> str:
        state = "int8" if self.quantized else "float"
        return f"<Project {self.name}: {len(self.graph)} nodes, {state}, {len(self.recipe)} steps>"

    def _repr_html_(self) -> str:
        return self.graph._repr_html_()

    # -- quantization --------------------------------------------------------------------------

    @property
    def basis(self) -> Basis:
        """What the graph is quantized from; QuantizationError when it was not calibrated."""
        if self.statistics is None:
            raise QuantizationError(
                "there are no statistics to quantize from",
                where=self.name,
                hint="run aquant first",
            )
        return Basis(
            self.statistics,
            self.quantization_options or QuantizationOptions(),
            self.learned or Learned(),
            self.from_file,
        )

    @property
    def from_file(self) -> ImportedQuantization | None:
        """The model file's quantization, until a calibration takes its place."""
        if self.imported is None or self.statistics is not self.imported.statistics:
            return None
        return self.imported

    def quantize(self, basis: Basis) -> None:
        """Quantize the graph, and remember from what."""
        basis.quantize(self.graph)
        self.statistics, self.quantization_options = basis.statistics, basis.options
        self.learned = basis.learned if basis.learned.filters or basis.learned.ranges else None

    # -- passes --------------------------------------------------------------------------------

    def run_passes(
        self, passes: Sequence[Pass] | Iterable[Pass], check: Check | None = None
    ) -> list[PassRecord]:
        """Run graph passes and keep their records."""
        records = run_passes(self.graph, passes, check=check)
        self.pass_records.extend(records)
        return records

    # -- what the page shows -------------------------------------------------------------------

    def keep(self, table: Table) -> Table:
        """Remember a study's table for the page, in place of an older one of the same title."""
        self.tables[:] = [entry for entry in self.tables if entry.title != table.title]
        self.tables.append(table)
        return table

    # -- copies --------------------------------------------------------------------------------

    def copy(self) -> Project:
        """An independent graph and lists; settings, notes, answers, tables and values are shared.

        The copy has no snapshots of its own.
        """
        return Project(
            self.graph.copy(),
            self.settings,
            list(self.recipe),
            self.statistics,
            self.quantization_options,
            self.learned,
            self.input_options,
            self.import_notes,
            list(self.pass_records),
            self.told,
            self.answers,
            self.tables,
            imported=self.imported,
        )

    def restore(self, saved: Project) -> None:
        """Become what ``saved`` is (undo, or an interrupted command); snapshots stay.

        The graph object stays the same, with the nodes of the saved one.
        """
        twin = saved.copy()
        for entry in fields(self):
            if entry.name not in ("graph", "snapshots"):
                setattr(self, entry.name, getattr(twin, entry.name))
        self.graph.restore(twin.graph)

    def remember(self) -> Callable[[], None]:
        """A function, to be called once, that brings everything back, snapshots too."""
        saved, snapshots = self.copy(), list(self.snapshots)

        def bring_back() -> None:
            self.restore(saved)
            self.snapshots = snapshots

        return bring_back
