"""Fewer calls for the same integers: bounds go into the call before, copies to outputs vanish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nnshell.targets.c.program import Buffer, Call, Value


def merged(calls: Sequence[Call]) -> list[Call]:
    """The calls without those that others can do on the way."""
    return _written_directly(_bounded(list(calls)))


def _bounded(calls: list[Call]) -> list[Call]:
    """A table that only bounds its input becomes the saturation of the call that made it."""
    reads = Counter(x.buffer for call in calls for x in call.inputs)
    writes = Counter(call.output.buffer for call in calls)
    maker = {call.output.buffer: place for place, call in enumerate(calls)}
    kept: list[Call | None] = list(calls)

    def alone(buffer: Buffer) -> int | None:
        """The place of the only call that writes what only one call reads."""
        if buffer.place != "arena" or reads[buffer] != 1 or writes[buffer] != 1:
            return None
        return maker[buffer]

    for place, call in enumerate(calls):
        bounds = _bounds(call)
        before = alone(call.inputs[0].buffer) if bounds else None
        if bounds is None or before is None:
            continue
        target = before
        source = kept[target]
        if source is not None and _picks_largest(source):
            earlier = alone(source.inputs[0].buffer)
            target = -1 if earlier is None else earlier
        maker_call = kept[target] if target >= 0 else None
        if maker_call is None or not _saturates(maker_call):
            continue
        low, high = (int(np.clip(maker_call.fields[end], *bounds)) for end in ("low", "high"))
        kept[target] = replace(maker_call, fields={**maker_call.fields, "low": low, "high": high})
        direct = kept[before]
        assert direct is not None
        kept[before] = replace(direct, output=call.output)
        kept[place] = None
        maker[call.output.buffer] = before
    return [call for call in kept if call is not None]


def _bounds(call: Call) -> tuple[int, int] | None:
    """(low, high) of a table of int8 that is min(max(x, low), high)."""
    if call.kernel != "table" or call.fields["lowest"] != -128 or call.output.dtype != "int8":
        return None
    if call.inputs[0].dtype != "int8":
        return None
    table = call.fields["table"].astype(np.int64)
    low, high = int(table[0]), int(table[-1])
    if low > high or not np.array_equal(table, np.clip(np.arange(-128, 128), low, high)):
        return None
    return low, high


def _saturates(call: Call) -> bool:
    return "low" in call.fields and "high" in call.fields and call.output.dtype == "int8"


def _picks_largest(call: Call) -> bool:
    """A maximum of elements of its input alone: bounds may be applied before it."""
    if call.kernel != "max_pool":
        return False
    w = call.fields["window"]
    reach = [
        (w[f"output_{a}"] - 1) * w[f"stride_{a}"] + w[f"dilation_{a}"] * (w[f"kernel_{a}"] - 1)
        for a in ("height", "width")
    ]
    inside = reach[0] < w["input_height"] and reach[1] < w["input_width"]
    return inside and not w["pad_top"] and not w["pad_left"]


def _written_directly(calls: list[Call]) -> list[Call]:
    """Values that are copied to an output as they lie are made there."""
    places: dict[Buffer, Buffer] = {}
    kept: list[Call] = []
    for call in calls:
        source = call.inputs[0] if call.inputs else None
        if source is not None and _is_plain_copy(call, source) and source.buffer not in places:
            places[source.buffer] = call.output.buffer
        else:
            kept.append(call)

    def placed(value: Value) -> Value:
        return replace(value, buffer=places.get(value.buffer, value.buffer))

    return [
        replace(c, inputs=tuple(placed(x) for x in c.inputs), output=placed(c.output)) for c in kept
    ]


def _is_plain_copy(call: Call, source: Value) -> bool:
    target = call.output
    return (
        call.kernel == "move"
        and target.buffer.place == "output"
        and source.buffer.place == "arena"
        and source.buffer.size_bytes == target.buffer.size_bytes
        and source.lies_as(target.order)
        and source.shape == target.shape
    )
