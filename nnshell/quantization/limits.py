"""Do layers saturate? Wrongly scaled inputs drive most activations of a layer to its limit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.float_engine import FloatEngine
from nnshell.ir.flat import Item, flatten
from nnshell.ir.graph import Graph
from nnshell.ir.operator import Range

_LOG = logging.getLogger(__name__)

MOST = 0.5  # share of activations at an upper limit that is suspicious
NEARLY_ALL = 0.99  # share at a lower limit: half the activations of a relu are 0 by nature
_SAMPLES = 8
_CLOSE = 0.02  # of the range
_LIMITED = ("relu", "relu6", "relun", "clip", "sigmoid", "tanh", "hsigmoid")


def check_limits(graph: Graph, arrays: Sequence[NDArray[Any]]) -> list[str]:
    """Warnings for the first few samples, also written to the log."""
    flat = flatten(graph)
    items = [item for item in flat.items if item.node.kind in _LIMITED]
    if not items:
        return []
    engine = FloatEngine(graph, [item.path for item in items])
    found = engine.run([array[:_SAMPLES] for array in arrays])
    warnings = [text for item in items if (text := _warning(item, found[item.path]))]
    for text in warnings:
        _LOG.warning("%s", text)
    return warnings


def _warning(item: Item, values: NDArray[Any]) -> str:
    limits = item.node.op.output_range(None)
    low, high = share_at_limits(values, limits)
    if high > MOST:
        return (
            f"{item.path}: {high:.0%} of the activations are at the upper limit; "
            "are the inputs scaled as in training?"
        )
    if low > NEARLY_ALL:
        return (
            f"{item.path}: {low:.0%} of the activations are at the lower limit; "
            "are the inputs scaled as in training?"
        )
    return ""


def share_at_limits(values: NDArray[Any], limits: Range | None) -> tuple[float, float]:
    """Shares of the values at the lower and at the upper limit (0 where there is none)."""
    if not values.size:
        return 0.0, 0.0
    bounds = limits or Range(0.0, np.inf)  # a relu
    close = _CLOSE * (bounds.maximum - bounds.minimum) if limits is not None else 0.0
    low = float(np.mean(values <= bounds.minimum + close))
    return low, float(np.mean(values >= bounds.maximum - close))
