"""The state file as data: recipe, statistics and options; no weights, no graph.

A state is what it takes to make a quantized graph again from its model file: the commands that
succeeded, in order, and what calibration saw. Passes are deterministic, so replaying them gives
the same graph, and no image is needed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from nnshell.session.steps import Step

FORMAT = "nnshell-state"
VERSION = 1


@dataclass(frozen=True, slots=True)
class State:
    """The content of a state file; every value is plain JSON.

    ``model`` is the model's path relative to the state file's folder, with forward slashes.
    ``statistics`` has one entry per node (``NODE`` or ``FUSION/NODE``), ``node_options`` one per
    node that has any.
    """

    model: str
    sha256: str
    nnshell: str
    graph: str
    recipe: tuple[Step, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    quantization_options: dict[str, Any] | None = None
    node_options: dict[str, dict[str, str]] = field(default_factory=dict)
    statistics: dict[str, Any] | None = None


def to_text(state: State) -> str:
    """The file's text; the same state gives the same text."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "nnshell": state.nnshell,
        "graph": state.graph,
        "model": {"path": state.model, "sha256": state.sha256},
        "settings": state.settings,
        "recipe": [
            {"command": step.command, "options": step.options, "line": step.line}
            for step in state.recipe
        ],
        "quantization_options": state.quantization_options,
        "node_options": state.node_options,
        "statistics": state.statistics,
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
