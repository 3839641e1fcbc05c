"""Every pass has a case: graph text in, notes and graph text out.

A file of ``cases`` is called after the pass and holds a graph, a line ``====``, the notes (``+`` a
change, ``-`` a near miss) and the graph that the pass makes of it. ``--update-golden`` writes what
follows the line anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from nnshell.ir.text import parse_graph, print_graph
from nnshell.passes.catalogue import catalogue, passes_named
from nnshell.passes.manager import run_passes

from .nets import FloatCheck

CASES = Path(__file__).parent / "cases"
CUT = "====\n"


def test_every_pass_has_a_case() -> None:
    assert {entry.name for entry in catalogue()} == {path.stem for path in CASES.glob("*.txt")}


@pytest.mark.parametrize("path", sorted(CASES.glob("*.txt")), ids=lambda path: path.stem)
def test_case(path: Path, update_golden: bool) -> None:
    given, _, expected = path.read_text().partition(CUT)
    graph = parse_graph(given)
    (record,) = run_passes(graph, passes_named([path.stem]), check=FloatCheck(graph))
    notes = [f"{'+' if note.done else '-'} {note.text}\n" for note in record.notes]
    found = "".join(notes) + print_graph(graph)
    if update_golden:
        path.write_text(given + CUT + found)
        return
    assert record.changed
    assert found == expected
