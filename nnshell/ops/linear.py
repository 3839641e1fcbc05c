"""Fully connected layer: y = weights @ flatten(x) + bias.

Inputs are x (any shape, flattened in memory order), weights (out, in) and bias (out).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.errors import GraphError
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.operator import Example, IntArray, Operator, QuantizeRequest, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Work
from nnshell.ops.common import CHANNEL_BYTES, INFOS_BYTES, with_batch
from nnshell.ops.filter_kernel import FilterKernel, quantize_filter

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph


@register
@dataclass(frozen=True)
class Linear(Operator):
    """Matrix times vector; weights and bias are constants."""

    kind: ClassVar[str] = "linear"
    parameters: ClassVar[tuple[int, ...]] = (1, 2)

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        given, weights, bias = inputs
        if len(weights.shape) != 2 or weights.shape[1] != given.size:
            raise GraphError(f"linear has weights {weights} for an input of shape {given}")
        if bias.shape != weights.shape[:1]:
            raise GraphError(f"linear has weights {weights} and a bias of shape {bias}")
        return (TensorType(weights.shape[:1]),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"F {inputs[1]} B 1"

    def macs(self, inputs: Types, outputs: Types, body: Graph | None = None) -> int:
        return inputs[1].size

    def work(self, inputs: Types, outputs: Types, body: Graph | None = None) -> Work:
        shape = outputs[0].chw
        return Work(
            "linear",
            ((inputs[0].size, 1, 1),),
            shape,
            shape,
            macs=self.macs(inputs, outputs),
            input_bytes=(inputs[0].size,),
            output_bytes=outputs[0].size,
            weight_bytes=inputs[1].size,
            constant_bytes=shape[0] * CHANNEL_BYTES + INFOS_BYTES,
        )

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        vector = inputs[0]
        if len(types[0].shape) != 1:
            vector = build.node("Reshape", [vector, with_batch(build, (types[0].size,))])
        return (build.node("Gemm", [vector, *inputs[1:]], {"transB": 1}, hint=self.kind),)

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        return quantize_filter(request, request.constant(1), request.constant(2))

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        """Products in float64, exact below 2**53."""
        kernel: FilterKernel = quantization.kernel
        vectors = inputs[0].reshape(inputs[0].shape[0], -1).astype(np.float64)
        products = (vectors @ kernel.weights.T.astype(np.float64)).astype(np.int64)
        return kernel.finish(products, quantization.output)

    @classmethod
    def examples(cls) -> list[Example]:
        random = np.random.default_rng(1)
        found = []
        for name, given, out in (
            ("vector", TensorType((12,)), 5),
            ("feature map", TensorType((3, 2, 4), Layout.CHW), 7),
            ("one output", TensorType((9,)), 1),
        ):
            weights = random.normal(size=(out, given.size)).astype(np.float32)
            bias = random.normal(size=out).astype(np.float32)
            types = (given, TensorType(weights.shape), TensorType(bias.shape))
            found.append(Example(cls(), types, (None, weights, bias), name))
        return found
