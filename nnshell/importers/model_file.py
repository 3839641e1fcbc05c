"""What all importers do with a file: read its bytes, and try it with and without a batch axis."""

from __future__ import annotations

import contextlib
import difflib
import glob
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from nnshell.importers.problems import Problem, report
from nnshell.reading.registry import Imported
from nnshell.support.errors import ModelError
from nnshell.support.files import read_bounded
from nnshell.support.samples import PREFIX, sample_names

MAX_FILE_BYTES = 1 << 30  # with all external data; the chip holds a hundredth of it


class Importer(Protocol):
    """Makes a graph of a file, node by node, and collects what it cannot import."""

    problems: list[Problem]
    batch_size: int

    def run(self) -> Imported:
        """The graph; only fit for use when there are no ``problems``."""
        ...


def near_files(path: Path) -> str:
    """What to type instead of a model that is not there: the sample, or files one folder down."""
    names = [f"{PREFIX}{path.stem}"] if path.stem in sample_names() else []
    folder = path.parent if path.parent.is_dir() else Path()
    with contextlib.suppress(OSError):
        names += sorted(map(str, folder.glob(f"*/{glob.escape(path.name)}")))[:2]
        beside = [entry.name for entry in folder.iterdir() if entry.is_file()]
        near = difflib.get_close_matches(path.name, beside, n=2, cutoff=0.75)
        names += [str(folder / name) for name in near]
    return f"did you mean {' or '.join(names)}?" if names else "check the path; `ls` lists files"


def model_bytes(path: Path) -> bytes:
    """The content of a model file. Raises ModelError for one that cannot be read or is too big."""
    try:
        return read_bounded(path, MAX_FILE_BYTES)
    except FileNotFoundError:
        raise ModelError("file not found", where=str(path), hint=near_files(path)) from None
    except OSError as error:
        raise ModelError(f"the file cannot be read: {error.strerror}", where=str(path)) from None
    except (ValueError, MemoryError) as error:  # a path with a zero byte
        raise ModelError(f"the file cannot be read: {error}", where=str(path)) from error


def imported_by(make: Callable[[bool], Importer], file_name: str) -> Imported:
    """The graph of the importer that ``make`` gives with a batch axis, else without one.

    Raises ModelError, which names every problem of the first.
    """
    importer = make(True)
    imported = importer.run()
    if importer.problems and importer.batch_size > 1:
        # a first axis that is not 1 is usually a batch; if it is not, there is no batch axis
        unbatched = make(False)
        of_one = unbatched.run()
        if not unbatched.problems:
            return of_one
    if importer.problems:
        raise report(file_name, importer.problems)
    return imported
