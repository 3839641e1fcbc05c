"""Product of two matrices: y = a @ b, or a @ b^T; leading axes broadcast as in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.facts import Role
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import Example, IntArray, Operator, Types, register
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.records import INT8, Answer, RecordQuestion, RecordRule
from nnshell.ir.requests import KernelOptions, QuantizeRequest, plain_quantization
from nnshell.ir.types import TensorType
from nnshell.ir.work import ONE_BYTE, ElementBytes, Work
from nnshell.lowering.products import lower_product
from nnshell.lowering.requantize import Accumulator, requantize, wrapped
from nnshell.numeric.fixed_point import Multiplier, derive_multiplier, saturate, wrap_int32
from nnshell.numeric.kernels.samples import align_samples
from nnshell.numeric.records import weight_record
from nnshell.ops.families.arithmetic import operands
from nnshell.ops.families.record_rules import fresh_inputs, own, plain, remade
from nnshell.ops.families.shapes import CHANNEL_BYTES, INFOS_BYTES, align_ranks, broadcast
from nnshell.ops.linear import add_linear
from nnshell.reading.registry import Unsupported, imports
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph
    from nnshell.reading.context import ImportContext


@dataclass(frozen=True, slots=True, eq=False)
class MatMulKernel:
    """Multipliers: one, or one per column of a constant second operand."""

    scaling: Multiplier


@register
@dataclass(frozen=True)
class MatMul(Operator):
    """a (..., rows, inner) times b (..., inner, columns); b is (..., columns, inner) transposed.

    Either operand may be a constant.
    """

    kind: ClassVar[str] = "matmul"
    parameters: ClassVar[tuple[int, ...]] = (1,)
    role: ClassVar[Role] = "matrix_product"
    transpose_b: bool = False

    @property
    def keeps_zero(self) -> bool:
        return True

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        first, second = inputs
        if len(first.shape) < 2 or len(second.shape) < 2:
            raise GraphError(f"matmul needs matrices, not {first} and {second}")
        inner, columns = second.shape[-2:]
        if self.transpose_b:
            inner, columns = columns, inner
        if first.shape[-1] != inner:
            raise GraphError(f"matmul of {first} and {second}: {first.shape[-1]} is not {inner}")
        leading = broadcast([first.shape[:-2], second.shape[:-2]], self.kind)
        return (TensorType((*leading, first.shape[-2], columns)),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"matmul {inputs[0]} {inputs[1]}{' transposed' if self.transpose_b else ''}"

    def macs(self, inputs: Types, outputs: Types, body: Graph | None = None) -> int:
        return outputs[0].size * inputs[0].shape[-1]

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        shape = outputs[0].chw
        return Work(
            "matmul",
            tuple(t.chw for t in inputs),
            shape,
            shape,
            macs=self.macs(inputs, outputs),
            input_bytes=stored.of_inputs(inputs),
            output_bytes=stored.of_outputs(outputs),
            constant_bytes=outputs[0].shape[-1] * CHANNEL_BYTES + INFOS_BYTES,
        )

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        rank = len(outputs[0].shape)
        first, second = align_ranks(build, inputs, types, rank)
        if self.transpose_b:
            constant = build.batchless(second)
            axes = list(range(len(types[1].shape) if constant else 1 + rank))
            axes[-1], axes[-2] = axes[-2], axes[-1]
            second = build.node("Transpose", [second], {"perm": axes})
        return (build.node("MatMul", [first, second], hint=self.kind),)

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        decide = partial(_decide, transposed=self.transpose_b)
        return (RecordRule(decide, INT8, frozenset(("int8", "int32"))),)

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        """A constant second operand has a scale per column; multipliers have up to 8 bits."""
        first, value = request.record(0), request.constants[1]
        if value is None:
            second = request.record(1)
        else:
            second = _columns_record(request.name, value, self.transpose_b, request.options)
        ratio = np.float64(first.first_scale) * second.scale / request.output.first_scale
        quantization = plain_quantization(replace(request, inputs=(first, second)))
        return replace(quantization, kernel=MatMulKernel(derive_multiplier(ratio)))

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        """Products in float64, exact below 2**53; the accumulator wraps around as int32."""
        first, second = (
            array - record.zero_point
            for array, record in zip(align_samples(inputs), quantization.inputs, strict=True)
        )
        if self.transpose_b:
            second = second.swapaxes(-1, -2)
        product = first.astype(np.float64) @ second.astype(np.float64)
        scaling = quantization.kernel.scaling
        scaled = scaling.apply(wrap_int32(product.astype(np.int64)), axis=product.ndim - 1)
        return saturate(scaled + quantization.output.zero_point, quantization.output.limits)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        first, second = (
            build.shifted(x, -record.zero_point)
            for x, record in zip(inputs, quantization.inputs, strict=True)
        )
        product = lower_product(build, first, second, self.transpose_b)
        rank = len(product.shape)
        scaling, output = quantization.kernel.scaling, quantization.output
        accumulator = Accumulator.of(wrapped(build, product), rank)
        return (requantize(build, accumulator, scaling, output, output.zero_point),)

    @classmethod
    def examples(cls) -> list[Example]:
        weights = np.random.default_rng(1).normal(size=(4, 5)).astype(np.float32)
        rows = TensorType((3, 4))
        return [
            Example(cls(), (rows, TensorType((4, 5))), (), "two activations"),
            Example(cls(True), (rows, TensorType((5, 4))), (), "second transposed"),
            Example(cls(), (rows, TensorType((4, 5))), (None, weights), "constant second"),
            Example(
                cls(), (TensorType((4, 5)), TensorType((5, 2))), (weights, None), "constant first"
            ),
            Example(
                cls(True),
                (TensorType((2, 3, 5)), TensorType((4, 5))),
                (None, weights),
                "stack times transposed constant",
            ),
            Example(cls(True), (TensorType((2, 3, 5)), TensorType((4, 5))), (), "stack of rows"),
        ]


def _columns_record(
    name: str, value: NDArray[Any], transposed: bool, options: KernelOptions
) -> QParams:
    """Of a constant second operand: one scale per column of the result."""
    axis = value.ndim - (2 if transposed else 1)
    return weight_record(
        value,
        axis if options.per_channel else None,
        narrow=options.narrow_weights,
        where=f"node {name}",
        bits=options.weight_bits,
        clip=options.weight_clip,
    )


def _decide(question: RecordQuestion, transposed: bool) -> Answer | None:
    """Zero points of 0 on both sides."""
    wish, value = question.wish, question.constants[1]
    if wish is not None and wish.asymmetric:
        return None
    first, second = (
        remade(question, record) if record.asymmetric else record
        for record in fresh_inputs(question)
    )
    if value is not None:
        kernel = question.options.kernel
        second = plain(_columns_record(question.path, value, transposed, kernel))
    output = own(question, question.seen.output(0)) if wish is None else wish
    return Answer((first, second), (output,))


@imports("MatMul")
def import_matmul(ctx: ImportContext) -> None:
    """A vector times a constant is a linear node; everything else stays a product of matrices."""
    if ctx.is_constant(1):
        _import_times_constant(ctx)
    elif ctx.is_constant(0):
        _import_constant_times(ctx)
    else:
        _import_product(ctx)


def _import_times_constant(ctx: ImportContext) -> None:
    value, constant = ctx.value(0), ctx.weights(1)
    rank = len(value.shape)
    if rank < 1 or constant.ndim < 1:
        raise Unsupported("it multiplies scalars", accepted="matrices")
    if value.batch == rank - 1:
        raise Unsupported("it sums over the batch axis", hint="export with the batch axis before")
    matrix = constant[:, np.newaxis] if constant.ndim == 1 else constant
    matrix = matrix.reshape(matrix.shape[-2:]) if matrix.size == _last_two(matrix) else matrix
    if matrix.ndim == 2:
        inner = value.inner
        if int(np.prod(inner[:-1])) == 1:
            result = add_linear(ctx, value.ref, matrix.T)
            result = ctx.reshaped(result, (*inner[:-1], matrix.shape[1]))
        else:
            result = ctx.add(MatMul(), [value.ref, ctx.named_constant(1, matrix)])
        batch = value.batch
    else:
        refs, batch = operands(ctx)
        _check_leading(batch, max(rank, matrix.ndim))
        result = ctx.add(MatMul(), refs)
    if constant.ndim == 1:
        result = ctx.reshaped(result, ctx.graph.type_of(result).shape[:-1], "_vector")
    ctx.produce(result, batch)


def _last_two(matrix: NDArray[np.float32]) -> int:
    return int(np.prod(matrix.shape[-2:]))


def _import_constant_times(ctx: ImportContext) -> None:
    constant, value = ctx.weights(0), ctx.value(1)
    if constant.ndim == 2 and len(value.shape) == 2 and value.batch == 1:
        ctx.produce(add_linear(ctx, value.ref, constant), 1)  # samples are columns
        return
    _import_product(ctx)


def _import_product(ctx: ImportContext) -> None:
    refs, batch = operands(ctx)
    shapes = [
        ctx.constants[n].shape if n in ctx.constants else ctx.values[n].shape
        for n in ctx.node.inputs
    ]
    _check_leading(batch, max(len(shape) for shape in shapes))
    ctx.produce(ctx.add(MatMul(), refs), batch)


def _check_leading(batch: int | None, rank: int) -> None:
    if batch is not None and batch >= rank - 2:
        raise Unsupported(
            "the batch axis is one of the two axes it multiplies",
            accepted="batch x rows x columns",
        )
