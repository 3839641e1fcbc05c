"""Files of a project for other tools: ONNX, float or quantized, and a project in portable C."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nnshell.session.project import Project
from nnshell.support.errors import UsageError
from nnshell.support.files import write_atomically
from nnshell.support.processor import byte_products_saturate

if TYPE_CHECKING:
    from nnshell.targets.c.project import CProject

_LOG = logging.getLogger(__name__)


def export(project: Project, path: str | Path, form: str | None = None) -> str:
    """Write the graph as ONNX, "float" or "qdq" (default: what it is); returns which."""
    from nnshell.exporters.onnx import export_bytes, to_bytes
    from nnshell.exporters.simulated import export_simulated

    chosen = form or ("qdq" if project.quantized else "float")
    if chosen not in ("float", "qdq"):
        raise UsageError(f"there is no form '{chosen}'", hint="forms: float, qdq")
    qdq = chosen == "qdq"
    data = (
        to_bytes(export_simulated(project.graph, integers=True))
        if qdq
        else export_bytes(project.graph)
    )
    write_atomically(Path(path), data)
    if qdq and byte_products_saturate():
        _LOG.warning(
            "this processor has no VNNI: ONNX Runtime cuts off sums of int8 products at 16 bits "
            "here, so %s may give other predictions than int8 does",
            path,
        )
    return chosen


def export_c(
    project: Project,
    folder: str | Path,
    *,
    batch: int = 1,
    layout: Literal["planned", "simple"] = "planned",
) -> CProject:
    """Write the quantized graph as a project in portable C; returns what it holds.

    One call of its ``model_run`` runs ``batch`` samples. Tensors share memory where they are not
    alive together, or each has its own ("simple").
    """
    from nnshell.targets.c.project import export_c as write_project

    target = project.settings.int8_target
    return write_project(project.graph, folder, batch=batch, layout=layout, target=target)
