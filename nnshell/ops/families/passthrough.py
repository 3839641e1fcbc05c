"""Operators of model files that leave nothing in the graph: their output is their input.

All but an expansion: copies, or for one number per channel a resize to the nearest of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nnshell.ir.graph import Ref
from nnshell.ir.requests import Range
from nnshell.ops.rearranging import repeated
from nnshell.ops.resize import NearestNeighborResizer
from nnshell.reading.registry import StoredTensor, Unsupported, Value, imports

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext

# ONNX numbers of element types; the graph computes all reals in float32
REAL_TYPES = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}
INTEGER_LIMITS = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
    "uint16": (0, 65535),
}


@imports("Identity")
def import_identity(ctx: ImportContext) -> None:
    ctx.produce_value(ctx.any_value(0))


@imports("Dropout")
def import_dropout(ctx: ImportContext) -> None:
    ctx.needs_only(0)
    training = ctx.tensor(2)
    if training is not None and training.any():
        raise Unsupported("training_mode = true", accepted="false", hint="export for inference")
    ctx.produce_value(ctx.any_value(0))


@imports("Cast")
def import_cast(ctx: ImportContext) -> None:
    """Casts to real numbers are kept back: integers up to 2^24 are exact in float32."""
    to = ctx.integer("to", 1)
    if to not in REAL_TYPES:
        ctx.refuse(
            "to",
            accepted=", ".join(f"{n} ({name})" for n, name in REAL_TYPES.items()),
            hint="integers inside a network are a quantized model's (NEMO writes them so): export "
            "the float model, or QuantizeLinear/DequantizeLinear pairs and open it with -q; an "
            "output is ended before it with --outputs",
        )
    ctx.produce_value(replace(ctx.any_value(0), dtype="float32"))


@imports("CastLike")
def import_cast_like(ctx: ImportContext) -> None:
    """As Cast: to the element type of another tensor, which must be of real numbers."""
    if ctx.is_constant(1):
        like = str(ctx.constants[ctx.node.inputs[1]].dtype)
    else:
        like = ctx.any_value(1).dtype
    if like not in REAL_TYPES.values():
        raise Unsupported(f"it casts to {like}", accepted=", ".join(REAL_TYPES.values()))
    ctx.produce_value(replace(ctx.any_value(0), dtype="float32"))


@imports("QuantizeLinear", "DequantizeLinear")
def import_quantize_linear(ctx: ImportContext) -> None:
    """Integers are read as the real numbers they stand for; their range is noted."""
    value = ctx.any_value(0)
    scale, zero_point = ctx.tensor(1), ctx.tensor(2)
    if scale is None or scale.size != 1 or (zero_point is not None and zero_point.size != 1):
        raise Unsupported("it has a scale for each channel", accepted="one for the whole tensor")
    dtype = "uint8" if zero_point is None else str(zero_point.dtype)
    step = float(np.float64(scale.reshape(-1)[0]))
    if dtype not in INTEGER_LIMITS or not np.isfinite(step) or step <= 0:
        accepted = ", ".join(INTEGER_LIMITS)
        raise Unsupported(f"integers of type {dtype} with scale {step:g}", accepted=accepted)
    zero = 0 if zero_point is None else int(zero_point.reshape(-1)[0])
    low, high = ctx.integers("nnshell_limits") or INTEGER_LIMITS[dtype]
    limits = Range((low - zero) * step, (high - zero) * step).including_zero()
    ctx.note_range(value.ref, limits, wide=dtype.endswith("16"))
    key = ctx.node.outputs[0] if ctx.node.op == "QuantizeLinear" else ctx.node.inputs[0]
    ctx.stored.setdefault(value.ref, StoredTensor(key, step, zero, dtype))
    ctx.produce_value(replace(value, dtype="float32"))


@imports("Expand")
def import_expand(ctx: ImportContext) -> None:
    """Copies along axes of 1; one number per channel all over a map is a resize."""
    value = ctx.any_value(0)
    expected = ctx.integers_in(1) or ()
    if _spreads_channels(value, expected):
        size = (max(expected[2], 1), max(expected[3], 1))
        ctx.produce(ctx.add(NearestNeighborResizer(size, "asymmetric"), [ctx.front(value)]))
        return
    counts = _copies(value, expected)
    if value.batch is not None and counts.pop(value.batch) != 1:
        raise Unsupported("it repeats the samples of the batch", accepted="1 along that axis")
    ref = repeated(ctx, value.ref, counts)
    ctx.produce_value(value if ref == value.ref else _of_shape(ctx, value, ref))


def _of_shape(ctx: ImportContext, value: Value, ref: Ref) -> Value:
    shape = list(ctx.graph.type_of(ref).shape)
    if value.batch is not None:
        shape.insert(value.batch, ctx.batch_size)
    return replace(value, ref=ref, shape=tuple(shape))


def _copies(value: Value, expected: Sequence[int]) -> list[int]:
    """How often the tensor stands along each axis of the file's shape."""
    missing = len(value.shape) - len(expected)
    targets = (*(1 for _ in range(missing)), *expected)
    fits = missing >= 0 and all(
        n in (1, own) or (own == 1 and n > 1) for n, own in zip(targets, value.shape, strict=True)
    )
    if not fits:
        raise Unsupported(
            f"shape = {list(expected)} of {list(value.shape)}",
            accepted="as many axes as the input has, other extents where it has 1",
        )
    return [n // own if n > 1 else 1 for n, own in zip(targets, value.shape, strict=True)]


def _spreads_channels(value: Value, targets: Sequence[int]) -> bool:
    """Whether each channel's one number is written all over a larger feature map."""
    if len(value.shape) != 4 or len(targets) != 4 or value.shape[2:] != (1, 1):
        return False
    same = all(n in (1, own) for n, own in zip(targets[:2], value.shape[:2], strict=True))
    return same and min(targets) >= 1 and tuple(targets[2:]) != (1, 1)
