"""Bounded reads; atomic writes: whole files or none, and errors in one line."""

from __future__ import annotations

import errno
import os
import signal
import stat
from pathlib import Path
from typing import BinaryIO

import pytest

from nnshell.support.errors import NNShellError
from nnshell.support.files import (
    read_bounded,
    read_text,
    write_all_atomically,
    write_atomically,
    written_together,
)


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


def test_ctrl_c_waits_until_all_files_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def interrupt(temporary: Path, target: Path) -> Path:
        signal.raise_signal(signal.SIGINT)
        return replace(temporary, target)

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_all_atomically({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"1", "b": b"2"}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_full_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second file does not fit."""
    (tmp_path / "a").write_bytes(b"before")
    fdopen = os.fdopen

    def full(handle: int, mode: str) -> BinaryIO:
        stream = fdopen(handle, mode)
        if len(list(tmp_path.glob(".nnshell-*"))) < 2:
            return stream
        stream.close()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(NNShellError, match=r"cannot write .*b: No space left on device"):
        write_all_atomically({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"before"}


def test_a_device_that_is_full_is_an_error(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(NNShellError, match="No space left"):
        write_all_atomically({tmp_path / "a": b"1", Path("/dev/full"): b"2"})
    assert not list(tmp_path.iterdir())


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


def test_files_written_together_appear_together(tmp_path: Path) -> None:
    with written_together():
        write_atomically(tmp_path / "new" / "a", b"1")
        write_atomically(tmp_path / "b", b"2")
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix == ""]
    assert (tmp_path / "new" / "a").read_bytes() == b"1"
    assert (tmp_path / "b").read_bytes() == b"2"


def test_none_of_them_appears_when_the_block_fails(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"before")
    with pytest.raises(ValueError, match="late"), written_together():
        write_atomically(tmp_path / "new" / "a", b"1")
        write_atomically(tmp_path / "b", b"2")
        raise ValueError("late")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("b", b"before")]


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb")
    assert read_text(path, 7) == "a\nb"
    with pytest.raises(OSError, match="more than 6 bytes") as caught:
        read_bounded(path, 6)
    assert caught.value.errno == errno.EFBIG


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no endless device here")
def test_a_device_without_end_is_read_up_to_the_limit() -> None:
    with pytest.raises(OSError, match="more than 10 bytes"):
        read_bounded("/dev/zero", 10)
    assert read_bounded("/dev/null") == b""
