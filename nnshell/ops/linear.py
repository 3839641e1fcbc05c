"""Fully connected layer: y = weights @ flatten(x) + bias.

Inputs are x (any shape, flattened in memory order), weights (out, in) and bias (out).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.foreign import ForeignGraph, with_batch
from nnshell.ir.graph import Ref
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import Example, IntArray, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import RecordRule
from nnshell.ir.requests import QuantizeRequest
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import ONE_BYTE, ElementBytes, Work
from nnshell.lowering.filters import Sums, lower_filter
from nnshell.numeric.kernels.filters import FilterKernel, quantize_filter
from nnshell.ops.add import Add
from nnshell.ops.families.arithmetic import without_batch
from nnshell.ops.families.filter import Filter
from nnshell.ops.families.filter_rules import filter_rules
from nnshell.ops.families.shapes import CHANNEL_BYTES, INFOS_BYTES
from nnshell.ops.mul import Mul
from nnshell.reading.registry import Unsupported, imports
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph
    from nnshell.reading.context import ImportContext


@register
@dataclass(frozen=True)
class Linear(Filter):
    """Matrix times vector; weights and bias are constants."""

    kind: ClassVar[str] = "linear"
    sums_in_float64: ClassVar[bool] = True

    @property
    def reads_flat(self) -> bool:
        return True

    def shares_inside(self, given: TensorType) -> NDArray[np.float64]:
        return np.ones(1)

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        source, weights, bias = inputs
        if len(weights.shape) != 2 or weights.shape[1] != source.size:
            raise GraphError(f"linear has weights {weights} for an input of shape {source}")
        if bias.shape != weights.shape[:1]:
            raise GraphError(f"linear has weights {weights} and a bias of shape {bias}")
        return (TensorType(weights.shape[:1]),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"F {inputs[1]} B 1"

    def macs(self, inputs: Types, outputs: Types, body: Graph | None = None) -> int:
        return inputs[1].size

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        shape = outputs[0].chw
        return Work(
            "linear",
            ((inputs[0].size, 1, 1),),
            shape,
            shape,
            macs=self.macs(inputs, outputs),
            input_bytes=stored.of_inputs(inputs[:1]),
            output_bytes=stored.of_outputs(outputs),
            weight_bytes=stored.of_inputs(inputs)[1],
            constant_bytes=shape[0] * CHANNEL_BYTES + INFOS_BYTES,
        )

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        vector = inputs[0]
        if len(types[0].shape) != 1:
            vector = build.node("Reshape", [vector, with_batch(build, (types[0].size,))])
        return (build.node("Gemm", [vector, *inputs[1:]], {"transB": 1}, hint=self.kind),)

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return filter_rules()

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        return quantize_filter(request, request.constant(1), request.constant(2))

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        kernel: FilterKernel = quantization.kernel
        products = self.products(inputs[0], kernel.weights, 0)
        return kernel.finish(products, quantization.output)

    def products(self, data: IntArray, weights: NDArray[Any], zero_point: int) -> IntArray:
        vectors = data.reshape(data.shape[0], -1).astype(np.float64)
        sums: IntArray = (vectors @ weights.T.astype(np.float64)).astype(np.int64)
        return sums

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        kernel: FilterKernel = quantization.kernel
        vector, sums = self.summing(build, inputs[0], 0)
        shape = outputs[0].shape
        return (
            lower_filter(build, vector, kernel, quantization.output, shape, sums, doubles=True),
        )

    def summing(
        self, build: IntegerGraph, x: IntegerTensor, zero_point: int
    ) -> tuple[IntegerTensor, Sums]:
        vector = replace(x, source=None)
        if len(vector.shape) != 1:
            size = math.prod(vector.shape)
            name = build.node("Reshape", [vector.name, with_batch(build, (size,))])
            vector = replace(vector, name=name, shape=(size,), narrow="")

        def sums(data: str, weights: IntArray, bias: IntArray | None, wide: bool) -> str:
            operands = [build.real(weights, wide)]
            operands += [] if bias is None else [build.real(bias, wide)]
            return build.node("Gemm", [data, *operands], {"transB": 1}, hint=self.kind)

        return vector, sums

    @classmethod
    def examples(cls) -> list[Example]:
        random = np.random.default_rng(1)
        results = []
        for name, source, out in (
            ("vector", TensorType((12,)), 5),
            ("feature map", TensorType((3, 2, 4), Layout.CHW), 7),
            ("one output", TensorType((9,)), 1),
        ):
            weights = random.normal(size=(out, source.size)).astype(np.float32)
            bias = random.normal(size=out).astype(np.float32)
            types = (source, TensorType(weights.shape), TensorType(bias.shape))
            results.append(Example(cls(), types, (None, weights, bias), name))
        return results


def add_linear(
    ctx: ImportContext, given: Ref, weights: NDArray[Any], bias: NDArray[Any] | None = None
) -> Ref:
    """Add a linear node with its constants, ``<node>_weights`` (out, in) and ``<node>_biases``."""
    filters = ctx.parameter(1, np.ascontiguousarray(weights), "weights")
    if bias is None:
        offsets = ctx.missing_bias(len(weights))
    else:
        offsets = ctx.parameter(2, np.ascontiguousarray(bias), "biases")
    return ctx.add(Linear(), [given, filters, offsets])


@imports("Gemm")
def import_gemm(ctx: ImportContext) -> None:
    """alpha * A @ B + beta * C with constant B; alpha and beta go into weights and bias."""
    value = ctx.value(0)
    if len(value.shape) != 2:
        raise Unsupported(f"its input has {len(value.shape)} axes", accepted="2")
    weights = ctx.weights(1)
    if weights.ndim != 2:
        raise Unsupported(f"its weights have {weights.ndim} axes", accepted="2")
    transposed = bool(ctx.integer("transA", 0))
    if transposed and value.batch == 0 and value.shape[1] != 1:
        ctx.refuse("transA", accepted="0", hint="it would mix the samples of a batch: leave it out")
    argument = ctx.at_batch(value, 1 if transposed else 0)
    weights = weights if ctx.integer("transB", 0) else weights.T
    weights = _scaled(ctx, weights, "alpha")
    if ctx.has(2) and not ctx.is_constant(2):
        ctx.produce(_plus_activation(ctx, add_linear(ctx, argument, weights)))
        return
    bias = _gemm_bias(ctx, len(weights)) if ctx.has(2) else None
    ctx.produce(add_linear(ctx, argument, weights, bias))


def _scaled(ctx: ImportContext, array: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    factor = np.float32(ctx.real(name, 1.0))
    return array if factor == 1 else ctx.finite(array * factor, name)


def _gemm_bias(ctx: ImportContext, filters: int) -> NDArray[np.float32]:
    bias = without_batch(_scaled(ctx, ctx.weights(2), "beta"), 0, 2)
    if bias.ndim > 1 or bias.size not in (1, filters):
        raise Unsupported(f"its bias has shape {bias.shape}", accepted=f"({filters},)")
    return np.broadcast_to(bias, (filters,))


def _plus_activation(ctx: ImportContext, product: Ref) -> Ref:
    term = ctx.value(2)
    ref = ctx.front(term) if len(term.shape) == 2 else ctx.at_batch(term, None)
    beta = np.float32(ctx.real("beta", 1.0))
    if beta != 1:
        factor = ctx.add_constant(f"{ctx.name}_beta", np.array([beta]))
        ref = ctx.add(Mul(), [ref, factor], "_scaled")
    return ctx.add(Add(), [product, ref], "_add")
