"""How model files spell another shape: Reshape, Flatten, Squeeze, Unsqueeze.

The operator itself, ``Reshape``, is among those every graph has (``nnshell.ir.basic_operators``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nnshell.reading.registry import Unsupported, Value, imports

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext


@imports("Reshape")
def import_reshape(ctx: ImportContext) -> None:
    value = ctx.any_value(0)
    target = ctx.integers_in(1)
    if target is None:
        raise Unsupported("its shape is missing")
    _produce_shape(ctx, value, _wanted(ctx, value, list(target)))


def _wanted(ctx: ImportContext, value: Value, target: list[int]) -> tuple[int, ...]:
    """The file's target shape with 0 (as it was) and -1 (what is left) filled in."""
    total = math.prod(value.shape)
    shape = list(target)
    if not ctx.integer("allowzero", 0):
        for axis, extent in enumerate(shape[: len(value.shape)]):
            shape[axis] = value.shape[axis] if extent == 0 else extent
    known = math.prod(n for n in shape if n != -1)
    if shape.count(-1) == 1 and known > 0 and total % known == 0:
        shape[shape.index(-1)] = total // known
    if min(shape, default=1) < 1 or math.prod(shape) != total:
        raise Unsupported(f"it cannot make shape {target} of {list(value.shape)}")
    return tuple(shape)


@imports("Flatten")
def import_flatten(ctx: ImportContext) -> None:
    value = ctx.any_value(0)
    axis = ctx.integer("axis", 1)
    rank = len(value.shape)
    if not -rank <= axis <= rank:
        ctx.refuse("axis", accepted=f"{-rank} to {rank}")
    axis += rank if axis < 0 else 0
    _produce_shape(ctx, value, (math.prod(value.shape[:axis]), math.prod(value.shape[axis:])))


def _produce_shape(ctx: ImportContext, value: Value, shape: tuple[int, ...]) -> None:
    batch = _batch_after(value, shape, ctx.batch_size)
    _produce(ctx, value, shape, batch)


def _batch_after(value: Value, shape: tuple[int, ...], batch_size: int) -> int | None:
    """The axis of ``shape`` that is the batch axis: as many elements before it as before."""
    if value.batch is None:
        return None
    before = math.prod(value.shape[: value.batch])
    seen = 1
    for axis, extent in enumerate(shape):
        if seen == before and extent == batch_size:
            return axis
        seen *= extent
    if batch_size == 1:
        return None
    raise Unsupported(
        f"shape {list(shape)} mixes the {batch_size} samples of the batch",
        hint="export the model with a batch of 1",
    )


@imports("Squeeze")
def import_squeeze(ctx: ImportContext) -> None:
    value = ctx.any_value(0)
    rank = len(value.shape)
    axes = ctx.integers_in(1)
    if axes is None:
        kept_batch = value.batch if ctx.any_batch else None
        axes = tuple(a for a, n in enumerate(value.shape) if n == 1 and a != kept_batch)
    gone = {ctx.axis(axis, rank) for axis in axes}
    if any(value.shape[axis] != 1 for axis in gone):
        raise Unsupported(f"axes = {list(axes)} of shape {list(value.shape)}", accepted="axes of 1")
    shape = tuple(n for axis, n in enumerate(value.shape) if axis not in gone)
    batch = value.batch
    if batch is not None:
        batch = None if batch in gone else batch - sum(axis < batch for axis in gone)
    _produce(ctx, value, shape, batch)


@imports("Unsqueeze")
def import_unsqueeze(ctx: ImportContext) -> None:
    value = ctx.any_value(0)
    axes = ctx.integers_in(1) or ()
    rank = len(value.shape) + len(axes)
    new = {ctx.axis(axis, rank) for axis in axes}
    if len(new) != len(axes):
        raise Unsupported(f"axes = {list(axes)}", accepted="each axis once")
    old = [axis for axis in range(rank) if axis not in new]
    shape = [1] * rank
    for axis, extent in zip(old, value.shape, strict=True):
        shape[axis] = extent
    batch = None if value.batch is None else old[value.batch]
    _produce(ctx, value, tuple(shape), batch)


def _produce(ctx: ImportContext, value: Value, shape: tuple[int, ...], batch: int | None) -> None:
    ref = ctx.reshaped(value.ref, tuple(n for a, n in enumerate(shape) if a != batch), "")
    ctx.produce_value(Value(ref, shape, batch, value.dtype))
