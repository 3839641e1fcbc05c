"""The file of typed lines: written as they are typed, shared by sessions that run side by side."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: one write per line is all the protection there is
    fcntl = None  # type: ignore[assignment]

_log = logging.getLogger(__name__)

_KEPT_LINES = 2000


def default_path() -> Path:
    """The history file in the user's state directory."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "nnshell" / "history"


class HistoryFile:
    """Lines of earlier sessions, oldest first, and the place where new ones go."""

    def __init__(self, path: Path, kept_lines: int = _KEPT_LINES) -> None:
        self.path = path
        self._kept_lines = kept_lines

    def load(self) -> list[str]:
        """The newest lines; the file is shortened when it has grown to twice what is kept."""
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        if len(lines) > 2 * self._kept_lines:
            self._shorten()
        return lines[-self._kept_lines :]

    def append(self, line: str) -> None:
        """Add one line at once, so that neither a crash nor another session loses it.

        What a killed session or a full disk left without its end stays a line of its own.
        """
        data = line.replace("\n", " ").encode("utf-8", errors="replace") + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked() as descriptor:
                os.write(descriptor, data if _ends_whole(descriptor) else b"\n" + data)
        except OSError as error:
            _log.debug("history is not kept: %s", error)

    def _shorten(self) -> None:
        """Put a shorter file in its place, under the lock that ``append`` takes.

        The old one is whole until the new one is there; who waited for its lock looks again.
        """
        shorter = self.path.with_name(f".{self.path.name}.part")
        with contextlib.suppress(OSError), self._locked():
            kept = self.path.read_bytes().splitlines(keepends=True)[-self._kept_lines :]
            try:
                descriptor = os.open(shorter, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.writelines(kept)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(shorter, self.path)
            finally:
                shorter.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The file, open for appending and locked: the one that has its name now."""
        while True:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
            descriptor = os.open(self.path, flags, 0o600)
            try:
                _lock(descriptor)
                if _is_still(self.path, descriptor):
                    yield descriptor
                    return
            finally:
                os.close(descriptor)


def _ends_whole(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return not size or os.pread(descriptor, 1, size - 1) == b"\n" if hasattr(os, "pread") else True


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock(descriptor: int) -> None:
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
