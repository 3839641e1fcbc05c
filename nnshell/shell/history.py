"""The file of typed lines: written as they are typed, shared by sessions that run side by side."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
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
        """Add one line at once, so that neither a crash nor another session loses it."""
        data = line.replace("\n", " ").encode("utf-8", errors="replace") + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            _log.debug("history is not kept: %s", error)
            return
        with os.fdopen(descriptor, "wb", buffering=0) as file, contextlib.suppress(OSError):
            _lock(file.fileno())
            file.write(data)

    def _shorten(self) -> None:
        """Rewrite in place, under the lock that `append` takes: no other session's line is lost."""
        with contextlib.suppress(OSError), self.path.open("r+b") as file:
            _lock(file.fileno())
            kept = b"".join(file.readlines()[-self._kept_lines :])
            file.seek(0)
            file.write(kept)
            file.truncate()


def _lock(descriptor: int) -> None:
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
