"""Plots as data: what a table, a study or a page has to draw, and nothing of how it is drawn.

Terminals, pictures (``nnshell.reports.pictures``) and pages (``nnshell.reports.page``) draw them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bars:
    """A bar for each name, and one beside it for each further series; None draws no bar.

    With ``starts`` the bars of the only series begin there instead of at 0: ranges.
    """

    names: tuple[str, ...]
    series: Mapping[str, tuple[float | None, ...]]
    unit: str = ""
    starts: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of equal bins from ``minimum`` to ``maximum``, with what is drawn into them.

    ``representable`` is the range that the tensor's integers stand for, None where it has none.
    """

    name: str
    minimum: float
    maximum: float
    counts: tuple[int, ...]
    mean: float
    sigma: float
    representable: tuple[float, float] | None = None
    bits: int = 8


@dataclass(frozen=True, slots=True)
class Histograms:
    """Several histograms, each with axes of its own."""

    entries: tuple[Histogram, ...]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A square for each row and column, the darker the larger its value."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    row_title: str
    column_title: str


@dataclass(frozen=True, slots=True)
class Block:
    """A buffer of a memory: from layer ``first`` to layer ``last``, both included."""

    name: str
    kind: str
    first: int
    last: int
    offset_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What lies where in a memory while the layers run; ``limit_bytes`` is its size."""

    layers: tuple[str, ...]
    blocks: tuple[Block, ...]
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class RooflinePoint:
    """A layer: MACs that it reached a cycle, and MACs for each cycle that its data is moved."""

    name: str
    macs_per_moving_cycle: float
    macs_per_cycle: float
    share: float  # of the time, 0 to 1


@dataclass(frozen=True, slots=True)
class Roofline:
    """Layers below two ceilings: what the cores can do, and what moving the data allows."""

    points: tuple[RooflinePoint, ...]
    macs_per_cycle: float  # of all cores


@dataclass(frozen=True, slots=True)
class Curves:
    """Lines over common places ``x``, numbers or names; None leaves a gap."""

    x_title: str
    x: tuple[float | str, ...]
    y_title: str
    series: Mapping[str, tuple[float | None, ...]]
    marks_only: bool = False  # points without lines: x has no order
    from_zero: bool = False


Plot = Bars | Histograms | HeatMap | Memory | Roofline | Curves
