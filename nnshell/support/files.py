"""Files: reading no more than expected, writing so that a reader never sees half of one.

Whatever writes files calls this module, and files that belong together are one unit:

    write_atomically(path, content)         one file
    write_all_atomically({path: content})   a set: model.c, model.h and tensors; a state and its
                                            data; a page and its pictures. All are the new ones, or
                                            all are as they were: after an error, Ctrl-C, a full
                                            disk, a signal or kill -9, and with a second program
                                            that writes to the same folder (it waits)
    with written_together(): ...            the same for all calls in a block. The shell puts every
                                            command in one: a command writes all its files or none
    write_at_once(path, content)            one file, on the disk when the call returns, also inside
                                            a block: what has to outlive a program that is killed
    append_atomically(path, content)        `>>`: with others who append at the same time, all
                                            contents arrive, each in one piece

A content is bytes, or a function that writes to a binary stream, for what is better not held in
memory. When a function returns, or at the end of the block, the files are on the disk (fsync of
files and folders). ``finish(folder)`` completes what a killed program had committed there; reading
a model or a state and writing to a folder do it by themselves. How it works: ``units``.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO

from nnshell.support.interrupts import interrupts_waiting
from nnshell.support.units import Content, Unit, finish, refusals

__all__ = [
    "Content",
    "append_atomically",
    "finish",
    "interrupts_waiting",
    "read_bounded",
    "read_text",
    "write_all_atomically",
    "write_at_once",
    "write_atomically",
    "written_together",
]


MAX_TEXT_BYTES = 1 << 26
_CHUNK_BYTES = 1 << 20


def read_bounded(path: Path | str, most: int = MAX_TEXT_BYTES) -> bytes:
    """The content of a file, pipe or device; OSError beyond ``most`` bytes."""
    finish(Path(path).parent)
    with open(path, "rb") as stream:
        status = os.fstat(stream.fileno())
        if stat.S_ISREG(status.st_mode):
            content = stream.read() if status.st_size <= most else None
        else:  # endless, as far as its size tells
            content = _read_in_chunks(stream, most)
    if content is None:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return content


def read_text(path: Path | str, most: int = MAX_TEXT_BYTES) -> str:
    """UTF-8 text, with or without byte order mark; as ``read_bounded``, or UnicodeDecodeError."""
    text = read_bounded(path, most).decode("utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_in_chunks(stream: IO[bytes], most: int) -> bytes | None:
    chunks: list[bytes] = []
    left = most
    while chunk := stream.read(_CHUNK_BYTES):
        left -= len(chunk)
        if left < 0:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def write_atomically(path: Path, content: Content) -> None:
    """Replace ``path`` by ``content``, or leave it as it is and raise NNShellError."""
    write_all_atomically({path: content})


def write_all_atomically(contents: Mapping[Path, Content]) -> None:
    """Write several files, folders included; none is touched before all of them are on the disk.

    Targets that are no regular files (a terminal, a pipe) are written to directly, and first.
    Signals take effect before or after the files are written, not while some are.
    """
    files: dict[Path, Content] = {}
    for path, content in contents.items():
        with refusals(path):
            if _is_stream(path):
                _write_to_stream(path, content)
            else:
                files[path] = content
    with _unit() as unit:
        unit.add(files)


def write_at_once(path: Path, content: Content) -> None:
    """As ``write_atomically``, without waiting for the end of the block it is called in."""
    with written_together():
        write_atomically(path, content)


def append_atomically(path: Path, content: bytes) -> None:
    """Add ``content`` at the end of a file, whole and in one piece, whoever else does the same."""
    with refusals(path):
        if _is_stream(path):
            _write_to_stream(path, content)
            return
    with _unit() as unit:
        unit.append(path, content)


@contextmanager
def written_together() -> Iterator[None]:
    """All files that the block writes appear at its end; none if it is left by an exception."""
    with _begun() as unit:
        yield
        unit.commit()


@contextmanager
def _unit() -> Iterator[Unit]:
    """The unit of the block we are in, or one of its own that is committed here."""
    current = _TOGETHER.get()
    if current is not None:
        yield current
        return
    with _begun() as unit:
        yield unit
        unit.commit()


@contextmanager
def _begun() -> Iterator[Unit]:
    unit = Unit()
    token = _TOGETHER.set(unit)
    try:
        yield unit
    finally:
        _TOGETHER.reset(token)
        with interrupts_waiting():
            unit.clean()


_TOGETHER: ContextVar[Unit | None] = ContextVar("files written together", default=None)


def _write_to_stream(path: Path, content: Content) -> None:
    with path.open("wb") as stream:
        if callable(content):
            content(stream)
        else:
            stream.write(content)


def _is_stream(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)
