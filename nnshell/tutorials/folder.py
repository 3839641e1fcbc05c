"""The folder that a tutorial writes to: one of its own, which version control leaves alone."""

from __future__ import annotations

from pathlib import Path

from nnshell.support.errors import NNShellError

DEFAULT = "tutorial_output"
_IGNORE_FILE = ".gitignore"
_IGNORE_ALL = "*\n"


def prepare(folder: Path) -> None:
    """Make the folder. A new one gets a file that tells git to ignore all of it."""
    if folder.is_dir():
        return
    try:
        folder.mkdir(parents=True)
        (folder / _IGNORE_FILE).write_text(_IGNORE_ALL)
    except OSError as error:
        message = f"cannot make the folder {folder}: {error.strerror}"
        raise NNShellError(message, hint="name another one: --output FOLDER") from None


def tidy(folder: Path) -> bool:
    """Remove the folder if nothing was written to it; whether it still is there."""
    ignore = folder / _IGNORE_FILE
    if folder.is_dir() and [*folder.iterdir()] == [ignore] and ignore.read_text() == _IGNORE_ALL:
        ignore.unlink()
        folder.rmdir()
    return folder.is_dir()
