"""Operators of model files that leave nothing in the graph: their output is their input.

All but an expansion of one number per channel: that is a resize to the nearest of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nnshell.ir.requests import Range
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
    """Where it changes nothing, as exporters leave it behind, and one number per channel."""
    value = ctx.any_value(0)
    expected = ctx.integers_in(1) or ()
    if _spreads_channels(value, expected):
        size = (max(expected[2], 1), max(expected[3], 1))
        ctx.produce(ctx.add(NearestNeighborResizer(size, "asymmetric"), [ctx.front(value)]))
        return
    aligned = zip(reversed(expected), reversed(value.shape), strict=False)
    if len(expected) > len(value.shape) or any(n not in (1, own) for n, own in aligned):
        raise Unsupported(f"shape = {list(expected)}", accepted=f"the input's {list(value.shape)}")
    ctx.produce_value(value)


def _spreads_channels(value: Value, targets: Sequence[int]) -> bool:
    """Whether each channel's one number is written all over a larger feature map."""
    if len(value.shape) != 4 or len(targets) != 4 or value.shape[2:] != (1, 1):
        return False
    same = all(n in (1, own) for n, own in zip(targets[:2], value.shape[:2], strict=True))
    return same and min(targets) >= 1 and tuple(targets[2:]) != (1, 1)
