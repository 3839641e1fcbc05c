"""The sample model and images that ship with the package, reachable as ``sample:NAME``."""

from __future__ import annotations

import os
from pathlib import Path

from nnshell.support.errors import NNShellError

PREFIX = "sample:"
_PACKAGE = Path(__file__).parent.parent
_INSTALLED = _PACKAGE / "samples"


def samples_folder() -> Path:
    """Folder of the samples: inside an installed package, or beside it in a checkout."""
    for folder in (_INSTALLED, _PACKAGE.parent / "sample_images"):
        if folder.is_dir():
            return folder
    raise NNShellError(
        "the sample images are not installed", hint="install the package again: pip install nnshell"
    )


def is_installed(path: Path) -> bool:
    """Whether a file belongs to the installed package, where nothing is to be written."""
    return _INSTALLED in path.parents


def shown(path: str) -> str:
    """A file of the samples as ``sample:NAME``, which can be typed; any other path as it is."""
    folder = f"{samples_folder()}{os.sep}"
    return PREFIX + path.removeprefix(folder) if path.startswith(folder) else path


def sample_names() -> list[str]:
    """What stands after ``sample:``: models and folders of images."""
    entries = samples_folder().iterdir()
    return sorted(e.stem for e in entries if e.suffix == ".onnx" or e.is_dir())


def resolve(path: str | Path) -> Path:
    """``sample:lenet`` is the sample model, ``sample:test`` the folder of test images."""
    text = str(path)
    if not text.startswith(PREFIX):
        return Path(path)
    folder, name = samples_folder(), text.removeprefix(PREFIX)
    for candidate in (folder / name, folder / f"{name}.onnx"):
        if candidate.exists() and folder in (candidate, *candidate.parents):
            return candidate
    hint = f"samples: {', '.join(sample_names())}"
    raise NNShellError(f"there is no sample '{name}'", hint=hint)
