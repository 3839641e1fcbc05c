"""A model and data of one's own for tutorials and labs: what a folder holds, by its names.

A file ``lesson.toml`` in the folder names them, relative to it:

    model = "model_lab4.onnx"
    calibration = "train.npz"
    test = "test.npz"
    norm = "x: (x/255-0.5)/0.5"

What it does not name is looked for: one ``.onnx`` or ``.tflite`` file, and files or folders whose
names begin with ``calibration`` or ``train``, and with ``test`` or ``val``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnshell.support.errors import UsageError
from nnshell.support.files import read_text

_FILE = "lesson.toml"
_KEYS = ("model", "calibration", "test", "norm")
_MODELS = (".onnx", ".tflite")
_NAMES = {"calibration": ("calibration", "train"), "test": ("test", "val")}


@dataclass(frozen=True, slots=True)
class LessonData:
    """Paths, and the norm function of the pixels ("" for none)."""

    model: str
    calibration: str
    test: str
    norm: str = ""

    def variables(self) -> dict[str, str]:
        """What $(MODEL), $(CALIBRATION), $(TEST) and $(NORM) stand for."""
        return {key.upper(): getattr(self, key) for key in _KEYS}


SAMPLE = LessonData("sample:lenet", "sample:calibration", "sample:test", "x: x/128-1")


def find(folder: str | Path) -> LessonData:
    """The model and the data in a folder; UsageError says what is missing, and how to name it."""
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise UsageError("there is no such folder", where=str(folder), hint="--data FOLDER")
    named = _named(root)
    paths = {key: str(root / named[key]) for key in _KEYS[:3] if key in named}
    if "model" not in paths:
        paths["model"] = _model(root)
    for key, starts in _NAMES.items():
        if key not in paths:
            paths[key] = _beginning_with(root, key, starts)
    return LessonData(**paths, norm=named.get("norm", ""))


def _named(root: Path) -> dict[str, str]:
    path = root / _FILE
    if not path.is_file():
        return {}
    try:
        content: dict[str, Any] = tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"not TOML: {error}", where=str(path)) from None
    wrong = [key for key, value in content.items() if key not in _KEYS or type(value) is not str]
    if wrong:
        hint = f"{', '.join(_KEYS)}, each a text"
        raise UsageError(f"'{wrong[0]}' is not known or no text", where=str(path), hint=hint)
    return content


def _model(root: Path) -> str:
    models = sorted(path for path in root.iterdir() if path.suffix.lower() in _MODELS)
    if len(models) != 1:
        what = "no model" if not models else f"{len(models)} models"
        raise _missing(root, f"{what} (.onnx, .tflite)", "model")
    return str(models[0])


def _beginning_with(root: Path, key: str, starts: Sequence[str]) -> str:
    entries = sorted(path for path in root.iterdir() if path.suffix.lower() not in _MODELS)
    for start in starts:
        matches = [path for path in entries if path.name.lower().startswith(start)]
        if matches:
            return str(matches[0])
    raise _missing(root, f"nothing called {' or '.join(starts)} ...", key)


def _missing(root: Path, what: str, key: str) -> UsageError:
    hint = f'{_FILE} in that folder names it: {key} = "..."'
    return UsageError(f"the folder has {what}", where=str(root), hint=hint)
