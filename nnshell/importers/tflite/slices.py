"""STRIDED_SLICE: its masks written out as limits for each axis, as numpy's indexing has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nnshell.importers.tflite.file import OptionValue
from nnshell.reading.registry import Unsupported


@dataclass(frozen=True, slots=True)
class Cut:
    """Limits of every axis of the input; then axes to remove of the cut, and to add to that."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    strides: tuple[int, ...]
    removed: tuple[int, ...] = ()
    added: tuple[int, ...] = ()

    @property
    def slices(self) -> tuple[slice, ...]:
        """One slice for each axis, as numpy takes them."""
        limits = zip(self.starts, self.ends, self.strides, strict=True)
        return tuple(slice(a, b if b >= 0 else None, step) for a, b, step in limits)


def slice_of(
    options: Mapping[str, OptionValue],
    begin: Sequence[int],
    end: Sequence[int],
    strides: Sequence[int],
    shape: Sequence[int],
) -> Cut:
    """The cut that the operator makes of ``shape``. Ends of -1 lie before the first element."""
    if not len(begin) == len(end) == len(strides) or 0 in strides:
        raise Unsupported(f"begin {list(begin)}, end {list(end)}, strides {list(strides)}")
    masks = {name: int(options.get(f"{name}Mask", 0)) for name in _MASKS}  # type: ignore[arg-type]
    places = _places(len(begin), masks, len(shape))
    starts, ends, steps = [0] * len(shape), list(shape), [1] * len(shape)
    removed: list[int] = []
    added: list[int] = []
    kept = 0
    for position, axes in places:
        if position is None or masks["Ellipsis"] >> position & 1:
            kept += len(axes)
            continue
        if masks["NewAxis"] >> position & 1:
            added.append(kept)
            kept += 1
            continue
        (axis,) = axes
        single = bool(masks["ShrinkAxis"] >> position & 1)
        limits = _limits(shape[axis], begin[position], end[position], strides[position], single)
        first = None if masks["Begin"] >> position & 1 and not single else limits[0]
        last = None if masks["End"] >> position & 1 and not single else limits[1]
        steps[axis] = 1 if single else strides[position]
        starts[axis] = first if first is not None else 0 if steps[axis] > 0 else shape[axis] - 1
        ends[axis] = last if last is not None else shape[axis] if steps[axis] > 0 else -1
        if single:
            removed.append(axis)
        else:
            kept += 1
    final = tuple(_explicit_end(e, s, n) for e, s, n in zip(ends, steps, shape, strict=True))
    return Cut(tuple(starts), final, tuple(steps), tuple(removed), tuple(added))


_MASKS = ("Begin", "End", "Ellipsis", "NewAxis", "ShrinkAxis")


def _places(
    count: int, masks: Mapping[str, int], rank: int
) -> list[tuple[int | None, tuple[int, ...]]]:
    """Which axes of the input each entry of the operator's lists speaks of, in order."""
    consuming = [
        position
        for position in range(count)
        if not (masks["Ellipsis"] >> position & 1 or masks["NewAxis"] >> position & 1)
    ]
    left = rank - len(consuming)
    if left < 0 or masks["Ellipsis"].bit_count() > 1:
        raise Unsupported(f"{len(consuming)} limits for {rank} axes")
    places: list[tuple[int | None, tuple[int, ...]]] = []
    axis = 0
    for position in range(count):
        if masks["Ellipsis"] >> position & 1:
            places.append((position, tuple(range(axis, axis + left))))
            axis += left
            left = 0
        elif masks["NewAxis"] >> position & 1:
            places.append((position, ()))
        else:
            places.append((position, (axis,)))
            axis += 1
    return [*places, (None, tuple(range(axis, rank)))]


def _limits(extent: int, start: int, end: int, stride: int, single: bool) -> tuple[int, int]:
    """Start and end inside the axis, counted from the front."""
    start += extent if start < 0 else 0
    if single:
        if not 0 <= start < extent:
            raise Unsupported(f"it takes element {start} of {extent}")
        return start, start + 1
    end += extent if end < 0 else 0
    if stride > 0:
        return max(min(start, extent), 0), max(min(end, extent), 0)
    return max(min(start, extent - 1), -1), max(min(end, extent - 1), -1)


def _explicit_end(end: int, stride: int, extent: int) -> int:
    """ONNX counts negative ends from the back: before the first element is one lower still."""
    return -extent - 1 if end < 0 and stride < 0 else end
