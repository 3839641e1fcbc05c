"""What improvements chose beyond ranges: rounded weights, biases and ranges, by node.

The float graph stays as it is: these values come in when it is quantized. Those of a filter count
while its weights have the bits they were chosen for; a range holds for any. Keys are ``NODE`` and
``FUSION/NODE``, as in statistics. In JSON integers are packed at their bits, as base64 text in
pieces, so that a state file stays small and holds nothing but text.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.requests import ChosenFilter, Range
from nnshell.numeric.records import integer_limits
from nnshell.support.errors import QuantizationError

_PIECE = 60_000  # characters of one text of a state file

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class Learned:
    """Choices for filters and ranges of activations."""

    filters: Mapping[str, ChosenFilter] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)

    def filter_of(self, path: str, bits: int) -> ChosenFilter | None:
        """What was chosen for a filter whose weights have so many bits."""
        match = _find(self.filters, path)
        return match if match is not None and match.bits == bits else None

    def range_of(self, path: str) -> Range | None:
        """The range that was learned for the node at ``path``, or None."""
        return _find(self.ranges, path)

    def updated(self, other: Learned) -> Learned:
        """With the entries of ``other``; of a filter, what ``other`` leaves open is kept."""
        filters = dict(self.filters)
        for key, new in other.filters.items():
            old = self.filter_of(key, new.bits)
            filters[key] = new if old is None else _over(old, new)
        return Learned(filters, {**self.ranges, **other.ranges})

    def to_json(self) -> dict[str, Any]:
        """Plain values that ``from_json`` reads."""
        return {
            "filters": {key: _filter_json(entry) for key, entry in self.filters.items()},
            "ranges": {key: [r.minimum, r.maximum] for key, r in self.ranges.items()},
        }

    @classmethod
    def from_json(cls, data: Any) -> Learned:
        """Values from ``to_json``'s form; QuantizationError for anything else."""
        if not isinstance(data, Mapping):
            _refuse("they are no object")
        filters, ranges = data.get("filters", {}), data.get("ranges", {})
        if not isinstance(filters, Mapping) or not isinstance(ranges, Mapping):
            _refuse("filters and ranges are objects by node name")
        return cls(
            {str(key): _filter_from(entry, str(key)) for key, entry in filters.items()},
            {str(key): _range_from(entry, str(key)) for key, entry in ranges.items()},
        )


def _find(entries: Mapping[str, Entry], path: str) -> Entry | None:
    """By path, with or without a fusion's name before it."""
    if path in entries:
        return entries[path]
    name = path.rpartition("/")[2]
    return next((e for key, e in entries.items() if key.rpartition("/")[2] == name), None)


def _over(old: ChosenFilter, new: ChosenFilter) -> ChosenFilter:
    if new.scale is None:
        new = replace(new, scale=old.scale, integers=old.integers)
    return new if new.bias is not None else replace(new, bias=old.bias)


def _filter_json(entry: ChosenFilter) -> dict[str, Any]:
    values: dict[str, Any] = {"bits": entry.bits}
    if entry.scale is not None:
        values["scale"] = [float(value) for value in entry.scale]
    if entry.bias is not None:
        values["bias"] = [float(value) for value in entry.bias]
    if entry.integers is not None:
        values["shape"] = list(entry.integers.shape)
        values["integers"] = _packed(entry.integers, entry.bits)
    return values


def _packed(integers: NDArray[np.int8], bits: int) -> list[str]:
    low = integer_limits(bits)[0]
    codes = (integers.astype(np.int16).reshape(-1, 1) - low).astype(np.uint8)
    planes = np.unpackbits(codes, axis=1, bitorder="little")[:, :bits]
    text = base64.b64encode(np.packbits(planes).tobytes()).decode()
    return [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]


def _unpacked(pieces: Any, shape: Any, bits: int, key: str) -> NDArray[np.int8]:
    if not _are(shape, int) or not _are(pieces, str) or any(not 0 < n < 1 << 31 for n in shape):
        _refuse(f"the integers of '{key[:80]}' have no shape or text")
    try:
        data = np.frombuffer(base64.b64decode("".join(pieces), validate=True), np.uint8)
    except (binascii.Error, ValueError):
        _refuse(f"the integers of '{key[:80]}' are not base64")
    count = 1
    for extent in shape:
        count *= extent
    if len(data) != -(-count * bits // 8):
        _refuse(f"the integers of '{key[:80]}' are not {count} of {bits} bits")
    planes = np.unpackbits(data)[: count * bits].reshape(count, bits)
    codes = np.packbits(planes, axis=1, bitorder="little")[:, 0].astype(np.int16)
    return (codes + integer_limits(bits)[0]).astype(np.int8).reshape(shape)


def _filter_from(data: Any, key: str) -> ChosenFilter:
    if not isinstance(data, Mapping) or data.get("bits") not in range(2, 9):
        _refuse(f"the entry of '{key[:80]}' has no bits")
    bits: int = data["bits"]
    integers = None
    if "integers" in data:
        integers = _unpacked(data["integers"], data.get("shape"), bits, key)
    scale = None if integers is None else _numbers(data.get("scale"), key)
    if scale is not None and not (scale > 0).all():
        _refuse(f"a scale of '{key[:80]}' is not above 0")
    bias = _numbers(data["bias"], key) if "bias" in data else None
    return ChosenFilter(bits, scale, integers, bias)


def _range_from(data: Any, key: str) -> Range:
    values = _numbers(data, key)
    if values.size != 2 or not values[0] <= values[1]:
        _refuse(f"the range of '{key[:80]}' is none")
    return Range(float(data[0]), float(data[1]))


def _numbers(data: Any, key: str) -> NDArray[np.float32]:
    if not _are(data, int | float):
        _refuse(f"the numbers of '{key[:80]}' are no list")
    with np.errstate(over="ignore"):
        values = np.array(data, np.float64).astype(np.float32)
    if not np.isfinite(values).all():
        _refuse(f"the numbers of '{key[:80]}' are not finite")
    return values


def _are(values: Any, kind: Any) -> bool:
    return (
        isinstance(values, list | tuple)
        and bool(values)
        and all(isinstance(v, kind) and not isinstance(v, bool) for v in values)
    )


def _refuse(what: str) -> NoReturn:
    raise QuantizationError(f"learned values do not fit: {what}", hint="learn them again")
