"""Files: reading no more than expected, writing so that a reader never sees half of one.

What is written goes beside the target first and is renamed then.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import IO

from nnshell.support.errors import NNShellError

MAX_TEXT_BYTES = 1 << 26
_CHUNK_BYTES = 1 << 20


def read_bounded(path: Path | str, most: int = MAX_TEXT_BYTES) -> bytes:
    """The content of a file, pipe or device; OSError beyond ``most`` bytes."""
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


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, or leave it as it is and raise NNShellError."""
    write_all_atomically({path: content})


def write_all_atomically(contents: Mapping[Path, bytes]) -> None:
    """Write several files, folders included; none is touched before all of them are on the disk.

    Targets that are no regular files (a terminal, a pipe) are written to directly, and first.
    Ctrl-C takes effect before or after the files are written, not while some are.
    """
    files: dict[Path, bytes] = {}
    for path, content in contents.items():
        with _refusals(path):
            if _is_stream(path):
                path.write_bytes(content)
            else:
                files[path] = content
    together = _TOGETHER.get()
    if together is not None:
        together.add(files)
        return
    with written_together():
        write_all_atomically(files)


@contextmanager
def written_together() -> Iterator[None]:
    """All files that the block writes appear at its end; none if it is left by an exception."""
    pending = _Pending()
    token = _TOGETHER.set(pending)
    try:
        yield
        with interrupts_waiting():
            pending.replace()
    finally:
        _TOGETHER.reset(token)
        with interrupts_waiting():
            pending.clean()


class _Pending:
    """Files that lie beside their targets, and folders that were made for them."""

    def __init__(self) -> None:
        self._staged: list[tuple[Path, Path]] = []
        self._made: list[Path] = []

    def add(self, contents: Mapping[Path, bytes]) -> None:
        with interrupts_waiting():
            for path, content in contents.items():
                with _refusals(path):
                    _make_folder(path.parent, self._made)
                    target = Path(os.path.realpath(path))
                    self._staged.append((_stage(target, content), target))

    def replace(self) -> None:
        for temporary, target in self._staged:
            with _refusals(target):
                temporary.replace(target)

    def clean(self) -> None:
        """Remove what a failed write left: temporary files, then folders that are still empty."""
        for temporary, _ in self._staged:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        for folder in reversed(self._made):
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()


_TOGETHER: ContextVar[_Pending | None] = ContextVar("files written together", default=None)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """What the operating system says about writing to ``path``, as an error of ours."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        hint = "it is a folder, give a file name" if _is_folder(path) else "give another path"
        raise NNShellError(f"cannot write {path}: {reason}", hint=hint) from None


@contextmanager
def interrupts_waiting() -> Iterator[None]:
    """A block that Ctrl-C does not cut in two: it takes effect behind the block."""
    handler = signal.getsignal(signal.SIGINT)
    interrupted_here = threading.current_thread() is threading.main_thread()
    if handler is None or not interrupted_here:
        yield
        return
    arrived: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda *given: arrived.append(given))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if arrived and callable(handler):
            handler(*arrived[0])


def _make_folder(folder: Path, made: list[Path]) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for entry in reversed(missing):
        entry.mkdir()
        made.append(entry)


def _is_stream(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def _is_folder(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return path.is_dir()
    return False


def _stage(target: Path, content: bytes) -> Path:
    """Content in a temporary file beside ``target``, with the permissions of the target."""
    if target.is_dir():
        raise IsADirectoryError(21, "is a folder", str(target))
    mode = target.stat().st_mode if target.exists() else 0o666 & ~_umask()
    handle, name = tempfile.mkstemp(prefix=".nnshell-", suffix=".part", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        temporary.chmod(stat.S_IMODE(mode))
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
