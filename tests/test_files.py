"""Atomic writes: whole files or none, and errors in one line."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from nnshell.errors import NNShellError
from nnshell.files import write_all_atomically, write_atomically


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b" / "c.bin", b"xyz")
    assert (tmp_path / "a" / "b" / "c.bin").read_bytes() == b"xyz"


def test_nothing_is_left_when_one_of_several_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    old = tmp_path / "old"
    old.write_bytes(b"before")
    contents = {old: b"after", tmp_path / "new" / "n": b"1", tmp_path / "file" / "x": b"2"}
    with pytest.raises(NNShellError, match="cannot write") as caught:
        write_all_atomically(contents)
    assert "\n" not in str(caught.value)
    assert old.read_bytes() == b"before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "old"]


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    with pytest.raises(NNShellError, match="folder"):
        write_atomically(tmp_path, b"")


def test_an_interruption_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "state.json"
    target.write_bytes(b"before")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, b"after")
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


def test_permissions_of_a_replaced_file_stay(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.write_bytes(b"1")
    target.chmod(0o640)
    write_atomically(target, b"2")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"1")
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link", b"2")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"2"


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    write_atomically(Path(os.devnull), b"gone")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_path_with_a_zero_byte_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NNShellError, match="cannot write"):
        write_atomically(tmp_path / "a\0b", b"")
