"""Batch normalization: y = (x - mean) / sqrt(variance + epsilon) * scale + bias.

After a convolution it disappears into the weights (``folded``):

    r = sqrt(variance + epsilon);  w' = w * (scale / r);  b' = ((b - mean) * scale) / r + bias
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.basic_operators import Constant, Reshape
from nnshell.ir.facts import Role
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.graph import Node, Ref
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.moments import Moments
from nnshell.ir.operator import Constants, Example, IntArray, Operator, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import INT8, Answer, RecordQuestion, RecordRule
from nnshell.ir.requests import QuantizeRequest
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import ONE_BYTE, ElementBytes, Work
from nnshell.lowering.filters import lower_filter
from nnshell.numeric.kernels.filters import FilterKernel, quantize_filter
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.families.record_rules import asymmetric, fresh_inputs
from nnshell.ops.families.shapes import INFOS_BYTES
from nnshell.ops.linear import Linear
from nnshell.reading.registry import Unsupported, imports
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph
    from nnshell.reading.context import ImportContext

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Normalization:
    """The constants of a batch normalization, one float32 element per channel."""

    scale: FloatArray
    bias: FloatArray
    mean: FloatArray
    variance: FloatArray
    epsilon: float = 1e-5

    @property
    def deviation(self) -> FloatArray:
        """sqrt(variance + epsilon) in float32."""
        deviation: FloatArray = np.sqrt(self.variance + np.float32(self.epsilon))
        return deviation

    def factor_and_offset(self) -> tuple[FloatArray, FloatArray]:
        """factor and offset of y = factor * x + offset."""
        factor: FloatArray = self.scale / self.deviation
        return factor, (-self.mean * self.scale) / self.deviation + self.bias


def folded(
    weights: NDArray[Any], bias: NDArray[Any], norm: Normalization
) -> tuple[FloatArray, FloatArray]:
    """Weights (output channel first) and bias of a filter with ``norm`` folded into them.

    All in float32 and in this order of operations: NNTool's integers depend on the last bit.
    """
    per_filter = (-1, *(1 for _ in weights.shape[1:]))
    deviation = norm.deviation
    factor = (norm.scale / deviation).reshape(per_filter)
    new_weights: FloatArray = weights.astype(np.float32) * factor
    new_bias: FloatArray = (
        (bias.astype(np.float32) - norm.mean) * norm.scale
    ) / deviation + norm.bias
    return new_weights, new_bias


@register
@dataclass(frozen=True)
class BatchNorm(Operator):
    """Inputs are x (channels first) and, one per channel, scale, bias, mean and variance."""

    kind: ClassVar[str] = "batch_norm"
    role: ClassVar[Role] = "normalization"
    parameters: ClassVar[tuple[int, ...]] = (1, 2, 3, 4)
    epsilon: float = 1e-5

    def channel_moments(
        self, known: Sequence[Moments | None], inputs: Types, constants: Constants
    ) -> Moments | None:
        """Its offset and its factor squared: its input had the mean and variance it takes out."""
        scale, bias = constants[1:3]
        if scale is None or bias is None:
            return None
        return Moments(bias.astype(np.float64), np.square(scale.astype(np.float64)))

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        source = inputs[0]
        for statistic in inputs[1:]:
            if not source.shape or statistic.shape != source.shape[:1]:
                raise GraphError(f"batch_norm of {source} with constants of shape {statistic}")
        return (TensorType(source.shape, source.layout),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"epsilon {self.epsilon:g}"

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        constants = 2 * outputs[0].chw[0] + INFOS_BYTES  # int8 factor and offset per channel
        return Work.of_maps("elementwise", inputs[:1], outputs, stored, constant_bytes=constants)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        attributes = {"epsilon": self.epsilon}
        return (build.node("BatchNormalization", inputs, attributes, hint=self.kind),)

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return (RecordRule(_decide, INT8, INT8, free=(1, 2, 3, 4)),)

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        """nnshell's own rule: a filter of one weight per channel, factor and offset folded."""
        scale, bias, mean, variance = (request.constant(index) for index in range(1, 5))
        factor, offset = Normalization(
            scale, bias, mean, variance, self.epsilon
        ).factor_and_offset()
        result = quantize_filter(request, factor[:, np.newaxis], offset)
        data, weight_q, bias_q = result.inputs
        return NodeQuantization(
            (data, weight_q, bias_q, bias_q, weight_q), result.outputs, result.kernel
        )

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        kernel: FilterKernel = quantization.kernel
        factor = kernel.weights.astype(np.int64).reshape(-1, *(1 for _ in inputs[0].shape[2:]))
        return kernel.finish(inputs[0] * factor, quantization.output)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        kernel: FilterKernel = quantization.kernel
        per_channel = (1, -1, *(1 for _ in outputs[0].shape[1:]))

        def sums(
            data: str, weights: NDArray[np.int64], bias: NDArray[np.int64] | None, wide: bool
        ) -> str:
            result = build.node("Mul", [data, build.real(weights.reshape(per_channel), wide)])
            if bias is None:
                return result
            return build.node("Add", [result, build.real(bias.reshape(per_channel), wide)])

        x, shape = inputs[0], outputs[0].shape
        return (lower_filter(build, x, kernel, quantization.output, shape, sums, doubles=True),)

    @classmethod
    def examples(cls) -> list[Example]:
        random = np.random.default_rng(1)
        results = []
        for source in (TensorType((3, 4, 5), Layout.CHW), TensorType((6,))):
            count = source.shape[0]
            values = [random.normal(size=count).astype(np.float32) for _ in range(3)]
            values.append(random.uniform(0.1, 2, count).astype(np.float32))
            types = (source, *(TensorType((count,)) for _ in values))
            results.append(Example(cls(1e-3), types, (None, *values)))
        return results


def _decide(question: RecordQuestion) -> Answer:
    """Any record on both sides, as of a filter; the constants' records follow with the integers."""
    output = question.wish or asymmetric(question, question.seen.output(0))
    return Answer((fresh_inputs(question)[0], *question.arriving[1:]), (output,))


@imports("BatchNormalization")
def import_batch_norm(ctx: ImportContext) -> None:
    """Folded into the convolution or linear node that nothing else reads, or a node of its own."""
    ctx.needs_only(0)
    if ctx.integer("training_mode", 0):
        ctx.refuse("training_mode", accepted="0", hint="export the model for inference")
    value = ctx.front(ctx.value(0))
    constants = [ctx.weights(index) for index in range(1, 5)]
    scale, bias, mean, variance = constants
    norm = Normalization(scale, bias, mean, variance, ctx.real("epsilon", 1e-5))
    if not np.all(norm.variance + np.float32(norm.epsilon) > 0):
        raise Unsupported(f"'{ctx.node.inputs[4]}' holds negative variances", accepted="0 or more")
    target = _filter_behind(ctx, value)
    if target is not None and all(c.shape == target.outputs[0].shape[:1] for c in constants):
        _fold_into(ctx, target, norm)
        ctx.note_absorbed(target.name, ctx.name, "was folded into the weights and biases of")
        ctx.produce(value)
        return
    refs = [ctx.named_constant(index, array) for index, array in enumerate(constants, 1)]
    ctx.produce(ctx.add(BatchNorm(norm.epsilon), [value, *refs]))


def _filter_behind(ctx: ImportContext, value: Ref) -> Node | None:
    """The filter that made the node's input for this node alone, if there is one."""
    if not ctx.options.fold_batchnorm or not ctx.used_once(0):
        return None
    node = ctx.graph[value.node]
    if isinstance(node.op, Reshape) and node.inputs[0] not in ctx.makers:
        node = ctx.graph.producer(node)  # the row of a convolution along one axis
    return node if isinstance(node.op, Conv2D | Linear) else None


def _fold_into(ctx: ImportContext, target: Node, norm: Normalization) -> None:
    weights, bias = (ctx.graph[ref.node] for ref in target.inputs[1:])
    values = (ctx.graph.constant(Ref(node.name)) for node in (weights, bias))
    old = [value for value in values if value is not None]
    with np.errstate(over="ignore", invalid="ignore"):
        new = folded(old[0], old[1], norm)
    for node, array in zip((weights, bias), new, strict=True):
        node.op = Constant(ctx.finite(array, f"{node.name} with batch normalization"))
