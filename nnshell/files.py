"""Writing files so that a reader never sees half of one: beside the target first, then renamed."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from nnshell.errors import NNShellError


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, or leave it as it is and raise NNShellError."""
    write_all_atomically({path: content})


def write_all_atomically(contents: Mapping[Path, bytes]) -> None:
    """Write several files, folders included; none is touched before all of them are on the disk.

    Targets that are no regular files (a terminal, a pipe) are written to directly.
    """
    staged: list[tuple[Path, Path]] = []
    made: list[Path] = []
    current = Path()
    try:
        for current, content in contents.items():
            _make_folder(current.parent, made)
            target = Path(os.path.realpath(current))
            if _is_stream(target):
                target.write_bytes(content)
            else:
                staged.append((_stage(target, content), target))
        for temporary, current in staged:
            temporary.replace(current)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        hint = "give another path" if not current.is_dir() else "it is a folder, give a file name"
        raise NNShellError(f"cannot write {current}: {reason}", hint=hint) from None
    finally:
        _clean(staged, made)


def _make_folder(folder: Path, made: list[Path]) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for entry in reversed(missing):
        entry.mkdir()
        made.append(entry)


def _is_stream(target: Path) -> bool:
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


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


def _clean(staged: list[tuple[Path, Path]], made: list[Path]) -> None:
    """Remove what a failed write left: temporary files, then folders that are still empty."""
    for temporary, _ in staged:
        temporary.unlink(missing_ok=True)
    for folder in reversed(made):
        if not any(folder.iterdir()):
            folder.rmdir()
