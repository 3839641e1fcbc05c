"""Checkpoints: a run of training as one .npz file, written atomically, read without pickle."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.support.errors import StateError
from nnshell.support.files import read_bounded, write_at_once

_FORMAT = "nnshell training 1"
_ABOUT = "about"
MOST_BYTES = 4 << 30


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Arrays by name, and plain values; ``key`` says which run it belongs to."""

    key: str
    values: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]

    def write(self, path: Path) -> None:
        """Replaces ``path`` as a whole or not at all."""
        about = json.dumps({"format": _FORMAT, "key": self.key, "values": dict(self.values)})
        stream = io.BytesIO()
        text = np.frombuffer(about.encode(), np.uint8)
        np.savez(stream, **{_ABOUT: text}, **self.arrays)  # type: ignore[arg-type]
        write_at_once(path, stream.getvalue())

    @classmethod
    def read(cls, path: Path, key: str) -> Checkpoint:
        """The checkpoint of the run ``key``; StateError for another's, or a damaged file."""
        try:
            data = read_bounded(path, MOST_BYTES)
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            about = json.loads(arrays.pop(_ABOUT).tobytes().decode())
            fits = about["format"] == _FORMAT and isinstance(about["values"], dict)
            result = cls(str(about["key"]), about["values"], arrays)
        except OSError as error:
            raise StateError(
                f"cannot read the checkpoint: {error.strerror}", where=str(path)
            ) from None
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise StateError(f"it is no checkpoint: {error}", where=str(path)) from None
        if not fits:
            raise StateError("it is no checkpoint of this version", where=str(path))
        if result.key != key:
            raise StateError(
                "the checkpoint is of another run: graph, samples or options differ",
                where=str(path),
                hint="use the same command, or leave --resume out to begin anew",
            )
        return result
