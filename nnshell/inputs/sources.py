"""What a user names as inputs (files, folders, globs) as a sorted list of files of known kinds."""

from __future__ import annotations

import difflib
import glob
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from nnshell.inputs.labels import file_labels, name_label
from nnshell.inputs.reading import Caution, remark
from nnshell.support.errors import InputError

Kind = Literal["image", "dat", "npy", "npz", "idx", "idx-labels", "cifar-binary", "cifar-python"]
Split = Literal["train", "test"]

_KINDS: dict[str, Kind] = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".ppm", ".pgm", ".bmp"), "image"),
    ".dat": "dat",
    ".npy": "npy",
    ".npz": "npz",
}
_IDX_IMAGES = re.compile(r"idx[34]-ubyte(\.gz)?$")
_IDX_LABELS = re.compile(r"idx1-ubyte(\.gz)?$")
_CIFAR = re.compile(r"(data_batch_\d|test_batch)(\.bin)?$")
_TRAINING_BATCH = re.compile(r"data_batch_\d(\.bin)?$")
_BATCHES = range(1, 6)
_SINGLE_KINDS = ("image", "dat", "npy")  # files of one sample, labelled by where they are
_SET_KINDS = ("idx", "cifar-binary", "cifar-python")  # files of a data set with its own split
_IS_TEST = re.compile(r"t10k|test", re.IGNORECASE)

ACCEPTED = f"{' '.join(_KINDS)}, MNIST idx files, CIFAR-10 batches"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read, and its label when the name or the folder tells it."""

    path: str
    kind: Kind
    label: int | None = None


def file_kind(path: str) -> Kind | None:
    """What a file is by its name, or None when it is nothing that can be read."""
    name = os.path.basename(path)
    extension = os.path.splitext(name)[1].lower()
    if extension in _KINDS:
        return _KINDS[extension]
    if _IDX_IMAGES.search(name):
        return "idx"
    if _IDX_LABELS.search(name):
        return "idx-labels"
    match = _CIFAR.fullmatch(name)
    if match:
        return "cifar-binary" if match[2] else "cifar-python"
    return None


def find_files(pattern: str, split: Split | None, notes: list[str]) -> list[SourceFile]:
    """The files a pattern means: a file, a folder (with all below it) or a glob (``**`` too).

    Files found by a folder or a glob that cannot be inputs are left out, with a note; so are
    arrays beside images. ``split`` chooses the files of MNIST and CIFAR-10 folders.
    Raises InputError when nothing is found.
    """
    path = os.path.expanduser(pattern)
    status = _status(path)
    if status is None:
        if not glob.has_magic(path):
            raise InputError("no such file or folder", where=pattern, hint=_near(path))
        return _from_glob(path, split, notes)
    if stat.S_ISDIR(status.st_mode):
        paths = _usable(_walk(path), path, split, notes)
        _miss_batches(paths, notes)
        return _labelled(paths, path, folders_first=True, notes=notes)
    if not stat.S_ISREG(status.st_mode):
        raise InputError("not a regular file", where=pattern)
    kind = file_kind(path)
    if kind is None or kind == "idx-labels":
        what = "these are labels" if kind else "unknown kind of input file"
        raise InputError(what, where=pattern, hint=f"give {ACCEPTED}")
    return [SourceFile(path, kind, name_label(path))]


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # no permission, too long, a zero byte
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"cannot read: {reason}", where=path) from error


def _from_glob(pattern: str, split: Split | None, notes: list[str]) -> list[SourceFile]:
    matches = sorted(glob.glob(pattern, recursive=True))
    folders = {match for match in matches if os.path.isdir(match)}
    paths = {match for match in matches if match not in folders}
    if "**" not in pattern:  # which finds what is in the folders by itself
        paths.update(path for folder in folders for path in _walk(folder))
    root = _fixed_part(pattern)
    if not paths:
        raise InputError("no file matches", where=pattern, hint=_held(root))
    usable = _usable(sorted(paths), root, split, notes)
    return _labelled(usable, root, folders_first=bool(folders), notes=notes)


def _fixed_part(pattern: str) -> str:
    """The folder in which a glob begins to vary."""
    folder = os.path.dirname(pattern)
    while glob.has_magic(folder):
        folder = os.path.dirname(folder)
    return folder or os.curdir


def _walk(folder: str) -> list[str]:
    """All files below a folder, sorted; a sub-folder that cannot be read is an error."""

    def refuse(error: OSError) -> None:
        raise InputError(f"cannot read: {error.strerror}", where=str(error.filename)) from error

    results: list[str] = []
    for where, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        results += [os.path.join(where, name) for name in names if not name.startswith(".")]
    return sorted(results)


def _usable(paths: Sequence[str], root: str, split: Split | None, notes: list[str]) -> list[str]:
    """The paths that can be inputs: images when there are any, else arrays and data sets."""
    kinds = {path: file_kind(path) for path in paths}
    images = [path for path in paths if kinds[path] == "image"]
    arrays = [path for path in paths if kinds[path] not in (None, "image", "idx-labels")]
    chosen = images or _of_split(arrays, kinds, split, notes)
    if not chosen:
        raise InputError("no images or arrays", where=root, hint=f"{_held(root)}; give {ACCEPTED}")
    known = {*(images or arrays), *(path for path in paths if kinds[path] == "idx-labels")}
    left_out = [path for path in paths if path not in known]
    if left_out:
        remark(notes, f"left out of {root}: {_endings(left_out)}")
    return chosen


def _miss_batches(paths: Sequence[str], notes: list[str]) -> None:
    """Name the training files of CIFAR-10 that a folder has not, where it has others of them."""
    results = [path for path in paths if _TRAINING_BATCH.search(path)]
    expected = dict.fromkeys(
        _TRAINING_BATCH.sub(rf"data_batch_{number}\1", path)
        for path in results
        for number in _BATCHES
    )
    missing = [path for path in expected if path not in results]
    if missing:
        remark(notes, Caution(f"CIFAR-10 has {len(_BATCHES)} batches: no {', '.join(missing)}"))


def _of_split(
    paths: list[str], kinds: dict[str, Kind | None], split: Split | None, notes: list[str]
) -> list[str]:
    """Of a data set's files those for training or for testing, when there are such."""
    sets = [path for path in paths if kinds[path] in _SET_KINDS]
    if not sets:
        return paths
    targets = [p for p in sets if split and (split == "test") == bool(_is_test(p))]
    chosen = targets or sets
    names = ", ".join(os.path.basename(path) for path in chosen)
    remark(notes, f"reading {names}; name files to choose others")
    return [path for path in paths if path not in sets or path in chosen]


def _is_test(path: str) -> bool:
    return bool(_IS_TEST.search(os.path.basename(path)))


def _labelled(
    paths: list[str], root: str, *, folders_first: bool, notes: list[str]
) -> list[SourceFile]:
    kinds = {path: kind for path in paths if (kind := file_kind(path)) is not None}
    single = [path for path in paths if kinds[path] in _SINGLE_KINDS]  # the others hold labels
    result, note = file_labels(single, root, folders_first=folders_first)
    if note:
        remark(notes, note)
    labels = dict(zip(single, result, strict=True))
    return [SourceFile(path, kinds[path], labels.get(path)) for path in paths]


def _endings(paths: Iterable[str]) -> str:
    counts = Counter(os.path.splitext(path)[1] or "without ending" for path in paths)
    return ", ".join(f"{count} {ending}" for ending, count in counts.most_common(6))


def _held(folder: str) -> str:
    """What a folder holds, or which part of its path exists."""
    if not os.path.isdir(folder):
        return f"there is no folder {folder}; {_near(folder)}"
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    files = [name for name in names if os.path.isfile(os.path.join(folder, name))]
    parts = [_endings(files)] if files else []
    if len(names) > len(files):
        count = len(names) - len(files)
        parts.append(f"{count} folder{'s' if count > 1 else ''}")
    return f"{folder} holds {', '.join(parts) or 'nothing'}"


def _near(path: str) -> str:
    """Names like the first missing part of a path, or what its folder holds."""
    folder, name = os.path.split(path.rstrip(os.sep))
    while folder and not os.path.isdir(folder):
        folder, name = os.path.split(folder)
    folder = folder or os.curdir
    try:
        near = difflib.get_close_matches(name, os.listdir(folder), 3)
    except OSError:
        near = []
    return f"did you mean {' or '.join(near)} in {folder}" if near else _held(folder)
