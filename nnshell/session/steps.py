"""Steps of a recipe: the commands that made a graph what it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the recipe that made the graph what it is; options are plain JSON values."""

    command: str
    options: dict[str, Any] = field(default_factory=dict)
    line: str = ""  # as the user typed it
