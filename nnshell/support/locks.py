"""Locks on folders: who changes several files of one waits for others who do.

A lock is the operating system's on the folder itself: it leaves no file behind, and ends with the
process that holds it. Where there is none (Windows, some network file systems) nobody waits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from nnshell.support.errors import NNShellError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

WAIT_SECONDS = 30.0
_PAUSE_SECONDS = 0.02
_DAY_SECONDS = 86_400.0


@contextmanager
def folder_locks(folders: Iterable[Path]) -> Iterator[None]:
    """Hold the locks of all ``folders``; NNShellError when one is not free for WAIT_SECONDS."""
    deadline = time.monotonic() + WAIT_SECONDS
    with ExitStack() as held:
        for folder in sorted(set(folders)):  # everybody in this order: nobody waits in a circle
            while (descriptor := _taken(folder)) is None:
                if time.monotonic() > deadline:
                    raise NNShellError(
                        f"another program is writing to {folder}", hint="try again when it is done"
                    )
                time.sleep(_PAUSE_SECONDS)
            if descriptor >= 0:
                held.callback(os.close, descriptor)
        yield


@contextmanager
def folder_lock_if_free(folder: Path) -> Iterator[bool]:
    """Whether the lock was free; it is held in the block then."""
    descriptor = _taken(folder)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None and descriptor >= 0:
            os.close(descriptor)


def _taken(folder: Path) -> int | None:
    """A descriptor that holds the lock, -1 where there are no locks, None while others hold it."""
    if fcntl is None:
        return -1
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # no permission to list it; writing to it will say what is wrong
        return -1
    if hold(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def hold(descriptor: int) -> bool:
    """Lock an open file or folder until the descriptor is closed; False while others hold it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def hold_new(descriptor: int) -> bool:
    """Lock a file that was just made; False when somebody has removed it before it was locked.

    Whoever removes files holds their locks meanwhile (``file_lock_if_free``), for no longer.
    """
    if fcntl is not None:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    return os.fstat(descriptor).st_nlink > 0


@contextmanager
def file_lock_if_free(path: Path) -> Iterator[bool]:
    """Whether no program that is alive holds the lock of a file; it is held in the block then.

    Where there are no locks, files are taken to be held for a day.
    """
    if fcntl is None:
        yield time.time() - path.stat().st_mtime >= _DAY_SECONDS
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        yield True
        return
    try:
        yield hold(descriptor)
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a program that is alive holds the lock of a file, as ``file_lock_if_free``."""
    with file_lock_if_free(path) as free:
        return not free
