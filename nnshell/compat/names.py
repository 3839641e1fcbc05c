"""``nntool.api`` and its neighbours as names of this package, while a program runs."""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from nnshell.support.files import read_text

_MODULES = {
    "nntool.api": "nnshell.compat",
    "nntool.api.utils": "nnshell.compat.utils",
    "nntool.api.types": "nnshell.compat.types",
    "nntool.graph.types": "nnshell.compat.types",
    "nntool.stats.activation_ranges_collector": "nnshell.compat.statistics",
    # Versions before nntool.api: modules of its sources.
    "execution.graph_executer": "nnshell.compat.executer",
    "execution.quantization_mode": "nnshell.compat.executer",
    "graph.types": "nnshell.compat.types",
    "stats.activation_ranges_collector": "nnshell.compat.statistics",
    "utils.data_importer": "nnshell.compat.utils",
}
_IMPORT = re.compile(
    rf"^[ \t]*(?:from|import)\s+(?:nntool\b|(?:{'|'.join(map(re.escape, _MODULES))})\b)",
    re.MULTILINE,
)


def imports_nntool(path: str | Path) -> bool:
    """Whether a Python file imports NNTool's interface, or what it had before."""
    try:
        return _IMPORT.search(read_text(path)) is not None
    except (OSError, UnicodeDecodeError):
        return False


@contextlib.contextmanager
def as_nntool(folder: str | Path | None = None) -> Iterator[None]:
    """Within the block ``import nntool.api`` finds nnshell.compat, whatever else is installed.

    ``folder`` is the program's own: its modules come before NNTool's old ones of the same name.
    """
    names = [name for name in _MODULES if not _is_own(name, folder)]
    tops = {name.partition(".")[0] for name in names}
    before = {name: module for name, module in sys.modules.items() if _top(name) in tops}
    for name in before:
        del sys.modules[name]
    try:
        for name in names:
            _install(name, importlib.import_module(_MODULES[name]))
        yield
    finally:
        for name in [name for name in sys.modules if _top(name) in tops]:
            del sys.modules[name]
        sys.modules.update(before)


def _install(name: str, module: ModuleType) -> None:
    """Make ``import NAME`` find the module, with packages above it."""
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if not parent:
        return
    if parent not in sys.modules:
        package = ModuleType(parent, "NNTool's Python interface over nnshell")
        package.__path__ = []
        _install(parent, package)
    setattr(sys.modules[parent], child, module)


def _top(name: str) -> str:
    return name.partition(".")[0]


def _is_own(name: str, folder: str | Path | None) -> bool:
    top = _top(name)
    if top == "nntool" or folder is None:
        return False
    return (Path(folder) / top).is_dir() or (Path(folder) / f"{top}.py").is_file()
