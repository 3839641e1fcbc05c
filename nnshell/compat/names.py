"""``nntool.api`` and its neighbours as names of this package, while a program runs."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

_MODULES = {
    "nntool.api": "nnshell.compat",
    "nntool.api.utils": "nnshell.compat.utils",
    "nntool.api.types": "nnshell.compat.types",
    "nntool.graph.types": "nnshell.compat.types",
    "nntool.stats.activation_ranges_collector": "nnshell.compat.statistics",
    "nntool.utils.stats_funcs": "nnshell.compat.utils",
}
_PACKAGES = ("nntool", "nntool.graph", "nntool.stats", "nntool.utils")


@contextlib.contextmanager
def as_nntool() -> Iterator[None]:
    """Within the block ``import nntool.api`` finds nnshell.compat, whatever else is installed."""
    before = {name: module for name, module in sys.modules.items() if _is_nntool(name)}
    for name in before:
        del sys.modules[name]
    try:
        for name in _PACKAGES:
            package = ModuleType(name, "NNTool's Python interface over nnshell")
            package.__path__ = []
            sys.modules[name] = package
        for name, source in _MODULES.items():
            sys.modules[name] = importlib.import_module(source)
        for name in (*_PACKAGES, *_MODULES):
            parent, _, child = name.rpartition(".")
            if parent in _PACKAGES:
                setattr(sys.modules[parent], child, sys.modules[name])
        yield
    finally:
        for name in [name for name in sys.modules if _is_nntool(name)]:
            del sys.modules[name]
        sys.modules.update(before)


def _is_nntool(name: str) -> bool:
    return name == "nntool" or name.startswith("nntool.")
