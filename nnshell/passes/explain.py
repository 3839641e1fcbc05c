"""What became of a node: what fused into it and why what did not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nnshell.ir.graph import Graph
from nnshell.ir.select import inner_nodes, near_names, select_one
from nnshell.passes.base import Note
from nnshell.passes.manager import PassRecord
from nnshell.reading.registry import ImportNote
from nnshell.support.errors import GraphError

IMPORT = "import"  # in place of a pass's name: reading the model file
NOW = "now"  # in place of a pass's name: the state of the graph


@dataclass(frozen=True, slots=True)
class Explanation:
    """One line of the story of a node: which pass wrote it, and the note."""

    pass_name: str
    note: Note


def explain(
    graph: Graph,
    node: str,
    records: Sequence[PassRecord] = (),
    imported: Sequence[ImportNote] = (),
) -> list[Explanation]:
    """Every note of import and of passes that speaks of ``node``, oldest first, each once.

    ``node`` is a selector of one node, or the name of a node that a pass has removed. For a
    fusion the notes of its inner nodes are included. The last line, of pass ``now``, says how the
    node runs. Raises GraphError for an unknown name.
    """
    names = _names(graph, node, records, imported)
    told: dict[tuple[str, str], tuple[int, Explanation]] = {}
    for run, record in enumerate(records):
        for note in record.notes:
            if any(note.concerns(name) for name in names):
                told[note.node, note.text] = (run, Explanation(record.name, note))
    reading = [
        Explanation(IMPORT, Note(note.node, note.text, True, (note.absorbed,)))
        for note in imported
        if names & {note.node, note.absorbed}
    ]
    return [*reading, *_without_outdated(list(told.values())), _now(graph, node)]


def _now(graph: Graph, text: str) -> Explanation:
    """What the node is in the graph as it stands."""
    try:
        key, result = select_one(graph, text)
    except GraphError:
        return Explanation(NOW, Note(text, f"{text} is no longer in the graph", True))
    outer, _, inner = key.partition("/")
    if inner:
        line = f"{inner} runs inside {outer}"
    elif result.body is not None:
        parts = ", ".join(f"{n.name} ({n.kind})" for n in inner_nodes(result))
        line = f"{outer} is one kernel: {parts}"
    elif result.op.boundary or not result.inputs:
        line = (
            f"{outer} is a graph {result.kind}" if result.op.boundary else f"{outer} is a constant"
        )
    else:
        readers = ", ".join(f"{node.name} ({node.kind})" for node, _ in graph.consumers(outer))
        line = f"{outer} ({result.kind}) stands alone, read by {readers or 'nothing'}"
    return Explanation(NOW, Note(outer, line, True))


def _names(
    graph: Graph, text: str, records: Sequence[PassRecord], imported: Sequence[ImportNote]
) -> set[str]:
    try:
        key, result = select_one(graph, text)
    except GraphError as error:
        if _was_there(text, records, imported):
            return {text}
        raise GraphError(
            error.message, where=error.where, hint=error.hint or near_names(graph, text)
        ) from None
    fusion = {key.partition("/")[0]} if "/" in key else set()
    return {result.name, *fusion, *(inner.name for inner in inner_nodes(result))}


def _was_there(name: str, records: Sequence[PassRecord], imported: Sequence[ImportNote]) -> bool:
    """Whether passes or the reading of the file speak of a node that is gone."""
    if any(note.absorbed == name for note in imported):
        return True
    return any(note.concerns(name) for record in records for note in record.notes)


def _without_outdated(lines: list[tuple[int, Explanation]]) -> list[Explanation]:
    """Drop the near misses of a pass that a later run of the same pass did after all."""
    return [
        line
        for run, line in lines
        if line.note.done or not any(later > run and _did(done, line) for later, done in lines)
    ]


def _did(done: Explanation, missed: Explanation) -> bool:
    if not done.note.done or done.pass_name != missed.pass_name:
        return False
    about = missed.note.about or (missed.note.node,)
    return done.note.concerns(missed.note.node) and any(done.note.concerns(n) for n in about)
