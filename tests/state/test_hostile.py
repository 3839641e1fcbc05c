"""State files from strangers: whatever is in them, one error in one line comes out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnshell.session.project import Project
from nnshell.state import Replay, load_state, read_state, save_state
from nnshell.state.read import MAX_FILE_BYTES
from nnshell.support.errors import NNShellError, StateError

VALID: dict[str, Any] = {
    "format": "nnshell-state",
    "version": 1,
    "nnshell": "0.1.0",
    "graph": "net",
    "model": {"path": "net.onnx", "sha256": "0" * 64},
    "settings": {"l1_size": 64000},
    "recipe": [{"command": "adjust", "options": {}, "line": "adjust"}],
    "quantization_options": {"scheme": "SQ8"},
    "node_options": {"input_1": {"ALLOCATE": "1"}},
    "statistics": {"input_1": {"min": -1.0, "max": 1.0}},
}


def refused(path: Path) -> str:
    with pytest.raises(StateError) as caught:
        read_state(path)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600
    return message


def changed(**entries: Any) -> str:
    return json.dumps({**VALID, **entries})


def test_the_valid_document_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps(VALID))
    assert read_state(path).settings == {"l1_size": 64000}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "a list"),
        ("null", "null"),
        ("7", "a number"),
        ("{}", "did not write it"),
        ('{"format": 1}', "did not write it"),
        ("[" * 100_000, "deep"),
        ('{"a":' * 100_000, "deep"),
        ("[" * 30 + "]" * 30, "deep"),
        ('{"a": NaN}', "NaN"),
        ('{"a": 1e999}', "not finite"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON"),
        ('{"a": 99999999999999999999}', "64 bits"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a": "\\ud800"}', "Unicode"),
        ('{"a": "\\u0000"}', "control character"),
        ('{"a": "' + "x" * 200_000 + '"}', "characters"),
        (changed(version=2), "version 2"),
        (changed(version="1"), "no version"),
        (changed(version=True), "no version"),
        (changed(model={"path": "", "sha256": "0" * 64}), "no path"),
        (changed(model={"path": 3, "sha256": "0" * 64}), "not a text"),
        (changed(model={"path": "x", "sha256": "zz"}), "SHA-256"),
        (changed(model={"path": "x"}), "has no 'sha256'"),
        (changed(recipe={}), "not a list"),
        (changed(recipe=[[]]), r"recipe\[0\] is a list"),
        (changed(recipe=[{"command": "a", "options": {}}]), "has no 'line'"),
        (changed(recipe=[{"command": "a", "options": [], "line": ""}]), "not an object"),
        (changed(recipe=[VALID["recipe"][0]] * 20_000), "20000 steps"),
        (changed(settings={"l1_sise": 1}), "l1_sise"),
        (changed(settings={"l1_size": "1"}), "l1_size"),
        (changed(settings={"l1_size": [1]}), "l1_size"),
        (changed(settings=[]), "settings is a list"),
        (changed(node_options={"a": 1}), "not an object"),
        (changed(node_options={"a": {"b": 1}}), "not a text"),
        (changed(statistics=[]), "statistics is a list"),
        (changed(quantization_options=3), "not an object"),
        (changed(extra=1), "unknown key 'extra'"),
    ],
)
def test_a_broken_file_is_refused_with_the_reason(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    assert re.search(reason, refused(path))


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_bytes(b"\xff\xfe\x00")
    assert "not a text file" in refused(path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    with path.open("wb") as stream:
        stream.truncate(MAX_FILE_BYTES + 1)
    assert "more than" in refused(path)


@pytest.mark.parametrize("name", ["missing.json", "", "a\0b"])
def test_a_file_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    assert "no state file" in refused(tmp_path / name) or name == ""


def test_a_state_of_nntool_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"history": ["set log_level INFO", "open x.onnx"], "stats": None}))
    message = refused(path)
    assert "NNTool wrote it" in message and "aquant --stats" in message


def test_a_newer_version_names_who_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(changed(version=7, nnshell="9.9"))
    assert "written by nnshell 9.9" in refused(path)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    whole = json.dumps(VALID)
    for length in range(len(whole)):
        path.write_text(whole[:length])
        refused(path)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["open", "adjust", "aquant", "../../etc/passwd", "net.onnx", "/dev/zero"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every value inside ``value``."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += places(inner, (*path, index))
    return found


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_mutated_values_give_errors_of_ours_or_a_graph(
    data: st.DataObject, project: Project, replay: Replay
) -> None:
    path = save_state(project)
    document = json.loads(path.read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(places(document)))
        holder = document
        for key in place[:-1]:
            holder = holder[key]
        if isinstance(holder, dict) and data.draw(st.booleans()):
            del holder[place[-1]]
        else:
            holder[place[-1]] = data.draw(JSON)
    path.write_text(json.dumps(document))
    loads_or_complains(path, replay)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_mutated_bytes_give_errors_of_ours_or_a_graph(
    data: st.DataObject, project: Project, replay: Replay
) -> None:
    path = save_state(project)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, max(len(content) - 1, 0)))
        action = data.draw(st.sampled_from(["set", "cut", "insert", "end"]))
        if action == "set":
            content[at : at + 1] = bytes([data.draw(st.integers(0, 255))])
        elif action == "cut":
            del content[at : at + data.draw(st.integers(1, 40))]
        elif action == "insert":
            content[at:at] = data.draw(st.binary(max_size=12))
        else:
            del content[at:]
    path.write_bytes(bytes(content))
    loads_or_complains(path, replay)


def loads_or_complains(path: Path, replay: Replay) -> None:
    try:
        load_state(path, replay)
    except NNShellError as error:
        assert "\n" not in str(error)
