"""What a filter reads, as matrices: a row for each place its window stands at.

The outputs of a filter are then rows @ weights.T for each of its groups, and all that a choice of
its weights does is a matter of products of rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.flat import FlatGraph, Item
from nnshell.numeric.kernels.windows import pad_map, taps

Matrix = NDArray[np.float64]
MOST_ROWS = 24_576  # of one filter: more change little, and 9 * 64 columns fit the memory
_SPARSE = 8  # one place in so many is looked at
_SEED = 0


def filter_constants(flat: FlatGraph, item: Item) -> tuple[NDArray[Any], NDArray[Any]]:
    """Float weights, output channel first, and bias."""
    weights, bias = (flat.maker(tensor).node.op.known_value for tensor in item.inputs[1:3])
    assert weights is not None and bias is not None, "is_filter says so"
    return weights.astype(np.float32), bias.astype(np.float32)


def samples_for(item: Item) -> int:
    """How many samples give a filter's rows: few places of each, where maps are large."""
    return -(-_SPARSE * MOST_ROWS // math.prod(item.node.outputs[0].shape[1:]))


def rows_of(
    item: Item, batches: Sequence[NDArray[Any]], most: int = MOST_ROWS
) -> NDArray[np.float32]:
    """(groups, rows, taps) of what a filter reads; the same places whatever the values are."""
    return np.concatenate(
        [_rows(item, batch, places) for batch, places in _places(item, batches, most)], axis=1
    )


def outputs_at(
    item: Item, batches: Sequence[NDArray[Any]], most: int = MOST_ROWS
) -> NDArray[np.float32]:
    """(groups, rows, filters of a group) of a tensor like a filter's output, at those places."""
    parts = []
    for batch, places in _places(item, batches, most):
        values = batch.reshape(*batch.shape[:2], -1).swapaxes(1, 2).reshape(-1, batch.shape[1])
        parts.append(values[places])
    joined = np.concatenate(parts).astype(np.float32)
    grouped = joined.reshape(len(joined), groups_of(item), -1)
    return np.ascontiguousarray(grouped.transpose(1, 0, 2))


def _places(
    item: Item, batches: Sequence[NDArray[Any]], most: int
) -> Iterator[tuple[NDArray[Any], NDArray[np.int64]]]:
    """Batches, and which of their output places are looked at: (sample, row, column) counted."""
    generator = np.random.default_rng(_SEED)
    count = sum(map(len, batches))
    shape = item.node.outputs[0].shape
    each = math.prod(shape[1:])
    for batch in batches:
        total = len(batch) * each
        expected = min(total, max(1, round(most * len(batch) / count)))
        yield batch, generator.choice(total, expected, replace=False)


def _rows(item: Item, data: NDArray[Any], places: NDArray[np.int64]) -> NDArray[np.float32]:
    window, groups = item.node.op.sliding_window(), item.node.op.filter_groups
    if window is None:
        return data.reshape(len(data), -1)[places][np.newaxis].astype(np.float32)
    views = [view for _, _, view in taps(pad_map(data, window, 0), window)]
    samples, channels, height, width = views[0].shape
    where = np.unravel_index(places, (samples, height, width))
    seen = np.stack([view[where[0], :, where[1], where[2]] for view in views], axis=2)
    grouped = seen.reshape(len(places), groups, channels // groups * len(views))
    return np.ascontiguousarray(grouped.transpose(1, 0, 2), np.float32)


def groups_of(item: Item) -> int:
    """Groups of a filter, 1 for most."""
    return item.node.op.filter_groups


def by_group(item: Item, weights: NDArray[Any]) -> NDArray[Any]:
    """(groups, filters of a group, taps)."""
    groups = groups_of(item)
    return weights.reshape(groups, len(weights) // groups, -1)
