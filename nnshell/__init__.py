"""nnshell: put small neural networks on GAP8, and see what quantization does to them.

The public API is everything the shell does: the ten functions of ``nnshell.flow``, edits, studies
and improvements of a project, and the types they take and return. docs/python.md shows a session.
Names are resolved on first use so that importing the package costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing.TYPE_CHECKING without the time that importing typing takes
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    name: module
    for module, names in {
        "nnshell.flow": (
            "open_graph",
            "adjust",
            "fuse",
            "load_inputs",
            "calibrate",
            "calibrate_randomly",
            "quantize",
            "run",
            "run_batches",
            "compare",
            "compare_file",
            "compare_samples",
            "validate",
            "evaluate",
            "export",
            "export_c",
            "simulate",
            "save_state",
            "generate",
        ),
        "nnshell.session.edits": (
            "image_format",
            "freeze",
            "remove",
            "extract",
            "node_option",
            "tune",
            "set_setting",
        ),
        "nnshell.session.recipe": ("undo",),
        "nnshell.session.losses": ("losses",),
        "nnshell.session.page": ("report",),
        "nnshell.session.plotting": ("draw", "plot"),
        "nnshell.state": ("generate_project",),
        "nnshell.session.studies": (
            "sensitivity",
            "advise",
            "mixed",
            "equalize",
            "correct_biases",
            "search_scales",
            "adaround",
            "find_outliers",
            "sweep",
            "sweep_options",
            "tiled",
            "explain_fusions",
            "explain_scales",
            "records",
            "weights",
            "activations",
            "kept_activations",
        ),
        "nnshell.session.training": ("train", "initialize"),
        "nnshell.learning.training.options": ("TrainingOptions",),
        "nnshell.session.project": ("Project",),
        "nnshell.inputs.options": ("InputOptions",),
        "nnshell.quantization": (
            "QuantizationOptions",
            "Statistics",
            "load_statistics",
        ),
        "nnshell.support.settings": ("Settings",),
        "nnshell.support.errors": ("NNShellError",),
    }.items()
    for name in names
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'nnshell' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
