"""Parametric rectifier: y = x if x >= 0 else slope * x, slope a constant (one per channel)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import Example, IntArray, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import QuantizeRequest
from nnshell.ir.types import Layout, TensorType
from nnshell.lowering.leaky import lower_leaky
from nnshell.numeric.kernels.leaky import SLOPE_BITS, LeakyKernel, leaky_kernel
from nnshell.numeric.records import fixed_record
from nnshell.ops.families.activation import Activation
from nnshell.ops.families.arithmetic import without_batch
from nnshell.ops.families.shapes import broadcast
from nnshell.ops.leaky_relu import LeakyRelu
from nnshell.reading.registry import Unsupported, imports
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph
    from nnshell.reading.context import ImportContext


@register
@dataclass(frozen=True)
class PRelu(Activation):
    """y = x if x >= 0 else slope * x; inputs are x and the slope, which broadcasts to x."""

    kind: ClassVar[str] = "prelu"
    parameters: ClassVar[tuple[int, ...]] = (1,)
    local_to_tile: ClassVar[bool] = False  # its slopes are constants of the whole tensor

    @property
    def keeps_zero(self) -> bool:
        return True

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        image, slope = inputs
        if broadcast([image.shape, slope.shape], self.kind) != image.shape:
            raise GraphError(f"prelu has a slope of shape {slope} for an input of shape {image}")
        return (TensorType(image.shape, image.layout),)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("PRelu", inputs, hint=self.kind),)

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        """nnshell's own rule: leaky relu with a slope for each element of the constant."""
        value, slope = request.record(0), request.constant(1)
        kernel = leaky_kernel(slope, value, request.output)
        record = fixed_record(1.0 / (1 << SLOPE_BITS), "int16")
        integers = record.quantize(slope).astype(np.int16)
        return NodeQuantization(
            (value, record), request.outputs, kernel, constants=(None, integers)
        )

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        kernel: LeakyKernel = quantization.kernel
        return kernel.apply(inputs[0], quantization)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        return (lower_leaky(quantization, build, inputs[0]),)

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((3, 4, 5), Layout.CHW)
        per_channel = np.array([0.1, 0.25, -0.5], np.float32).reshape(3, 1, 1)
        vector = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
        return [
            Example(cls(), (image, TensorType((3, 1, 1))), (None, per_channel), "per channel"),
            Example(cls(), (TensorType((4,)), TensorType((4,))), (None, vector), "vector"),
        ]


@imports("PRelu")
def import_prelu(ctx: ImportContext) -> None:
    """One slope for all elements makes it a leaky rectifier."""
    value = ctx.value(0)
    slope = ctx.weights(1)
    if np.all(slope == slope.reshape(-1)[0]):
        leaky = LeakyRelu(float(slope.reshape(-1)[0]))
        ctx.produce(ctx.add(leaky, [value.ref]), value.batch)
        return
    if slope.ndim > len(value.shape):
        raise Unsupported(f"its slope has shape {slope.shape}", accepted="one slope per channel")
    constant = ctx.named_constant(1, without_batch(slope, value.batch, len(value.shape)))
    ctx.produce(ctx.add(PRelu(), [value.ref, constant]), value.batch)
