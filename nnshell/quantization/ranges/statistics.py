"""What calibration saw: a range for each tensor, by node name.

Keys are ``NODE`` and ``FUSION/NODE``, as tables print them. A graph that was fused or opened up
since is served too: a node is found by its own name, whatever fusion it was in.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnshell.ir.requests import Range
from nnshell.quantization.ranges.histogram import Histogram
from nnshell.support.errors import InputError
from nnshell.support.files import read_bounded, write_atomically

MAX_FILE_BYTES = 64 << 20
_MOMENTS = ("mean", "std", "b")
_SUMS = ("acc_min", "acc_max")
_INSIDE = "range_"
SUMS_RANGE = "range_acc"  # NNTool's name of the range of a filter's sums
_MOST_OUTPUTS = 4096  # of one node


@dataclass(frozen=True, slots=True)
class TensorStatistics:
    """Extremes over all samples; moments are means over samples, None when not collected."""

    minimum: float
    maximum: float
    mean: float | None = None
    std: float | None = None  # standard deviation
    b: float | None = None  # mean absolute deviation
    histogram: Histogram | None = None
    outputs: tuple[TensorStatistics, ...] = ()  # of a node with several, one for each
    accumulator: Range | None = None  # of a filter: its sums, where they were kept
    inside: Mapping[str, Range] = field(default_factory=dict)  # of tensors within the operator

    def of_output(self, index: int) -> TensorStatistics:
        """Those of one output; of all together where they were not told apart."""
        return self.outputs[index] if index < len(self.outputs) else self

    @property
    def range(self) -> Range:
        """From the smallest to the largest element seen."""
        return Range(self.minimum, self.maximum)

    def to_json(self) -> dict[str, Any]:
        """Plain values by name, without those that were not collected."""
        values: dict[str, Any] = {"min": self.minimum, "max": self.maximum}
        values |= {name: getattr(self, name) for name in _MOMENTS}
        if self.accumulator is not None:
            values |= {"acc_min": self.accumulator.minimum, "acc_max": self.accumulator.maximum}
        values["histogram"] = None if self.histogram is None else self.histogram.to_json()
        values["outputs"] = [entry.to_json() for entry in self.outputs] or None
        for name, seen in self.inside.items():
            values[name] = {"min": seen.minimum, "max": seen.maximum}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics by key, and of how many samples (0 when unknown)."""

    tensors: Mapping[str, TensorStatistics] = field(default_factory=dict)
    samples: int = 0

    def __len__(self) -> int:
        return len(self.tensors)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __contains__(self, key: str) -> bool:
        return key in self.tensors

    def __getitem__(self, key: str) -> TensorStatistics:
        return self.tensors[key]

    def find(self, path: str) -> TensorStatistics | None:
        """Statistics of the node at ``path``, with or without a fusion's name before it."""
        if path in self.tensors:
            return self.tensors[path]
        name = path.rpartition("/")[2]
        if name in self.tensors:
            return self.tensors[name]
        ending = f"/{name}"
        return next((self.tensors[key] for key in self.tensors if key.endswith(ending)), None)

    def to_json(self) -> dict[str, Any]:
        """The form of ``save_stats``: ``{"NODE" or "FUSION/NODE": {"min": m, "max": M}}``."""
        return {key: entry.to_json() for key, entry in self.tensors.items()}

    @classmethod
    def from_json(cls, data: Any, where: str = "statistics") -> Statistics:
        """Statistics from ``to_json``'s form; InputError for anything else."""
        if not isinstance(data, Mapping):
            raise InputError(
                "statistics are an object of ranges by node name",
                where=where,
                hint='write {"NODE": {"min": -1.0, "max": 1.0}}',
            )
        return cls({str(key): _entry(str(key), value, where) for key, value in data.items()})

    def save(self, path: Path | str) -> None:
        """Write the JSON form; an interrupted save leaves the old file."""
        text = json.dumps(self.to_json(), indent=1, allow_nan=False)
        write_atomically(Path(path), f"{text}\n".encode())


def _entry(key: str, value: Any, where: str) -> TensorStatistics:
    if not isinstance(value, Mapping) or "min" not in value or "max" not in value:
        raise InputError(f"the entry of '{key[:80]}' has no min and max", where=where)
    numbers = {
        name: _number(value[name], f"{name} of '{key[:80]}'", where)
        for name in ("min", "max", *_MOMENTS, *_SUMS)
        if value.get(name) is not None
    }
    if set(numbers) < {"min", "max"} or not numbers["min"] <= numbers["max"]:
        raise InputError(f"the entry of '{key[:80]}' is not a range", where=where)
    moments = {name: numbers.get(name) for name in _MOMENTS}
    low, high, argument = numbers["min"], numbers["max"], value.get("histogram")
    place = f"{where}, '{key[:80]}'"
    counts = None if argument is None else Histogram.from_json(argument, low, high, place)
    parts = value.get("outputs") or ()
    if isinstance(parts, str) or not isinstance(parts, Sequence) or len(parts) > _MOST_OUTPUTS:
        raise InputError(f"the outputs of '{key[:80]}' are not a list of ranges", where=where)
    outputs = tuple(_entry(f"{key}#{index}", part, where) for index, part in enumerate(parts))
    ends = [numbers[name] for name in _SUMS if name in numbers]
    sums = Range(*ends) if len(ends) == len(_SUMS) and ends[0] <= ends[1] else None
    inside = inner_ranges(key, value, where)
    sums = inside.pop(SUMS_RANGE, sums)
    return TensorStatistics(
        low,
        high,
        **moments,
        histogram=counts,
        outputs=outputs,
        accumulator=sums,
        inside=inside,
    )


def inner_ranges(key: str, entry: Mapping[str, Any], where: str) -> dict[str, Range]:
    """Ranges of tensors within an operator: entries that are called ``range_...``."""
    results = {}
    for name, value in entry.items():
        if name.startswith(_INSIDE) and isinstance(value, Mapping):
            part = _entry(f"{key}.{name}", value, where)
            results[name] = part.range
    return results


def _number(value: Any, what: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{what} is not a number", where=where)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{what} is not finite", where=where, hint="run aquant again")
    return number


def load_statistics(path: Path | str) -> Statistics:
    """Statistics from a file: ``save_stats``'s form, a state file of NNTool, or its pickles.

    Pickles are read as data and never unpickled.

    Raises InputError when the file is missing, too large or holds neither.
    """
    from nnshell.quantization.ranges import nntool_state

    file = Path(path)
    try:
        content = read_bounded(file, MAX_FILE_BYTES)
        if nntool_state.is_pickle(content):
            return nntool_state.statistics_of_pickle(content, str(file))
        data = json.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(file)) from error
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"is not JSON: {reason}", where=str(file)) from error
    if nntool_state.is_nntool_state(data):
        return nntool_state.statistics_of_state(data, str(file))
    if nntool_state.holds_ranges(data):
        return nntool_state.statistics_of_entries(data.items(), str(file))
    if isinstance(data, dict) and isinstance(data.get("statistics"), dict):
        return Statistics.from_json(data["statistics"], str(file))  # a state file of nnshell
    return Statistics.from_json(data, str(file))
