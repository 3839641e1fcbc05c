"""Mean or maximum over all of height and width: (channels, h, w) becomes (channels, 1, 1).

Without ``keep_dims`` it becomes a vector of channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.facts import Role
from nnshell.ir.foreign import ForeignGraph, with_batch
from nnshell.ir.graph import Ref
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.moments import Moments
from nnshell.ir.moving import moved, narrowest
from nnshell.ir.operator import Constants, Example, IntArray, Operator, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import RecordRule
from nnshell.ir.requests import QuantizeRequest, Range, plain_quantization
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import ONE_BYTE, ElementBytes, Window, Work
from nnshell.lowering.requantize import Accumulator, requantize, settled
from nnshell.lowering.windows import lower_global_mean
from nnshell.numeric.fixed_point import Multiplier, derive_multiplier, saturate
from nnshell.ops.families.pool_rules import global_mean_rules, pool_rules
from nnshell.ops.families.shapes import INFOS_BYTES, feature_map
from nnshell.ops.function import Function
from nnshell.ops.mul import Mul
from nnshell.ops.transpose import Transpose
from nnshell.reading.registry import imports
from nnshell.reading.spatial import produce_spatial, spatial_input

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph
    from nnshell.reading.context import ImportContext


MEAN_BITS = 7  # fraction bits of the mean before it is requantized


@dataclass(frozen=True, slots=True, eq=False)
class GlobalMeanKernel:
    """The multiplier of s_in / (s_out * 128)."""

    scaling: Multiplier


@dataclass(frozen=True)
class GlobalPool(Operator):
    """One value per channel."""

    onnx_op: ClassVar[str] = ""
    word: ClassVar[str] = ""
    keep_dims: bool = True

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        channels, _, _ = feature_map(inputs[0], self.kind)
        if not self.keep_dims:
            return (TensorType((channels,)),)
        return (TensorType((channels, 1, 1), Layout.CHW),)

    @property
    def keeps_zero(self) -> bool:
        return True

    def scales_along(self, axis: int) -> bool:
        return axis == 0

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return inputs[0]

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"{self.word} A (1, 2){' keep_dims' if self.keep_dims else ''}"

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        shape = outputs[0].chw
        _, height, width = inputs[0].shape
        return Work(
            "global_pool",
            (feature_map(inputs[0], self.kind),),
            shape,
            shape,
            Window((height, width), (height, width)),
            input_bytes=stored.of_inputs(inputs[:1]),
            output_bytes=stored.of_outputs(outputs),
            constant_bytes=INFOS_BYTES,
            pool_kind="max" if self.word == "max" else "average",
        )

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        pooled = build.node(self.onnx_op, inputs, hint=self.kind)
        return (pooled if self.keep_dims else _as_vector(build, pooled, outputs[0]),)

    def shaped(self, pooled: IntArray) -> IntArray:
        """The result of a reduction that kept both axes, with or without them."""
        return pooled if self.keep_dims else pooled.reshape(pooled.shape[:2])

    def shaped_tensor(
        self, build: IntegerGraph, pooled: IntegerTensor, output: TensorType
    ) -> IntegerTensor:
        if self.keep_dims:
            return pooled
        pooled = settled(build, pooled)
        return moved(build, pooled, _as_vector(build, narrowest(pooled), output), output.shape)

    @classmethod
    def examples(cls) -> list[Example]:
        shapes = ((4, 6, 5), (3, 1, 7), (2, 1, 1))
        kept = [Example(cls(), (TensorType(shape, Layout.CHW),)) for shape in shapes]
        return [*kept, Example(cls(False), (TensorType((4, 6, 5), Layout.CHW),), (), "vector")]


def _as_vector(build: ForeignGraph, name: str, output: TensorType) -> str:
    return build.node("Reshape", [name, with_batch(build, output.shape)])


@register
@dataclass(frozen=True)
class GlobalAveragePool(GlobalPool):
    """y[c] = mean of x[c]"""

    kind: ClassVar[str] = "global_average_pool"
    role: ClassVar[Role] = "global_mean"
    onnx_op: ClassVar[str] = "GlobalAveragePool"
    word: ClassVar[str] = "average"

    def channel_moments(
        self, known: Sequence[Moments | None], inputs: Types, constants: Constants
    ) -> Moments | None:
        """The means; values of a channel are taken as alike, so the variances stay."""
        return known[0]

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return global_mean_rules()

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        ratio = request.record(0).first_scale / (request.output.first_scale * (1 << MEAN_BITS))
        return plain_quantization(request, GlobalMeanKernel(derive_multiplier(ratio)))

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        """MULSCALE of (sum << 7) / n, the quotient truncated towards 0."""
        total = (inputs[0] - quantization.input.zero_point).sum(axis=(2, 3), keepdims=True)
        count = inputs[0].shape[2] * inputs[0].shape[3]
        mean = np.sign(total) * ((np.abs(total) << MEAN_BITS) // count)
        scaled = quantization.kernel.scaling.apply(mean)
        pooled = saturate(scaled + quantization.output.zero_point, quantization.output.limits)
        return self.shaped(pooled)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        value = build.shifted(inputs[0], -quantization.input.zero_point)
        mean = Accumulator.of(lower_global_mean(build, value, MEAN_BITS))
        scaling, output = quantization.kernel.scaling, quantization.output
        pooled = requantize(build, mean, scaling, output, output.zero_point)
        return (self.shaped_tensor(build, pooled, outputs[0]),)


@register
@dataclass(frozen=True)
class GlobalMaxPool(GlobalPool):
    """y[c] = max of x[c]"""

    kind: ClassVar[str] = "global_max_pool"
    role: ClassVar[Role] = "global_max"
    onnx_op: ClassVar[str] = "GlobalMaxPool"
    word: ClassVar[str] = "max"
    keeps_record: ClassVar[bool] = True

    def channel_moments(
        self, known: Sequence[Moments | None], inputs: Types, constants: Constants
    ) -> Moments | None:
        if known[0] is None:
            return None
        return known[0].largest(math.prod(inputs[0].shape[1:]))

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return pool_rules()

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        largest: IntArray = inputs[0].max(axis=(2, 3), keepdims=True)
        return self.shaped(largest)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        x = inputs[0]
        name = build.node("GlobalMaxPool", [x.name], hint=self.kind)
        pooled = IntegerTensor(name, (x.shape[0], 1, 1), x.low, x.high, x.wide)
        return (self.shaped_tensor(build, pooled, outputs[0]),)


@imports("GlobalAveragePool", "GlobalMaxPool")
def import_global_pool(ctx: ImportContext) -> None:
    value = spatial_input(ctx, 0)
    pool = GlobalAveragePool() if ctx.node.op == "GlobalAveragePool" else GlobalMaxPool()
    produce_spatial(ctx, ctx.add(pool, [value.ref]), value)


@dataclass(frozen=True, slots=True)
class _Reduction:
    """A global pool, and the functions of single numbers that run before and after it."""

    pool: type[GlobalPool]
    before: tuple[Function, ...] = ()
    after: tuple[Function, ...] = ()
    sums: bool = False  # the mean times how many there are


_SQUARE, _ROOT, _LOG, _NEG = (
    *(Function("pow", (2.0,)), Function("sqrt"), Function("log"), Function("neg")),
)
_REDUCTIONS: dict[str, _Reduction] = {
    "ReduceMean": _Reduction(GlobalAveragePool),
    "ReduceMax": _Reduction(GlobalMaxPool),
    "ReduceMin": _Reduction(GlobalMaxPool, (_NEG,), (_NEG,)),
    "ReduceSum": _Reduction(GlobalAveragePool, sums=True),
    "ReduceL1": _Reduction(GlobalAveragePool, (Function("abs"),), sums=True),
    "ReduceSumSquare": _Reduction(GlobalAveragePool, (_SQUARE,), sums=True),
    "ReduceL2": _Reduction(GlobalAveragePool, (_SQUARE,), (_ROOT,), sums=True),
    "ReduceLogSum": _Reduction(GlobalAveragePool, (), (_LOG,), sums=True),
}


@imports(*_REDUCTIONS)
def import_reduce(ctx: ImportContext) -> None:
    """A global pool over the axes; others than height and width are brought to their place."""
    value = ctx.value(0)
    form = _REDUCTIONS[ctx.node.op]
    axes = ctx.integers_in(1) or ctx.integers("axes") or ()
    rank = len(value.shape)
    none = not axes and bool(ctx.integer("noop_with_empty_axes", 0))
    front = set() if none else {ctx.axis(axis, rank) for axis in axes} or set(range(rank))
    inner = sorted(ctx.inner_axis(axis, value) for axis in front)
    value = replace(value, ref=_applied(ctx, value.ref, form.before, "_before"))
    batch = value.batch
    if not inner:
        ctx.produce(_applied(ctx, value.ref, form.after, "_after"), batch)
        return
    keep = bool(ctx.integer("keepdims", 1))
    plain = len(value.inner) == 3 and inner == [1, 2]  # the kernel's own axes
    suffix = "_mean" if form.after or form.sums else ""
    ref = ctx.add(
        form.pool(keep or not plain), [_spatial(ctx, value.ref, value.inner, inner)], suffix
    )
    if form.sums:
        count = np.float32(math.prod(value.inner[axis] for axis in inner))
        factor = ctx.add_constant(ctx.unique(f"{ctx.name}_count"), np.full((1,), count))
        ref = ctx.add(Mul(), [ref, factor], "_sum" if form.after else "")
    ref = _applied(ctx, ref, form.after, "")
    shape = [1 if axis in inner else n for axis, n in enumerate(value.inner)]
    if not keep:
        shape = [n for axis, n in enumerate(value.inner) if axis not in inner]
    if batch is not None and not keep:
        batch -= sum(axis < batch for axis in front)
    ctx.produce(ctx.reshaped(ref, shape), batch)


def _applied(ctx: ImportContext, ref: Ref, functions: Sequence[Function], suffix: str) -> Ref:
    for function in functions:
        ref = ctx.add(function, [ref], suffix)
    return ref


def mean_over(
    ctx: ImportContext, ref: Ref, shape: Sequence[int], axes: Sequence[int], suffix: str
) -> Ref:
    """The mean over ``axes`` of a tensor of ``shape``, which keeps them as ones."""
    return pooled_over(ctx, GlobalAveragePool(True), ref, shape, axes, suffix)


def pooled_over(
    ctx: ImportContext,
    pool: GlobalPool,
    ref: Ref,
    shape: Sequence[int],
    axes: Sequence[int],
    suffix: str,
) -> Ref:
    """``pool`` over ``axes`` of a tensor of ``shape``, which keeps them as ones."""
    pooled = ctx.add(pool, [_spatial(ctx, ref, shape, list(axes))], suffix)
    kept = [1 if axis in axes else n for axis, n in enumerate(shape)]
    return ctx.reshaped(pooled, kept, f"{suffix}_shape")


def _spatial(ctx: ImportContext, ref: Ref, shape: Sequence[int], axes: list[int]) -> Ref:
    """The tensor as channels x height x width, with height and width made of ``axes``."""
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    perm = (*kept, *axes)
    if perm != tuple(range(len(shape))):
        ref = ctx.add(Transpose(perm), [ref], "_transpose")
    if len(kept) == 1 and len(axes) == 2:
        return ref
    channels, elements = (math.prod(shape[a] for a in group) for group in (kept, axes))
    return ctx.reshaped(ref, (channels, elements, 1), "_input")
