"""The input options of a command: how files become the float arrays a graph takes.

Every field of ``InputOptions`` may be None, "not given". ``merge`` resolves the options a command
leaves out from those of an earlier command and from settings, and says where each value came from.
Importing this module costs nothing (no numpy, no Pillow), so that the shell can.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from nnshell.support.errors import UsageError

MODES = ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F")
NUMBER_TYPES = (
    *("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float16", "float32", "float64"),
)
MAX_IMAGE_PIXELS = 64 * 1024 * 1024  # 8192 x 8192: far above any network's input
MAX_BIT_SHIFT = 32


@dataclass(frozen=True, slots=True)
class InputOptions:
    """Options of every command that reads inputs; None means "not given".

    ``divisor`` and ``offset`` give value / divisor + offset and give way to ``norm_func``.
    ``slices`` (start, stop, step per axis) and ``zero_pad`` (before, after per axis) are flat, as
    typed, and work on the decoded array's own axes, before the transpose. ``bit_shift`` shifts
    integers to the left, or to the right when negative. Raises UsageError for impossible values.
    """

    divisor: float | None = None
    offset: float | None = None
    height: int | None = None
    width: int | None = None
    transpose: bool | None = None
    mode: str | None = None
    nptype: str | None = None
    norm_func: str | None = None
    bit_shift: int | None = None
    rgb888_rgb565: bool | None = None
    zero_pad: tuple[int, ...] | None = None
    slices: tuple[int | None, ...] | None = None
    limit: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        _check_scale(self)
        _check_sizes(self)
        _check_names(self)
        _check_axes(self)

    def given(self) -> tuple[str, ...]:
        """Names of the fields that have a value."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) is not None)


def _check_scale(options: InputOptions) -> None:
    if options.divisor is not None and (options.divisor == 0 or not math.isfinite(options.divisor)):
        raise UsageError(f"the divisor is {options.divisor:g}", hint="use a number other than 0")
    if options.offset is not None and not math.isfinite(options.offset):
        raise UsageError(f"the offset is {options.offset:g}", hint="use a finite number")
    if options.bit_shift is not None and abs(options.bit_shift) > MAX_BIT_SHIFT:
        raise UsageError(
            f"bit shift {options.bit_shift}", hint=f"use -{MAX_BIT_SHIFT} to {MAX_BIT_SHIFT}"
        )


def _check_sizes(options: InputOptions) -> None:
    height, width = options.height, options.width
    for name, size in (("height", height), ("width", width)):
        if size is not None and not 1 <= size <= MAX_IMAGE_PIXELS:
            raise UsageError(f"{name} {size}", hint="use the graph's input size, in pixels")
    if (height or 1) * (width or 1) > MAX_IMAGE_PIXELS:
        raise UsageError(
            f"{height} x {width} pixels are too many", hint=f"at most {MAX_IMAGE_PIXELS}"
        )
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"limit {options.limit}", hint="use 1 or more")
    if options.seed is not None and options.seed < 0:
        raise UsageError(f"seed {options.seed}", hint="use 0 or more")


def _check_names(options: InputOptions) -> None:
    if options.mode is not None and options.mode not in MODES:
        raise UsageError(f"unknown image mode {options.mode!r}", hint="use " + ", ".join(MODES))
    if options.nptype is not None and options.nptype not in NUMBER_TYPES:
        raise UsageError(
            f"unknown number type {options.nptype!r}", hint="use " + ", ".join(NUMBER_TYPES)
        )


def _check_axes(options: InputOptions) -> None:
    pads, slices = options.zero_pad, options.slices
    if pads is not None and (len(pads) % 2 or min(pads, default=0) < 0):
        raise UsageError(
            f"zero_pad {' '.join(map(str, pads))}", hint="two numbers of 0 or more for each axis"
        )
    if pads is not None and max(pads, default=0) > MAX_IMAGE_PIXELS:
        raise UsageError(f"zero_pad {max(pads)} is too large", hint=f"at most {MAX_IMAGE_PIXELS}")
    if slices is not None and (len(slices) % 3 or 0 in slices[2::3]):
        raise UsageError(
            f"slices {' '.join(map(str, slices))}",
            hint="start, stop and step (not 0) for each axis",
        )


@dataclass(frozen=True, slots=True)
class MergedOptions:
    """Resolved options, and for every field that has a value the layer that gave it."""

    options: InputOptions
    sources: tuple[tuple[str, str], ...]  # (field, layer), in the order of the fields

    def from_layer(self, layer: str) -> tuple[str, ...]:
        """Names of the fields whose value came from ``layer``."""
        return tuple(name for name, source in self.sources if source == layer)

    def describe(self, layer: str) -> str:
        """The values one layer gave, such as ``divisor 255, transpose``; empty without any."""
        values = ((name, getattr(self.options, name)) for name in self.from_layer(layer))
        return ", ".join(name if value is True else f"{name} {value}" for name, value in values)


def merge(*layers: tuple[str, InputOptions]) -> MergedOptions:
    """Take each field from the first layer that gives it; a layer is (its name, its options).

    >>> command, earlier = InputOptions(divisor=255), InputOptions(divisor=2, transpose=True)
    >>> merge(("command", command), ("last aquant", earlier)).sources
    (('divisor', 'command'), ('transpose', 'last aquant'))
    """
    values: dict[str, Any] = {}
    sources: list[tuple[str, str]] = []
    for field in fields(InputOptions):
        for layer, options in layers:
            value = getattr(options, field.name)
            if value is not None:
                values[field.name] = value
                sources.append((field.name, layer))
                break
    return MergedOptions(InputOptions(**values), tuple(sources))
