"""The session: what a failed or interrupted command leaves behind."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nnshell.ir.graph import Graph, constant_node
from nnshell.session.project import Project
from nnshell.session.steps import Step
from nnshell.shell.history import HistoryFile
from nnshell.shell.session import Opened, Session
from nnshell.support.errors import GraphError, UsageError


def graph_with(*names: str) -> Graph:
    graph = Graph("g")
    for name in names:
        graph.add(constant_node(name, np.zeros(3, np.float32)))
    return graph


def session_with(*graphs: Graph) -> Session:
    session = Session()
    for graph in graphs:
        session.add(Opened(Project(graph), "g.onnx"), keep=True)
    return session


@pytest.mark.parametrize("error", [GraphError("no"), KeyboardInterrupt(), ValueError("bug")])
def test_a_command_that_does_not_finish_changes_nothing(error: BaseException) -> None:
    session = session_with(graph_with("a"))
    project, settings = session.project, session.settings
    graph = project.graph
    with pytest.raises(type(error)), session.transaction():
        graph.add(constant_node("b", np.zeros(1, np.float32)))
        project.recipe.append(Step("adjust"))
        project.snapshots.append(Project(graph_with()))
        session.settings.assign("l1_size", 1)
        session.tensors["x"] = 1
        session.add(Opened(Project(graph_with("c")), "c.onnx"), keep=True)
        raise error
    assert session.project is project and session.graph is graph and session.settings is settings
    assert list(graph.nodes) == ["a"] and not project.recipe and not project.snapshots
    assert settings.l1_size == 64000
    assert session.tensors == {} and len(session.opened) == 1


def test_a_replaced_graph_comes_back() -> None:
    session = session_with(graph_with("a"))
    with pytest.raises(KeyboardInterrupt), session.transaction():
        session.add(Opened(Project(graph_with("b")), "b.onnx"), keep=False)
        raise KeyboardInterrupt
    assert list(session.graph.nodes) == ["a"]


def test_a_command_that_finishes_keeps_its_changes() -> None:
    session = session_with(graph_with("a"))
    with session.transaction():
        session.project.recipe.append(Step("adjust"))
    assert len(session.project.recipe) == 1


def test_unsaved_changes_are_those_since_the_last_save() -> None:
    session = session_with(graph_with("a"))
    current = session.current
    assert not current.unsaved
    current.project.recipe.append(Step("adjust"))
    session.note_line("adjust")
    assert current.unsaved and current.project.recipe[0].line == "adjust"
    current.mark_saved()
    assert not current.unsaved
    current.project.recipe[:] = [Step("adjust")]
    assert current.unsaved


def test_noting_the_line_of_a_saved_step_keeps_it_saved() -> None:
    session = session_with(graph_with("a"))
    session.project.recipe.append(Step("open"))
    session.current.mark_saved()
    session.note_line("open g.onnx")
    assert not session.current.unsaved


def test_no_graph_says_how_to_get_one() -> None:
    with pytest.raises(GraphError, match="open MODEL"):
        _ = Session().graph


def test_a_second_graph_replaces_the_first_unless_kept() -> None:
    session = session_with(graph_with("a"), graph_with("b"))
    session.select(0)
    session.add(Opened(Project(graph_with("c")), "c.onnx"), keep=False)
    assert [list(o.graph.nodes) for o in session.opened] == [["c"], ["b"]]
    with pytest.raises(UsageError):
        session.select(2)


def test_history_survives_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "history"
    for line in ("open a", "show 1", "multi\nline"):
        HistoryFile(path).append(line)
    assert HistoryFile(path).load() == ["open a", "show 1", "multi line"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_long_history_keeps_its_newest_lines(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_text("".join(f"line {n}\n" for n in range(25)))
    history = HistoryFile(path, kept_lines=10)
    assert history.load() == [f"line {n}" for n in range(15, 25)]
    assert path.read_text().splitlines() == history.load()
    history.append("next")
    assert history.load()[-2:] == ["line 24", "next"]


_TYPES_LINES = """
import sys
from pathlib import Path
from nnshell.shell.history import HistoryFile
path, name = Path(sys.argv[1]), sys.argv[2]
for number in range(200):
    HistoryFile(path, kept_lines=50).append(f"{name} {number}")
    HistoryFile(path, kept_lines=1000).load()
"""


def test_two_sessions_do_not_lose_each_others_lines(tmp_path: Path) -> None:
    path = tmp_path / "history"
    command = [sys.executable, "-c", _TYPES_LINES, str(path)]
    others = [subprocess.Popen([*command, name]) for name in ("a", "b")]
    assert [other.wait() for other in others] == [0, 0]
    lines = path.read_text().splitlines()
    for name in ("a", "b"):
        assert [x for x in lines if x.startswith(name)] == [f"{name} {n}" for n in range(200)]


def test_a_history_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    history = HistoryFile(tmp_path / "file" / "history")
    history.append("open a")
    assert history.load() == []
