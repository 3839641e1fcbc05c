"""Reading the statistics out of NNTool's own state files.

Such a file holds ``{"history": [...], "stats": ...}`` where Python values that JSON does not have
are objects marked with ``__type``. Nothing in it is executed: only numbers and names are taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from nnshell.quantization.ranges.statistics import Statistics, TensorStatistics
from nnshell.support.errors import InputError

_INNER = "###"  # between the two names of a node inside a fusion, in old files


def is_nntool_state(data: Any) -> bool:
    """Whether parsed JSON looks like NNTool's state and not like nnshell's."""
    return isinstance(data, Mapping) and "history" in data and "stats" in data


def statistics_of_state(data: Mapping[str, Any], where: str) -> Statistics:
    """The ranges of the last calibration in the file; missing and empty entries are left out."""
    stats = data["stats"]
    if not stats or stats == [None]:
        raise InputError(
            "holds no calibration statistics",
            where=where,
            hint="calibrate with images instead: aquant IMAGES",
        )
    tensors: dict[str, TensorStatistics] = {}
    for key, value in _entries(stats, where):
        path = _path(key)
        entry = _tensor(value)
        if path is not None and entry is not None:
            tensors[path] = entry
    if not tensors:
        raise InputError("holds no calibration statistics that can be read", where=where)
    return Statistics(_with_fusions(tensors))


def _entries(stats: Any, where: str) -> Iterable[tuple[Any, Any]]:
    if isinstance(stats, Mapping) and stats.get("__type") == "dict":
        contents = stats.get("__contents")
        if isinstance(contents, list):
            return [tuple(pair) for pair in contents if isinstance(pair, list) and len(pair) == 2]
    elif isinstance(stats, Mapping):
        return stats.items()
    raise InputError("has statistics in a form that is not known", where=where)


def _path(key: Any) -> str | None:
    """``NODE`` or ``FUSION/NODE``."""
    if isinstance(key, Mapping):  # an object that names a node: "name###inner"
        key = key.get("__contents")
    if isinstance(key, str):
        names = key.split(_INNER)
    elif isinstance(key, list) and all(isinstance(name, str) for name in key):
        names = key
    else:
        return None
    return "/".join(name for name in names if name) or None


def _tensor(value: Any) -> TensorStatistics | None:
    """Range of output 0; None when the entry has none."""
    ranges = value.get("range_out") if isinstance(value, Mapping) else None
    first = ranges[0] if isinstance(ranges, list) and ranges else None
    if not isinstance(first, Mapping):
        return None
    low, high = _number(first.get("min")), _number(first.get("max"))
    if low is None or high is None or low > high:
        return None
    mean, std, b = (_number(first.get(name)) for name in ("mean", "std", "b"))
    return TensorStatistics(low, high, mean, std, b)


def _number(value: Any) -> float | None:
    if isinstance(value, Mapping):  # a rolling mean, or an array of one element
        value = value.get("__contents")
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _with_fusions(tensors: dict[str, TensorStatistics]) -> dict[str, TensorStatistics]:
    """Add the fusion's own entry, that of its last inner node, where it is missing."""
    found: dict[str, TensorStatistics] = {}
    for key, entry in tensors.items():
        found[key] = entry
        fusion, separator, _ = key.partition("/")
        if separator and fusion not in tensors:
            found[fusion] = entry
    return found
