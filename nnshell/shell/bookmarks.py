"""Where each tutorial was left, kept beside the history: the next session goes on from there."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnshell.support.files import write_atomically
from nnshell.tutorials.tour import Reply

if TYPE_CHECKING:
    from nnshell.shell.app import Shell

_FILE = "tutorials.json"
_MOST_BYTES = 1 << 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bookmark:
    """The step to go on at, from 1, and the answers given before it."""

    step: int
    replies: tuple[Reply, ...] = ()


class Bookmarks:
    """A small JSON file; without a path nothing is kept. What cannot be read counts as absent."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def find(self, name: str) -> Bookmark | None:
        """The bookmark of a tutorial."""
        entry: Any = self._load().get(name)
        try:
            replies = tuple(_reply(value) for value in entry["answers"])
            step = int(entry["step"])
        except (TypeError, KeyError, ValueError):
            return None
        return Bookmark(step, replies) if step >= 1 else None

    def keep(self, name: str, bookmark: Bookmark) -> None:
        """Remember a place; a disk that takes nothing is no reason to stop."""
        entry = {"step": bookmark.step, "answers": [asdict(reply) for reply in bookmark.replies]}
        entries = self._load()
        if entries.get(name) != entry:
            self._store({**entries, name: entry})

    def forget(self, name: str) -> None:
        """The tutorial is done."""
        entries = self._load()
        if entries.pop(name, None) is not None:
            self._store(entries)

    def _load(self) -> dict[str, Any]:
        try:
            if self._path is None or self._path.stat().st_size > _MOST_BYTES:
                return {}
            entries = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return dict(entries) if isinstance(entries, dict) else {}

    def _store(self, entries: Mapping[str, Any]) -> None:
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, json.dumps(entries, indent=1).encode())
        except OSError as error:
            _log.debug("the place in the tutorial is not kept: %s", error)


def _reply(value: Mapping[str, Any]) -> Reply:
    right = value["right"]
    return Reply(
        str(value["question"]),
        str(value["answer"]),
        right if isinstance(right, bool) else None,
        str(value["expected"]),
    )


def bookmarks_of(shell: Shell) -> Bookmarks:
    """Beside the history of typed lines, where that is kept."""
    history = shell.history_path
    return Bookmarks(None if history is None else history.with_name(_FILE))
