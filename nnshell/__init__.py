"""nnshell: put small neural networks on GAP8, and see what quantization does to them.

The public API is the ten functions of ``nnshell.flow`` and the types they return; names are
resolved on first use so that importing the package costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing.TYPE_CHECKING without the time that importing typing takes
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "open_graph": "nnshell.flow",
    "adjust": "nnshell.flow",
    "fuse": "nnshell.flow",
    "load_inputs": "nnshell.flow",
    "calibrate": "nnshell.flow",
    "quantize": "nnshell.flow",
    "run": "nnshell.flow",
    "compare": "nnshell.flow",
    "validate": "nnshell.flow",
    "simulate": "nnshell.flow",
    "save_state": "nnshell.flow",
    "generate": "nnshell.flow",
    "export_c": "nnshell.flow",
    "NNShellError": "nnshell.support.errors",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'nnshell' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
