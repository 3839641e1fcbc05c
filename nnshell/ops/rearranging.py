"""Operators of model files that move elements by reshapes, transposes and concats.

DepthToSpace, SpaceToDepth    blocks of b x b pixels become channels, and back
Tile, Expand                  a tensor several times along an axis
Pad (reflect, edge)           pieces of a tensor before and after it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nnshell.ir.graph import Ref
from nnshell.ops.concat import Concat
from nnshell.ops.strided_slice import slicing
from nnshell.ops.transpose import Transpose
from nnshell.reading.registry import Unsupported, imports
from nnshell.reading.spatial import spatial_input

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext

_MOST_COPIES = 64  # along one axis; each is an input of a concat


@imports("DepthToSpace")
def import_depth_to_space(ctx: ImportContext) -> None:
    """(c b b, h, w) becomes (c, h b, w b); DCR has the block's axes before c, CRD after it."""
    mode = ctx.text("mode", "DCR", ("DCR", "CRD"))
    ref, (channels, height, width), block = _map_and_block(ctx)
    if channels % block**2:
        ctx.refuse("blocksize", accepted=f"one whose square divides {channels} channels")
    inner = channels // block**2
    split = (block, block, inner) if mode == "DCR" else (inner, block, block)
    order = (2, 3, 0, 4, 1) if mode == "DCR" else (0, 3, 1, 4, 2)
    ref = ctx.reshaped(ref, (*split, height, width), "_blocks")
    ref = ctx.add(Transpose(order), [ref], "_transpose")
    ctx.produce(ctx.reshaped(ref, (inner, height * block, width * block), ""))


@imports("SpaceToDepth")
def import_space_to_depth(ctx: ImportContext) -> None:
    """(c, h b, w b) becomes (b b c, h, w)."""
    ref, (channels, height, width), block = _map_and_block(ctx)
    if height % block or width % block:
        ctx.refuse("blocksize", accepted=f"a divisor of {height} and {width}")
    rows, columns = height // block, width // block
    ref = ctx.reshaped(ref, (channels, rows, block, columns, block), "_blocks")
    ref = ctx.add(Transpose((2, 4, 0, 1, 3)), [ref], "_transpose")
    ctx.produce(ctx.reshaped(ref, (channels * block**2, rows, columns), ""))


def _map_and_block(ctx: ImportContext) -> tuple[Ref, tuple[int, int, int], int]:
    value = spatial_input(ctx, 0)
    block = ctx.integer("blocksize", 0)
    if value.one_row:
        raise Unsupported("its input has 3 axes", accepted="batch x channels x height x width")
    if block < 1:
        ctx.refuse("blocksize", accepted="1 or more")
    return value.ref, (value.channels, *value.size), block


@imports("Tile")
def import_tile(ctx: ImportContext) -> None:
    """Copies along each axis but the batch axis."""
    value = ctx.any_value(0)
    repeats = list(ctx.integers_in(1) or ())
    if len(repeats) != len(value.shape) or min(repeats, default=1) < 1:
        raise Unsupported(f"repeats = {repeats}", accepted=f"{len(value.shape)} positive numbers")
    if value.batch is not None and repeats.pop(value.batch) != 1:
        raise Unsupported("it repeats the samples of the batch", accepted="1 along that axis")
    ref = repeated(ctx, value.ref, repeats)
    ctx.produce(ref, value.batch, dtype=value.dtype)


def repeated(ctx: ImportContext, ref: Ref, counts: Sequence[int]) -> Ref:
    """``ref`` so many times along each of its axes; the last axis with copies has the name."""
    several = [axis for axis, count in enumerate(counts) if count > 1]
    if any(counts[axis] > _MOST_COPIES for axis in several):
        raise Unsupported(f"it makes {max(counts)} copies", accepted=f"{_MOST_COPIES} or fewer")
    for axis in several:
        suffix = "" if axis == several[-1] else f"_axis_{axis}"
        ref = ctx.add(Concat(axis), [ref] * counts[axis], suffix)
    return ref


def mirrored(ctx: ImportContext, ref: Ref, pads: Sequence[tuple[int, int]], mode: str) -> Ref:
    """``ref`` with a border of its own elements; ``pads`` are not negative.

    ``reflect`` turns round at the outermost element, ``edge`` repeats that.
    """
    wide = [axis for axis, pair in enumerate(pads) if max(pair)]
    for axis in wide:
        extent = ctx.graph.type_of(ref).shape[axis]
        if max(pads[axis]) > (extent - 1 if mode == "reflect" else _MOST_COPIES):
            raise Unsupported(
                f"mode = {mode} with {pads[axis]} elements around an axis of {extent}",
                accepted="fewer than the axis has" if mode == "reflect" else f"{_MOST_COPIES}",
            )
        border = _reflection if mode == "reflect" else _edge
        before, after = pads[axis]
        pieces = [
            *border(ctx, ref, axis, before, start=True),
            ref,
            *border(ctx, ref, axis, after, start=False),
        ]
        ref = ctx.add(Concat(axis), pieces, "" if axis == wide[-1] else f"_axis_{axis}")
    return ref


def _reflection(ctx: ImportContext, ref: Ref, axis: int, count: int, *, start: bool) -> list[Ref]:
    """The elements next to the outermost one, in the opposite order."""
    extent = ctx.graph.type_of(ref).shape[axis]
    first = count if start else extent - 2
    end = first - count
    return [_piece(ctx, ref, axis, slice(first, end if end >= 0 else None, -1))] if count else []


def _edge(ctx: ImportContext, ref: Ref, axis: int, count: int, *, start: bool) -> list[Ref]:
    """The outermost element, ``count`` times."""
    place = 0 if start else ctx.graph.type_of(ref).shape[axis] - 1
    return [_piece(ctx, ref, axis, slice(place, place + 1, 1))] * count if count else []


def _piece(ctx: ImportContext, ref: Ref, axis: int, part: slice) -> Ref:
    slices = [slice(0, extent, 1) for extent in ctx.graph.type_of(ref).shape]
    slices[axis] = part
    return ctx.add(slicing(slices), [ref], f"_border_{axis}")
