"""Calls of portable kernels as calls of fast ones: weights packed, offsets and bounds worked out.

What a fast kernel cannot do (left shifts, other element types) stays a portable call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.native_library import NativeLibrary
from nnshell.numeric.fixed_point import SIGN_SHIFT, rounding_term
from nnshell.targets.c.program import Call

_WORD = 4  # bytes that a lane multiplies at a time
_SLACK = 256  # bytes that are read beyond the scratch map
_LARGEST_SCRATCH = 1 << 30
_MUCH_WASTED = 1.5  # times the lanes needed: then sorting columns into planes pays
_LONGEST_PERIOD = 32  # blocks of weights of a depthwise row
_MOST_BIAS = 1 << 30
_ROW_BLOCK = {16: 64, 8: 16, 4: 16}  # channels of a depthwise block by lanes


@dataclass(frozen=True, slots=True, eq=False)
class FastCall:
    """A kernel, its parameters, and the scratch memory that it needs."""

    kernel: str
    fields: dict[str, Any]
    scratch_bytes: int = 0


Packer = Callable[[Call, NativeLibrary], list[FastCall]]


def packed(call: Call, library: NativeLibrary) -> list[FastCall]:
    """The fast calls for a portable one: several, one, or the portable one itself."""
    packer = _PACKERS.get(call.kernel)
    result = packer(call, library) if packer is not None else []
    return result or [FastCall(call.kernel, call.fields)]


def _finish(call: Call, channels: NDArray[np.int64], sums: NDArray[np.int64]) -> dict[str, Any]:
    """nn_finish for ``channels`` (-1 where a lane has none); ``sums`` go into the bias."""
    fields = call.fields
    count = len(fields["bias"])
    multipliers, shifts = (
        np.broadcast_to(fields[name].astype(np.int64), count) for name in ("multipliers", "shifts")
    )
    arrays = {
        "bias": (fields["bias"].astype(np.int64) + sums).astype(np.int32),
        "multipliers": multipliers,
        "terms": rounding_term(shifts),
        "shifts": np.minimum(shifts, SIGN_SHIFT),
    }
    spread = {name: np.where(channels < 0, 0, a[channels]) for name, a in arrays.items()}
    return {
        "output_type": fields["output_type"],
        "low": fields["low"],
        "high": fields["high"],
        **{name: array.astype(np.int32) for name, array in spread.items()},
    }


def _can_finish(call: Call) -> bool:
    types = call.inputs[0].dtype == "int8" and call.output.dtype in ("int8", "int32")
    return types and call.fields["shifts"].min() >= 0 and not call.fields.get("converts", 0)


def _scratch(call: Call, channels: int, planes: int = 1) -> dict[str, int]:
    """nn_scratch: as high and wide as the windows reach, and at least the whole input."""
    w = call.fields["window"]
    sizes = {}
    for axis, pad in (("height", w["pad_top"]), ("width", w["pad_left"])):
        reach = (w[f"output_{axis}"] - 1) * w[f"stride_{axis}"] + 1
        reach += (w[f"kernel_{axis}"] - 1) * w[f"dilation_{axis}"]
        sizes[axis] = max(reach, w[f"input_{axis}"] + pad)
    sizes["width"] = -(-sizes["width"] // planes) * planes
    return {
        "input_height": w["input_height"],
        "input_width": w["input_width"],
        "channels": channels,
        "top": w["pad_top"],
        "left": w["pad_left"],
        **sizes,
        "planes": planes,
        "border": call.fields["pad_value"],
        "filled": 0,
    }


def _scratch_bytes(scratch: dict[str, int], library: NativeLibrary) -> int:
    elements = scratch["height"] * scratch["width"] * scratch["channels"]
    return elements * library.element_bytes + _SLACK


def _conv2d(call: Call, library: NativeLibrary) -> list[FastCall]:
    """One call for each group."""
    fields = call.fields
    if not _can_finish(call):
        return []
    scratch = _scratch(call, fields["input_channels"])
    size = _scratch_bytes(scratch, library)
    if size > _LARGEST_SCRATCH:
        return []
    everything = fields["weights"].reshape(fields["output_channels"], -1)
    correction = -library.offset * everything.astype(np.int64).sum(axis=1)
    return [
        FastCall(
            "fast_conv2d",
            _group(call, library, scratch | {"filled": int(group > 0)}, group, correction),
            size,
        )
        for group in range(fields["groups"])
    ]


def _group(
    call: Call,
    library: NativeLibrary,
    scratch: dict[str, int],
    group: int,
    correction: NDArray[np.int64],
) -> dict[str, Any]:
    fields, w = call.fields, call.fields["window"]
    filters = fields["output_channels"] // fields["groups"]
    depth = fields["input_channels"] // fields["groups"]
    first = group * filters
    weights = fields["weights"].reshape(
        fields["output_channels"], w["kernel_height"], w["kernel_width"], depth
    )[first : first + filters]
    element, pixel = library.element_bytes, scratch["channels"] * library.element_bytes
    line = scratch["width"] * pixel
    # taps that lie one after the other in the scratch map are one segment
    whole_rows = w["dilation_width"] == 1 and fields["groups"] == 1
    runs = (
        weights.reshape(filters, w["kernel_height"], -1)
        if whole_rows
        else weights.reshape(filters, w["kernel_height"] * w["kernel_width"], depth)
    )
    rows = np.arange(w["kernel_height"]) * w["dilation_height"] * line
    columns = np.arange(w["kernel_width"]) * w["dilation_width"] * pixel
    offsets = rows if whole_rows else (rows[:, np.newaxis] + columns).reshape(-1)
    packed_weights, steps = _packed_weights(runs, library)
    tops = np.arange(w["output_height"]) * w["stride_height"] * line
    lefts = np.arange(w["output_width"]) * w["stride_width"] * pixel
    pixels = (tops[:, np.newaxis] + lefts).reshape(-1) + group * depth * element
    lanes = -(-filters // library.lanes) * library.lanes
    channels = np.where(np.arange(lanes) < filters, np.arange(lanes) + first, -1)
    return {
        "scratch": scratch,
        "finish": _finish(call, channels, correction),
        "pixels": len(pixels),
        "output_channels": filters,
        "output_step": fields["output_channels"],
        "output_start": first,
        "segments": len(offsets),
        "total_steps": steps * len(offsets),
        "pixel_offsets": np.append(pixels, np.full(8, pixels[-1])).astype(np.int32),
        "segment_offsets": offsets.astype(np.int32),
        "segment_steps": np.full(len(offsets), steps, np.int32),
        "weights": packed_weights,
    }


def _packed_weights(runs: NDArray[np.int8], library: NativeLibrary) -> tuple[NDArray[Any], int]:
    """(filters, segments, run) as (vector, segment, step, lane, word), zeros where none are."""
    dtype = np.int8 if library.element_bytes == 1 else np.int16
    word = _WORD // library.element_bytes
    filters, segments, length = runs.shape
    steps = -(-length // word)
    lanes = library.lanes
    vectors = -(-filters // lanes)
    whole = np.zeros((vectors * lanes, segments, steps * word), dtype)
    whole[:filters, :, :length] = runs
    turned = whole.reshape(vectors, lanes, segments, steps, word).transpose(0, 2, 3, 1, 4)
    return np.ascontiguousarray(turned), steps


def _depthwise(call: Call, library: NativeLibrary) -> list[FastCall]:
    """A row is one long pixel whose channels repeat, unless that takes too many weights.

    With a stride, columns of the same rest lie in a plane of their own, so that neighbours in
    the output are neighbours there too.
    """
    fields, w = call.fields, call.fields["window"]
    channels, block = fields["channels"], _ROW_BLOCK[library.lanes]
    if not _can_finish(call) or call.output.dtype != "int8":
        return []
    period = math.lcm(channels, block) // block
    wasted = -(-channels // block) * block / channels  # lanes that a pixel alone would take
    worth = wasted > 1 if w["stride_width"] == 1 else wasted > _MUCH_WASTED
    long_rows = period <= _LONGEST_PERIOD and worth
    planes = w["stride_width"] if long_rows else 1
    scratch = _scratch(call, channels, planes)
    size = _scratch_bytes(scratch, library)
    if size > _LARGEST_SCRATCH:
        return []
    element = library.element_bytes
    line = scratch["width"] * channels * element
    repeats = period * block // channels if long_rows else 1
    weights = np.tile(fields["weights"].reshape(-1, channels), (1, repeats))
    numbers = np.tile(np.arange(channels), repeats)
    rows = np.arange(w["kernel_height"]) * w["dilation_height"] * line
    reach = np.arange(w["kernel_width"]) * w["dilation_width"]
    columns = reach % planes * (line // planes) + reach // planes * channels * element
    taps = (rows[:, np.newaxis] + columns).reshape(-1)
    blocks = -(-len(numbers) // block)
    order = _block_order(library.lanes)
    places = (np.arange(blocks)[:, np.newaxis] * block + order).reshape(-1)
    lanes = np.where(places < len(numbers), numbers[np.minimum(places, len(numbers) - 1)], -1)
    sums = -library.offset * fields["weights"].reshape(-1, channels).astype(np.int64).sum(axis=0)
    packed_weights, offsets = _packed_taps(weights, taps, library, places.reshape(blocks, block))
    parameters = {
        "scratch": scratch,
        "finish": _finish(call, lanes, sums),
        "rows": w["output_height"],
        "columns": 1 if long_rows else w["output_width"],
        "row_bytes": w["stride_height"] * line,
        "column_bytes": w["stride_width"] * channels * element,
        "channels": w["output_width"] * channels if long_rows else channels,
        "period": blocks,
        "groups": len(packed_weights[0]),
        "tap_offsets": offsets,
        "weights": packed_weights,
    }
    return [FastCall("fast_depthwise", parameters, size)]


def _block_order(lanes: int) -> NDArray[np.int64]:
    """Channel of each 32-bit sum of a block, as unpacking leaves them."""
    if lanes == 16:  # 4 vectors of 4 lanes of 4
        grid = np.arange(64).reshape(4, 4, 4)  # lane, vector, element
        return grid.transpose(1, 0, 2).reshape(-1)
    if lanes == 8:
        grid = np.arange(16).reshape(2, 2, 4)
        return grid.transpose(1, 0, 2).reshape(-1)
    return np.arange(16)


def _packed_taps(
    weights: NDArray[np.int8],
    taps: NDArray[np.int64],
    library: NativeLibrary,
    places: NDArray[np.int64],
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """(taps, channels) as (block, group, sum, tap of the group), and the groups' offsets."""
    together = {16: 4, 8: 2, 4: 1}[library.lanes]
    dtype = np.int8 if library.element_bytes == 1 else np.int16
    groups = -(-len(taps) // together)
    whole = np.zeros((groups * together, max(weights.shape[1], int(places.max()) + 1)), dtype)
    whole[: len(taps), : weights.shape[1]] = weights
    offsets = np.append(taps, np.full(groups * together - len(taps), taps[0]))
    by_group = whole.reshape(groups, together, -1)
    packed_blocks = [by_group[:, :, block].transpose(0, 2, 1) for block in places]
    return np.ascontiguousarray(np.stack(packed_blocks)), offsets.astype(np.int32)


def _sum(call: Call, library: NativeLibrary) -> list[FastCall]:
    """Only of two feature maps of the same layout, in one loop."""
    fields = call.fields
    loops = fields["loops"]
    one_loop = set(loops["extents"][:-1]) == {1}
    steps = (loops["first"][-1], loops["second"][-1])
    values = (*call.inputs, call.output)
    shifts = (fields["input_shift"], fields["shift"])
    usable = (
        one_loop
        and (steps == (1, 1) or loops["extents"][-1] == 1)
        and all(value.dtype == "int8" for value in values)
        and 0 <= min(shifts) <= max(shifts) <= 31
        and abs(fields["bias"]) < _MOST_BIAS
    )
    return [FastCall("fast_sum", fields)] if usable else []


def _max_pool(call: Call, library: NativeLibrary) -> list[FastCall]:
    return [FastCall("fast_max_pool", call.fields)] if call.output.dtype == "int8" else []


def _global_average(call: Call, library: NativeLibrary) -> list[FastCall]:
    fields = call.fields
    usable = (
        call.inputs[0].dtype == call.output.dtype == "int8"
        and fields["pixels"] <= 1 << 16
        and 0 <= fields["shift"] <= 31
    )
    return [FastCall("fast_average", fields)] if usable else []


def _average_pool(call: Call, library: NativeLibrary) -> list[FastCall]:
    narrow = call.inputs[0].dtype == call.output.dtype == "int8"
    return [FastCall("fast_average_pool", call.fields)] if narrow else []


def _move(call: Call, library: NativeLibrary) -> list[FastCall]:
    """Three planes to pixels of three elements: a colour image, as networks get it."""
    fields = call.fields
    count = fields["extents"][-2]
    usable = (
        fields["element_bytes"] == 1
        and fields["extents"] == (1,) * (len(fields["extents"]) - 2) + (count, 3)
        and fields["from"][-2:] == (1, count)
        and fields["to"][-2:] == (3, 1)
        and fields["from_start"] == fields["to_start"] == 0
    )
    return [FastCall("fast_interleave", fields)] if usable else []


_PACKERS: dict[str, Packer] = {
    "conv2d": _conv2d,
    "depthwise": _depthwise,
    "sum": _sum,
    "max_pool": _max_pool,
    "average_pool": _average_pool,
    "move": _move,
    "global_average": _global_average,
}


def pack_all(calls: Sequence[Call], library: NativeLibrary) -> list[list[FastCall]]:
    """The fast calls for each portable one."""
    if not library.lanes:
        return [[FastCall(call.kernel, call.fields)] for call in calls]
    return [packed(call, library) for call in calls]
