"""Normalizations by what a sample itself holds: of layers, instances, groups; by root mean square.

    y = (x - mean(x)) / sqrt(var(x) + epsilon) * scale + bias     mean and var over some of the axes

They become means, differences, squares and products, which have kernels; the inverse root is one
table. In int8 each step rounds once: the variance is at most 256 different numbers, so a map whose
samples differ much in spread loses most (`qerror` shows it). LogSoftmax is made of the same parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nnshell.ir.graph import Ref
from nnshell.ops.add import Add
from nnshell.ops.exp import Exp
from nnshell.ops.function import Function
from nnshell.ops.global_pool import GlobalMaxPool, mean_over, pooled_over
from nnshell.ops.mul import Mul
from nnshell.ops.sub import Sub
from nnshell.reading.registry import Unsupported, Value, imports

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from nnshell.reading.context import ImportContext

_SQUARE = Function("pow", (2.0,))


@imports("LayerNormalization")
def import_layer_norm(ctx: ImportContext) -> None:
    value, axes = _last_axes(ctx)
    ctx.needs_only(0)
    ref = _normalized(ctx, value.ref, value.inner, axes, centred=True)
    _finish(ctx, value, ref, [value.inner[axis] for axis in axes])


@imports("RMSNormalization", "SimplifiedLayerNormalization")
def import_rms_norm(ctx: ImportContext) -> None:
    value, axes = _last_axes(ctx)
    ref = _normalized(ctx, value.ref, value.inner, axes, centred=False)
    _finish(ctx, value, ref, [value.inner[axis] for axis in axes])


@imports("InstanceNormalization")
def import_instance_norm(ctx: ImportContext) -> None:
    value = _map(ctx)
    axes = list(range(1, len(value.inner)))
    ref = _normalized(ctx, value.ref, value.inner, axes, centred=True)
    _finish(ctx, value, ref, [value.inner[0], *(1 for _ in axes)])


@imports("GroupNormalization")
def import_group_norm(ctx: ImportContext) -> None:
    """Scale and bias are per channel."""
    value = _map(ctx)
    groups, channels = ctx.integer("num_groups", 0), value.inner[0]
    if groups < 1 or channels % groups:
        ctx.refuse("num_groups", accepted="a divisor of the channels")
    shape = (groups, math.prod(value.inner) // groups)
    ref = _normalized(ctx, ctx.reshaped(value.ref, shape, "_groups"), shape, [1], centred=True)
    ref = ctx.reshaped(ref, value.inner, "_channels")
    _finish(ctx, value, ref, [channels, *(1 for _ in value.inner[1:])])


@imports("LogSoftmax")
def import_log_softmax(ctx: ImportContext) -> None:
    """d - log(sum(exp(d))) with d = x - max(x): exponentials stay within 0 and 1."""
    value = ctx.value(0)
    shape = value.inner
    axis = ctx.inner_axis(ctx.integer("axis", -1), value)
    largest = pooled_over(ctx, GlobalMaxPool(True), value.ref, shape, [axis], "_max")
    distance = ctx.add(Sub(), [value.ref, largest], "_distance")
    powers = ctx.add(Exp(), [distance], "_exp")
    mean = mean_over(ctx, powers, shape, [axis], "_mean")
    logarithm = ctx.add(Function("log"), [mean], "_log")
    count = ctx.add_constant(f"{ctx.name}_log_count", np.full(1, math.log(shape[axis]), np.float32))
    total = ctx.add(Add(), [logarithm, count], "_total")
    ctx.produce(ctx.add(Sub(), [distance, total]), value.batch)


def _last_axes(ctx: ImportContext) -> tuple[Value, list[int]]:
    """The input, and the graph's axes from the attribute ``axis`` on."""
    value = ctx.value(0)
    rank = len(value.shape)
    first = ctx.axis(ctx.integer("axis", -1), rank)
    return value, [ctx.inner_axis(axis, value) for axis in range(first, rank)]


def _map(ctx: ImportContext) -> Value:
    value = ctx.value(0)
    if value.batch != 0 or len(value.inner) < 2:
        raise Unsupported("its input is no feature map", accepted="batch x channels x ...")
    return value


def _normalized(
    ctx: ImportContext, ref: Ref, shape: Sequence[int], axes: Sequence[int], *, centred: bool
) -> Ref:
    """Over ``axes``, before scale and bias."""
    if centred:
        ref = ctx.add(Sub(), [ref, mean_over(ctx, ref, shape, axes, "_mean")], "_centred")
    squares = ctx.add(_SQUARE, [ref], "_squares")
    variance = mean_over(ctx, squares, shape, axes, "_variance")
    inverse = Function("inverse_root", (ctx.real("epsilon", 1e-5),))
    return ctx.add(Mul(), [ref, ctx.add(inverse, [variance], "_inverse")], "_normalized")


def _finish(ctx: ImportContext, value: Value, ref: Ref, shape: Sequence[int]) -> None:
    """Scale and bias, one number for each index of ``shape`` or of groups of it."""
    scale, bias = (ctx.weights(index) if ctx.has(index) else None for index in (1, 2))
    if scale is not None:
        last = bias is None
        factor = ctx.parameter(1, _fitting(scale, shape), "weights")
        ref = ctx.add(Mul(), [ref, factor], "" if last else "_scaled")
    if bias is not None:
        ref = ctx.add(Add(), [ref, ctx.parameter(2, _fitting(bias, shape), "biases")])
    ctx.produce(ref, value.batch)


def _fitting(numbers: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    count = math.prod(shape)
    if not numbers.size or count % numbers.size:
        raise Unsupported(f"{numbers.size} scales", accepted=f"{count}")
    repeated = np.repeat(numbers.reshape(-1), count // numbers.size)
    return np.ascontiguousarray(repeated.reshape(tuple(shape)))
