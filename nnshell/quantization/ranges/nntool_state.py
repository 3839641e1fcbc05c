"""Reading NNTool's calibration statistics: out of its state files, and as pickles of their own.

A state file holds ``{"history": [...], "stats": ...}`` where Python values that JSON does not have
are objects marked with ``__type``. A pickle holds ``{"NODE": {"range_out": [{"min": m, ...}]}}``.
Nothing in either is executed: only numbers and names are taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from nnshell.ir.requests import Range
from nnshell.quantization.ranges.pickled import Entries, Malformed, plain, read_pickle
from nnshell.quantization.ranges.statistics import SUMS_RANGE, Statistics, TensorStatistics
from nnshell.support.errors import InputError

_NPY = b"\x93NUMPY"
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
    return statistics_of_entries(_entries(stats, where), where)


def holds_ranges(data: Any) -> bool:
    """Whether parsed JSON has NNTool's ranges by node name, without a state around them."""
    return isinstance(data, Mapping) and any(
        isinstance(entry, Mapping) and "range_out" in entry for entry in data.values()
    )


def is_pickle(data: bytes) -> bool:
    """Whether bytes start as a pickle does, of any protocol, or as numpy's file around one."""
    return data[:1] in (b"\x80", b"(", b"}", b"c") or data.startswith(_NPY)


def statistics_of_pickle(data: bytes, where: str) -> Statistics:
    """The ranges in a pickle (or in a .npy file that holds one); InputError without any."""
    try:
        read = plain(read_pickle(_without_header(data)))
    except Malformed as error:
        raise InputError(f"cannot be read as NNTool's statistics: {error}", where=where) from None
    if isinstance(read, list) and len(read) == 1:  # what numpy.save puts around an object
        read = read[0]
    if not isinstance(read, Entries):
        raise InputError("is a pickle of something else than statistics", where=where)
    return statistics_of_entries(((key, _mapping(value)) for key, value in read.items), where)


def _without_header(data: bytes) -> bytes:
    if not data.startswith(_NPY):
        return data
    wide = data[6:7] != b"\x01"  # from version 2 on the header's length has four bytes
    start = 12 if wide else 10
    return data[start + int.from_bytes(data[8:start], "little") :]


def _mapping(value: Any) -> Any:
    """Pairs by name as a dictionary, all the way down."""
    if isinstance(value, Entries):
        return {key: _mapping(entry) for key, entry in value.items if isinstance(key, str)}
    return [_mapping(entry) for entry in value] if isinstance(value, list) else value


def statistics_of_entries(entries: Iterable[tuple[Any, Any]], where: str) -> Statistics:
    """The ranges of NNTool's entries, by node; those without a range are left out."""
    tensors: dict[str, TensorStatistics] = {}
    for key, value in entries:
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
    elif isinstance(key, Entries):  # an object that names a node, with the names in its state
        return next((path for _, value in key.items if (path := _path(value))), None)
    elif isinstance(key, list) and all(name is None or isinstance(name, str) for name in key):
        names = [name for name in key if name]
    else:
        return None
    return "/".join(name for name in names if name) or None


def _tensor(value: Any) -> TensorStatistics | None:
    """Range of output 0, with those of all where there are several; None when it has none."""
    ranges = value.get("range_out") if isinstance(value, Mapping) else None
    entries = [_output(entry) for entry in ranges] if isinstance(ranges, list) else []
    first = entries[0] if entries else None
    if first is None:
        return None
    inside = _inside(value)
    first = replace(first, accumulator=inside.pop(SUMS_RANGE, None), inside=inside)
    if len(entries) == 1 or None in entries:
        return first
    return replace(first, outputs=tuple(entry for entry in entries if entry is not None))


def _inside(value: Mapping[str, Any]) -> dict[str, Range]:
    """Ranges within an operator, as a recurrent layer has them."""
    names = [name for name in value if str(name).startswith("range_")]
    entries = {name: _output(value[name]) for name in names}
    return {name: entry.range for name, entry in entries.items() if entry is not None}


def _output(entry: Any) -> TensorStatistics | None:
    if not isinstance(entry, Mapping):
        return None
    low, high = _number(entry.get("min")), _number(entry.get("max"))
    if low is None or high is None or low > high:
        return None
    mean, std, b = (_number(entry.get(name)) for name in ("mean", "std", "b"))
    return TensorStatistics(low, high, mean, std, b)


def _number(value: Any) -> float | None:
    if isinstance(value, Mapping):  # a rolling mean, or an array of one element
        mapping = {str(name).strip("_"): entry for name, entry in value.items()}
        value = mapping.get("contents")
        if value is None and "mean" in mapping:
            value = mapping["mean"]
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
    results: dict[str, TensorStatistics] = {}
    for key, entry in tensors.items():
        results[key] = entry
        fusion, separator, _ = key.partition("/")
        if separator and fusion not in tensors:
            results[fusion] = entry
    return results
