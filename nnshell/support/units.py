"""Files that belong together, written as one: all are new, or all are as they were.

A unit is staged first: each file lies beside its target as ``.nnshell-TOKEN-NUMBER.part``. It is
then committed under the locks of its folders, so that of two programs that write to one folder the
second waits:

    1  everything staged is brought to the disk (fsync);
    2  a plan is written to each folder: which staged file becomes which;
    3  a commit record is made in the first folder: from here on the unit is the new one;
    4  the staged files are renamed, the folders brought to the disk, record and plans removed.

A program that is killed before 3 leaves the old files and some staged ones; one that is killed
after 3 leaves a plan that the next program to touch the folder carries out (``finish``). A plan
names files of its own folder only, so that a folder from a stranger can change nothing elsewhere.
What is staged and held by nobody (the first staged file of each folder is locked) is removed when
it is a minute old. A unit of a single file needs neither plan nor record: its rename is the commit.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from nnshell.support.errors import NNShellError
from nnshell.support.interrupts import interrupts_waiting
from nnshell.support.locks import (
    file_lock_if_free,
    folder_lock_if_free,
    folder_locks,
    hold_new,
    is_held,
)

Content = bytes | Callable[[IO[bytes]], object]  # what a file holds, or what writes it

_log = logging.getLogger(__name__)

_OURS = re.compile(r"\.nnshell-(?:(?P<token>[0-9a-f]{12})[-.].+|[a-z0-9_]{8})\.part")
_OLD_SECONDS = 60.0
_PLAN_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class _Staged:
    """A file that lies beside its target."""

    number: int
    path: Path
    target: Path


class Unit:
    """Files on their way: ``add``, ``append``, then ``commit``, and ``clean`` whatever happened."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(6)
        self._staged: list[_Staged] = []
        self._appended: list[tuple[Path, bytes]] = []
        self._made: list[Path] = []  # folders
        self._anchors: dict[Path, int] = {}  # a locked file in each folder: somebody is alive
        self._others: list[Path] = []  # plans and the like, to be removed
        _BEGUN.add(self)

    def add(self, contents: Mapping[Path, Content]) -> None:
        """Stage files; NNShellError names the first that cannot be written."""
        with interrupts_waiting():
            for path, content in contents.items():
                with refusals(path):
                    self._stage(self._target(path), content)

    def append(self, path: Path, content: bytes) -> None:
        """``content`` goes to the end of what the file holds when the unit is committed."""
        with refusals(path):
            self._appended.append((self._target(path), content))

    def _target(self, path: Path) -> Path:
        _make_folder(path.parent, self._made)
        return Path(os.path.realpath(path))

    def _stage(self, target: Path, content: Content) -> None:
        if target.is_dir():
            raise IsADirectoryError(21, "is a folder", str(target))
        try:  # one look: another program may replace it meanwhile
            mode = target.stat().st_mode
        except FileNotFoundError:
            mode = 0o666 & ~_umask()
        number = len(self._staged)
        path = _staged_path(target.parent, self._token, number)
        handle = self._opened(path)
        self._staged.append(_Staged(number, path, target))
        with os.fdopen(handle, "wb") as stream:
            if callable(content):
                content(stream)
            else:
                stream.write(content)
        path.chmod(stat.S_IMODE(mode))

    def _opened(self, path: Path) -> int:
        """A new file; the first of a folder is locked, as a sign that this program is alive."""
        while True:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            if path.parent in self._anchors:
                return handle
            if hold_new(handle):
                self._anchors[path.parent] = os.dup(handle)
                return handle
            os.close(handle)

    # -- committing ------------------------------------------------------------------------

    def commit(self) -> None:
        """Make all files what they are to be, or raise NNShellError and change none."""
        targets = [staged.target for staged in self._staged]
        folders = {target.parent for target in (*targets, *(path for path, _ in self._appended))}
        with folder_locks(folders):
            for folder in folders:
                _sweep(folder)
            with interrupts_waiting():
                for path, content in self._appended:
                    with refusals(path):
                        self._stage(path, _after_content_of(path, content))
                self._to_the_disk()
                self._replace(sorted(folders))
                for folder in folders:
                    _sync(folder)
                self._remove_others()

    def _to_the_disk(self) -> None:
        for staged in self._staged:
            with refusals(staged.target):
                _sync(staged.path)

    def _replace(self, folders: list[Path]) -> None:
        if len(self._staged) == 1:
            staged = self._staged[0]
            with refusals(staged.target):
                staged.path.replace(staged.target)
            return
        replaced: list[tuple[Path, Path | None]] = []  # targets, and what they were
        try:
            if self._staged:
                self._write_plans(folders)
            for staged in self._staged:
                with refusals(staged.target):
                    before = self._kept(staged)
                    staged.path.replace(staged.target)
                    replaced.append((staged.target, before))
        except BaseException:
            for target, before in reversed(replaced):
                _put_back(target, before)
            self._remove_others()
            raise

    def _write_plans(self, folders: list[Path]) -> None:
        first = folders[0]
        for folder in folders:
            files = {
                str(s.number): s.target.name for s in self._staged if s.target.parent == folder
            }
            plan = {"first": str(first), "folders": [str(f) for f in folders], "files": files}
            self._write_other(_plan_path(folder, self._token), json.dumps(plan).encode())
            _sync(folder)
        self._others.insert(0, _commit_path(first, self._token))
        self._write_other(_commit_path(first, self._token), b"")
        _sync(first)

    def _write_other(self, path: Path, content: bytes) -> None:
        with refusals(path):
            self._others.append(path)
            path.write_bytes(content)
            _sync(path)

    def _kept(self, staged: _Staged) -> Path | None:
        """Another name for what a target holds now; None where it does not exist."""
        before = staged.path.with_name(f".nnshell-{self._token}-{staged.number}.old.part")
        try:
            os.link(staged.target, before)
        except OSError:  # there is none, or the file system has no links
            return None
        self._others.append(before)
        return before

    def _remove_others(self) -> None:
        for path in self._others:  # the commit record first
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        self._others.clear()

    def clean(self) -> None:
        """Remove what a failed write left: staged files, then folders that are still empty."""
        self._remove_others()
        for staged in self._staged:
            with contextlib.suppress(OSError):
                staged.path.unlink(missing_ok=True)
        for descriptor in self._anchors.values():
            os.close(descriptor)
        self._anchors.clear()
        for folder in reversed(self._made):
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()
        _BEGUN.discard(self)


_BEGUN: set[Unit] = set()


def clean_all() -> None:
    """At the end of a process that a signal ends: no unit is left, wherever the signal struck."""
    for unit in list(_BEGUN):
        unit.clean()


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """What the operating system says about writing to ``path``, as an error of ours."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        hint = "it is a folder, give a file name" if _is_folder(path) else "give another path"
        raise NNShellError(f"cannot write {path}: {reason}", hint=hint) from None


def _after_content_of(path: Path, content: bytes) -> Content:
    def write(stream: IO[bytes]) -> None:
        if path.exists():
            with path.open("rb") as before:
                while block := before.read(1 << 20):
                    stream.write(block)
        stream.write(content)

    return write


def _put_back(target: Path, before: Path | None) -> None:
    with contextlib.suppress(OSError):
        if before is None:
            target.unlink(missing_ok=True)
        else:
            os.replace(before, target)


def _make_folder(folder: Path, results: list[Path]) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for entry in reversed(missing):
        with contextlib.suppress(FileExistsError):  # made by somebody else meanwhile
            entry.mkdir()
            results.append(entry)


def _is_folder(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return path.is_dir()
    return False


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # Windows opens no folders; one that cannot be listed
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        _log.debug("fsync of %s: %s", path, error)
        if path.is_file():
            raise
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


# -- what killed programs left -------------------------------------------------------------


def finish(folder: Path) -> None:
    """Carry out units that were committed and not completed in ``folder``; remove old rests.

    Reading from a folder calls this first. It changes nothing while another program writes there,
    and raises nothing: what cannot be read here is refused where it is read.
    """
    with contextlib.suppress(OSError):
        folder = Path(os.path.realpath(folder))
        if any(_OURS.fullmatch(name) for name in os.listdir(folder)):
            with folder_lock_if_free(folder) as free:
                if free:
                    _sweep(folder)


def _sweep(folder: Path) -> None:
    """``finish``, with the lock of the folder held."""
    with contextlib.suppress(OSError):
        groups: dict[str, list[Path]] = {}
        for entry in os.listdir(folder):
            if match := _OURS.fullmatch(entry):
                groups.setdefault(match["token"] or entry, []).append(folder / entry)
        for token, paths in groups.items():
            paths.sort(key=_number)
            with file_lock_if_free(paths[0]) as free:  # what its writer would lock
                if not free or any(is_held(path) for path in paths[1:]):
                    continue
                plan = _plan(folder, token)
                if plan is not None and _commit_path(plan.first, token).is_file():
                    _carry_out(plan, token)
                elif all(_age_seconds(path) > _OLD_SECONDS for path in paths):
                    _remove(paths)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What becomes of the staged files of a folder."""

    folder: Path
    first: Path
    folders: tuple[Path, ...]
    files: dict[str, str]


def _plan(folder: Path, token: str) -> _Plan | None:
    """The plan of a unit in a folder; None where there is none that could be ours."""
    path = _plan_path(folder, token)
    try:
        if path.is_symlink() or path.stat().st_size > _PLAN_BYTES:
            return None
        values = json.loads(path.read_bytes())
        files = {str(int(number)): str(name) for number, name in values["files"].items()}
        folders = tuple(Path(str(entry)) for entry in values["folders"])
        plan = _Plan(folder, Path(str(values["first"])), folders, files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    plain = all(name == os.path.basename(name) and name not in ("", ".", "..") for name in
                files.values())  # fmt: skip
    return plan if plain and folder in folders and plan.first == folders[0] else None


def _carry_out(plan: _Plan, token: str) -> None:
    """Rename what is still staged, in this folder and in the others of the unit."""
    complete = _rename_staged(plan, token)
    for other in plan.folders:
        its = _plan(other, token) if other != plan.folder else None
        if its is None:
            continue
        with folder_lock_if_free(other) as free:
            complete = complete and free and _rename_staged(its, token)
    if not complete:
        return
    _remove([_commit_path(plan.first, token)])
    for folder in plan.folders:
        with contextlib.suppress(OSError):
            _remove([folder / n for n in os.listdir(folder) if n.startswith(f".nnshell-{token}")])
    _log.info("completed what a killed program was writing to %s", plan.folder)


def _rename_staged(plan: _Plan, token: str) -> bool:
    for number, name in plan.files.items():
        staged = _staged_path(plan.folder, token, int(number))
        try:
            if stat.S_ISREG(staged.lstat().st_mode):
                staged.replace(plan.folder / name)
        except FileNotFoundError:  # it was renamed before
            continue
        except OSError:
            return False
    _sync(plan.folder)
    return True


def _age_seconds(path: Path) -> float:
    return time.time() - path.lstat().st_mtime


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _number(path: Path) -> tuple[bool, int]:
    """The staged files of a unit, the first one first; then its plan and the like."""
    match = re.fullmatch(r"\.nnshell-[0-9a-f]{12}-(\d+)\.part", path.name)
    return match is None, int(match[1]) if match else 0


def _staged_path(folder: Path, token: str, number: int) -> Path:
    return folder / f".nnshell-{token}-{number}.part"


def _plan_path(folder: Path, token: str) -> Path:
    return folder / f".nnshell-{token}.plan.part"


def _commit_path(folder: Path, token: str) -> Path:
    return folder / f".nnshell-{token}.commit.part"
