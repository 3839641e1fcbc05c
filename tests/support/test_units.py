"""Sets of files are one unit: whenever a program is killed, and however many write at once."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nnshell.support import units
from nnshell.support.errors import NNShellError
from nnshell.support.files import (
    append_atomically,
    finish,
    write_all_atomically,
    write_atomically,
    written_together,
)
from nnshell.support.locks import folder_locks

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

_EVENTS = {"open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.chmod"}
_KILLED = 9


@pytest.fixture(autouse=True)
def rests_are_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "_OLD_SECONDS", -1.0)


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.?")}


def rests(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".nnshell-*")]


def set_of(folder: Path, version: bytes) -> dict[Path, bytes]:
    names = ("model.c", "tensors/a.t", "tensors/b.t")
    return {folder / name: version + b" " + name.encode() for name in names}


def killed_at(position: int, act: Callable[[], object]) -> bool:
    """Whether ``act``, in a process that is killed at its event number ``position``, was killed."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == _KILLED
    left = position

    def watch(event: str, _: object) -> None:
        nonlocal left
        if event in _EVENTS:
            left -= 1
            if left < 0:
                os._exit(_KILLED)

    try:
        sys.addaudithook(watch)
        act()
    finally:
        os._exit(0)


@forks
@pytest.mark.parametrize("fresh", [False, True])
def test_wherever_a_program_is_killed_the_set_is_the_old_or_the_new_one(
    tmp_path: Path, fresh: bool
) -> None:
    seen = set()
    for position in range(1000):
        folder = tmp_path / str(position)
        before, after = set_of(folder, b"old"), set_of(folder, b"new")
        if not fresh:
            write_all_atomically(before)
        was_killed = killed_at(position, lambda after=after: write_all_atomically(after))
        for part in (folder, folder / "tensors"):
            finish(part)
        found = {path: path.read_bytes() for path in after if path.exists()}
        assert found in ({} if fresh else before, after), f"mixed after event {position}"
        assert not folder.exists() or not rests(folder)
        seen.add(found == after)
        if not was_killed:
            break
    assert position > 20
    assert seen == {False, True}


@forks
def test_the_next_to_write_completes_what_was_committed(tmp_path: Path) -> None:
    write_all_atomically(set_of(tmp_path, b"old"))
    for position in range(1000):
        killed_at(position, lambda: write_all_atomically(set_of(tmp_path, b"new")))
        if any(name.endswith(".commit.part") for name in rests(tmp_path)):
            break
    write_atomically(tmp_path / "other.c", b"!")
    expected = {**set_of(tmp_path, b"new"), tmp_path / "other.c": b"!"}
    assert {path: path.read_bytes() for path in expected} == expected
    assert not rests(tmp_path)


def _write_sets(folder: Path, version: bytes) -> None:
    for _ in range(15):
        write_all_atomically(set_of(folder, version))


def _append_lines(path: Path, who: int) -> None:
    for number in range(15):
        append_atomically(path, f"{who} {number}\n".encode())


def _all_at_once(act: Callable[..., None], *arguments: tuple[object, ...]) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=act, args=entry) for entry in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0


@forks
def test_of_two_programs_that_write_a_set_one_comes_last(tmp_path: Path) -> None:
    _all_at_once(_write_sets, (tmp_path, b"one"), (tmp_path, b"two"))
    assert content(tmp_path) in (
        {path.relative_to(tmp_path).as_posix(): data for path, data in files.items()}
        for files in (set_of(tmp_path, b"one"), set_of(tmp_path, b"two"))
    )
    assert not rests(tmp_path)


@forks
def test_nothing_is_lost_of_what_four_programs_append(tmp_path: Path) -> None:
    path = tmp_path / "log"
    _all_at_once(_append_lines, *((path, who) for who in range(4)))
    lines = path.read_text().splitlines()
    assert sorted(lines) == sorted(f"{who} {number}" for who in range(4) for number in range(15))
    assert not rests(tmp_path)


def test_who_waits_too_long_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnshell.support.locks.WAIT_SECONDS", 0.05)
    with folder_locks([tmp_path]):
        finish(tmp_path)  # reading does not wait
        with pytest.raises(NNShellError, match="another program is writing to"):
            write_atomically(tmp_path / "a", b"1")
    write_atomically(tmp_path / "a", b"1")
    assert (tmp_path / "a").read_bytes() == b"1"


def test_what_a_living_program_has_staged_stays(tmp_path: Path) -> None:
    with written_together():
        write_atomically(tmp_path / "a", b"1")
        finish(tmp_path)
        write_atomically(tmp_path / "b", b"2")
    assert (tmp_path / "a").read_bytes() + (tmp_path / "b").read_bytes() == b"12"


def test_a_rename_that_fails_puts_the_others_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_all_atomically(set_of(tmp_path, b"old"))
    replace = Path.replace

    def refuse(path: Path, target: Path) -> Path:
        if target.name == "b.t":
            raise PermissionError(1, "Operation not permitted")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refuse)
    after = {**set_of(tmp_path, b"new"), tmp_path / "added.c": b"new"}
    with pytest.raises(NNShellError, match=r"cannot write .*b\.t: Operation not permitted"):
        write_all_atomically(dict(sorted(after.items())))
    before = set_of(tmp_path, b"old")
    assert {path: path.read_bytes() for path in before} == before
    assert not (tmp_path / "added.c").exists()
    assert not rests(tmp_path)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "..", "", "sub/file"])
def test_a_plan_of_a_stranger_changes_nothing_elsewhere(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    token = "0123456789ab"
    (folder / f".nnshell-{token}-0.part").write_bytes(b"harm")
    plan = {"first": str(folder), "folders": [str(folder)], "files": {"0": name}}
    (folder / f".nnshell-{token}.plan.part").write_text(json.dumps(plan))
    (folder / f".nnshell-{token}.commit.part").touch()
    finish(folder)
    assert not (tmp_path / "outside").exists()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_damaged_plan_is_a_rest_like_others(tmp_path: Path) -> None:
    for number, text in enumerate(("", "[]", "{", '{"files": []}', '{"files": {"x": 1}}')):
        (tmp_path / f".nnshell-{number:012x}.plan.part").write_text(text)
    finish(tmp_path)
    assert not list(tmp_path.iterdir())


def test_young_rests_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "_OLD_SECONDS", 60.0)
    (tmp_path / ".nnshell-0123456789ab-0.part").touch()
    write_atomically(tmp_path / "a", b"1")
    assert rests(tmp_path) == [".nnshell-0123456789ab-0.part"]


def test_a_large_content_is_written_by_a_function(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", lambda stream: stream.writelines([b"1", b"2"]))
    assert (tmp_path / "a").read_bytes() == b"12"
