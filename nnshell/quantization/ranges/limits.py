"""Do layers saturate? Wrongly scaled inputs drive most activations of a layer to its limit."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from math import inf, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.float_engine import FloatEngine
from nnshell.ir.facts import EVERYTHING
from nnshell.ir.flat import FlatGraph, Item, flatten
from nnshell.ir.graph import Graph
from nnshell.ir.requests import Range
from nnshell.quantization.ranges.statistics import Statistics

_LOG = logging.getLogger(__name__)

MOST = 0.5  # share of activations at an upper limit that is suspicious
NEARLY_ALL = 0.99  # share at a lower limit: that of a relu6 is where half of them are by nature
_SAMPLES = 8
_CLOSE = 0.02  # of the range
_QUESTION = "are the inputs scaled as in training?"


def check_limits(graph: Graph, arrays: Sequence[NDArray[Any]]) -> list[str]:
    """Warnings about bounded activations on the first few samples, also written to the log."""
    items = [
        item
        for item in flatten(graph).items
        if _bounded(item) and item.node.op.output_range(None) is not None
    ]
    if not items:
        return []
    engine = FloatEngine(graph, [item.path for item in items])
    outputs = engine.run([array[:_SAMPLES] for array in arrays])
    return _report(text for item in items if (text := _warning(item, outputs[item.path])))


def _bounded(item: Item) -> bool:
    """Whether it is an activation with limits at both ends."""
    bounds = item.node.op.bounds([EVERYTHING] * len(item.inputs))
    finite = isfinite(bounds.minimum) and isfinite(bounds.maximum)
    return item.node.op.role == "activation" and finite


def check_dead(flat: FlatGraph, statistics: Statistics) -> list[str]:
    """Warnings about rectifiers that let nothing through, also written to the log."""
    dead = [
        item.path
        for item in flat.items
        if item.node.op.clips_to == Range(0.0, inf)
        and item.path in statistics
        and statistics[item.path].maximum <= 0.0
    ]
    return _report(f"{path}: no activation was ever above 0; {_QUESTION}" for path in dead)


def _report(warnings: Iterable[str]) -> list[str]:
    results = list(warnings)
    for text in results:
        _LOG.warning("%s", text)
    return results


def _warning(item: Item, values: NDArray[Any]) -> str:
    limits = item.node.op.output_range(None)
    assert limits is not None
    low, high = share_at_limits(values, limits)
    if high > MOST:
        return f"{item.path}: {high:.0%} of the activations are at the upper limit; {_QUESTION}"
    if low > NEARLY_ALL:
        return f"{item.path}: {low:.0%} of the activations are at the lower limit; {_QUESTION}"
    return ""


def share_at_limits(values: NDArray[Any], limits: Range) -> tuple[float, float]:
    """Shares of the values at the lower and at the upper limit."""
    if not values.size:
        return 0.0, 0.0
    close = _CLOSE * (limits.maximum - limits.minimum)
    low = float(np.mean(values <= limits.minimum + close))
    return low, float(np.mean(values >= limits.maximum - close))
