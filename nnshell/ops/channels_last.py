"""A kernel that works on channels first, on feature maps that keep their channels last.

    y = transpose(op(transpose(x, (2, 0, 1))), (1, 2, 0))

Model files of frameworks that keep channels last are read so. Whatever is asked of the node is
asked of the operator inside, on axes brought into its order; `adjust` puts real transposes in its
place, most of which cancel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.facts import Border
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.moving import moved, narrowest
from nnshell.ir.operator import Example, IntArray, Operator, Types, register
from nnshell.ir.permutations import Perm, inverse, permuted
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.records import Answer, RecordQuestion, RecordRule
from nnshell.ir.requests import KernelOptions, QuantizeRequest, Range
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import ONE_BYTE, ElementBytes, Window, Work
from nnshell.lowering.requantize import settled
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.global_pool import GlobalAveragePool
from nnshell.ops.max_pool import MaxPool

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph

TO_FIRST = (2, 0, 1)  # height, width, channels to channels, height, width
TO_LAST = (1, 2, 0)
FILTER = (0, 3, 1, 2)  # weights out, height, width, in to out, in, height, width
DEPTHWISE = (3, 0, 1, 2)  # weights 1, height, width, out to out, 1, height, width

# what an operator states about itself as a class
_FACTS = (
    "keeps_record",
    "pushes_range",
    "order_preserving",
    "makes_wide",
    "needs_wide_input",
    "parameters",
)


_HALVING = MaxPool()


@register
@dataclass(frozen=True)
class ChannelsLast(Operator):
    """``inner`` over the feature map in input 0, whose channels are its last axis.

    ``weights`` is the permutation that brings input 1, the weights of a filter, into the order
    that ``inner`` takes; empty where it has none.
    """

    kind: ClassVar[str] = "channels_last"
    inner: Operator = _HALVING
    weights: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """What tables call the operator: what it computes, not how it is laid out."""
        return self.inner.kind

    # -- types in the order that the operator inside takes ---------------------------------

    def _first(self, types: Types) -> tuple[TensorType, ...]:
        results = list(types)
        height, width, channels = types[0].shape
        results[0] = TensorType((channels, height, width), Layout.CHW, types[0].dtype)
        if self.weights:
            results[1] = replace(types[1], shape=permuted(types[1].shape, self.weights))
        return tuple(results)

    @staticmethod
    def _last(tensor: TensorType) -> TensorType:
        if len(tensor.shape) != 3:
            return tensor
        channels, height, width = tensor.shape
        return TensorType((height, width, channels), Layout.HWC, tensor.dtype)

    @staticmethod
    def _outputs_first(outputs: Types) -> tuple[TensorType, ...]:
        return tuple(
            replace(t, shape=permuted(t.shape, TO_FIRST), layout=Layout.CHW)
            if len(t.shape) == 3
            else t
            for t in outputs
        )

    # -- the contract ----------------------------------------------------------------------

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        if len(inputs[0].shape) != 3:
            return self.inner.infer(inputs)  # which says what it needs
        return tuple(self._last(tensor) for tensor in self.inner.infer(self._first(inputs)))

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        first = self._first(inputs)
        text = self.inner.describe(first, self._outputs_first(outputs))
        if self.weights:
            return text.replace(f"F {first[1]}", f"F {inputs[1]}", 1)
        return text.replace("A (1, 2)", "A (0, 1)")

    def macs(self, inputs: Types, outputs: Types, body: Graph | None = None) -> int:
        return self.inner.macs(self._first(inputs), self._outputs_first(outputs))

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        return self.inner.work(self._first(inputs), self._outputs_first(outputs), None, stored)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        values = list(inputs)
        values[0] = _moved(build, inputs[0], TO_FIRST)
        if self.weights:
            values[1] = self._weights_first(build, inputs[1])
        first = self._outputs_first(outputs)
        result = self.inner.to_onnx(build, values, self._first(types), first)
        return tuple(
            _moved(build, name, TO_LAST) if len(tensor.shape) == 3 else name
            for name, tensor in zip(result, first, strict=True)
        )

    def _weights_first(self, build: ForeignGraph, name: str) -> str:
        """A constant, or one that is computed: integers with their scale."""
        value = build.constants.get(name)
        if value is not None:
            return build.constant(np.ascontiguousarray(value.transpose(self.weights)), "weights")
        return build.mark_batchless(build.node("Transpose", [name], {"perm": self.weights}))

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        """Those of the operator inside, which reads its constants as it knows them."""
        return tuple(
            replace(rule, decide=partial(self._decide, rule))
            for rule in self.inner.record_rules(scheme)
        )

    def _decide(self, rule: RecordRule, question: RecordQuestion) -> Answer | None:
        constants = list(question.constants)
        weights = constants[1] if self.weights else None
        if weights is not None:
            constants[1] = weights.transpose(self.weights)
        outputs = self._outputs_first(question.output_types)
        return rule.decide(replace(question, constants=tuple(constants), output_types=outputs))

    def reads_range(self, index: int) -> bool:
        return self.inner.reads_range(index)

    def input_record(self, index: int) -> QParams | None:
        return self.inner.input_record(index)

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return self.inner.bounds(inputs)

    @property
    def keeps_zero(self) -> bool:
        return self.inner.keeps_zero

    def with_border(self, border: Border, given: Range) -> Operator | str:
        if len(border.pads) != 3:
            return "it is no border of a feature map"
        first = Border(permuted(border.pads, TO_FIRST), border.value)
        padding = self.inner.with_border(first, given)
        return padding if isinstance(padding, str) else replace(self, inner=padding)

    @property
    def weights_order(self) -> Perm:
        return self.weights

    def sliding_window(self) -> Window | None:
        return self.inner.sliding_window()

    def with_window(self, window: Window) -> Operator:
        return replace(self, inner=self.inner.with_window(window))

    def output_range(self, observed: Range | None) -> Range | None:
        return self.inner.output_range(observed)

    def output_record(self, options: KernelOptions) -> QParams | None:
        return self.inner.output_record(options)

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        """The kernel of the operator inside; constants, and axes of records, are the graph's."""
        constants = list(request.constants)
        if self.weights:
            constants[1] = request.constant(1).transpose(self.weights)
        quantization = self.inner.quantize(
            replace(
                request,
                input_types=self._first(request.input_types),
                output_types=self._outputs_first(request.output_types),
                constants=tuple(constants),
            )
        )
        if not self.weights or not quantization.constants or quantization.constants[1] is None:
            return quantization
        kept = list(quantization.constants)
        kept[1] = quantization.constants[1].transpose(inverse(self.weights))
        records = list(quantization.inputs)
        if records[1].axis is not None:
            records[1] = replace(records[1], axis=self.weights[records[1].axis])
        return replace(quantization, inputs=tuple(records), constants=tuple(kept))

    def integer_multi(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray]
    ) -> tuple[IntArray, ...]:
        values = [inputs[0].transpose(0, *(axis + 1 for axis in TO_FIRST)), *inputs[1:]]
        return tuple(
            array.transpose(0, *(axis + 1 for axis in TO_LAST)) if array.ndim == 4 else array
            for array in self.inner.integer_multi(quantization, values)
        )

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        values = [_turned(build, inputs[0], TO_FIRST), *inputs[1:]]
        result = self.inner.lower(quantization, build, values, self._outputs_first(outputs))
        return tuple(_turned(build, x, TO_LAST) if len(x.shape) == 3 else x for x in result)

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((7, 9, 3), Layout.HWC)
        padded = Window((3, 3), (2, 2), (1, 1), (1, 1, 1, 1))
        return [
            _filter("filter", Conv2D(padded), (5, 3, 3, 3), FILTER, image),
            _filter("depthwise", Conv2D(padded, 3), (1, 3, 3, 6), DEPTHWISE, image),
            Example(cls(MaxPool(padded)), (image,), (), "max pool"),
            Example(cls(AveragePool(padded)), (image,), (), "average pool"),
            Example(cls(GlobalAveragePool()), (image,), (), "mean"),
            Example(cls(GlobalAveragePool(False)), (image,), (), "mean as a vector"),
        ]


for _fact in _FACTS:
    setattr(ChannelsLast, _fact, property(attrgetter(f"inner.{_fact}")))


def _moved(build: ForeignGraph, name: str, perm: tuple[int, ...]) -> str:
    return build.node("Transpose", [name], {"perm": [0, *(axis + 1 for axis in perm)]})


def _turned(build: IntegerGraph, x: IntegerTensor, perm: tuple[int, ...]) -> IntegerTensor:
    x = settled(build, x)
    return moved(build, x, _moved(build, narrowest(x), perm), permuted(x.shape, perm))


def _filter(
    name: str, op: Conv2D, shape: tuple[int, ...], order: tuple[int, ...], image: TensorType
) -> Example:
    random = np.random.default_rng(len(name))
    weights = random.normal(size=shape).astype(np.float32)
    filters = shape[order[0]]
    bias = random.normal(size=filters).astype(np.float32)
    types = (image, TensorType(shape), TensorType((filters,)))
    return Example(ChannelsLast(op, order), types, (None, weights, bias), name)
