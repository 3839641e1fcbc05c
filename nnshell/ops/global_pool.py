"""Mean or maximum over all of height and width: (channels, h, w) becomes (channels, 1, 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.operator import Example, IntArray, Operator, QuantizeRequest, Types, register
from nnshell.ir.qparams import NodeQuantization, plain_quantization
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Window, Work
from nnshell.numeric.fixed_point import Multiplier, derive_multiplier, saturate
from nnshell.ops.common import INFOS_BYTES, feature_map

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph


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

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        channels, _, _ = feature_map(inputs[0], self.kind)
        return (TensorType((channels, 1, 1), Layout.CHW),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"{self.word} A (1, 2) keep_dims"

    def work(self, inputs: Types, outputs: Types, body: Graph | None = None) -> Work:
        shape = outputs[0].chw
        _, height, width = inputs[0].shape
        return Work(
            "global_pool",
            (inputs[0].chw,),
            shape,
            shape,
            Window((height, width), (height, width)),
            input_bytes=(inputs[0].size,),
            output_bytes=outputs[0].size,
            constant_bytes=INFOS_BYTES,
            pool_kind="max" if self.word == "max" else "average",
        )

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node(self.onnx_op, inputs, hint=self.kind),)

    @classmethod
    def examples(cls) -> list[Example]:
        shapes = ((4, 6, 5), (3, 1, 7), (2, 1, 1))
        return [Example(cls(), (TensorType(shape, Layout.CHW),)) for shape in shapes]


@register
@dataclass(frozen=True)
class GlobalAveragePool(GlobalPool):
    """y[c] = mean of x[c]"""

    kind: ClassVar[str] = "global_average_pool"
    onnx_op: ClassVar[str] = "GlobalAveragePool"
    word: ClassVar[str] = "average"
    symmetric_output: ClassVar[bool] = True

    def demands_symmetric(self, index: int) -> bool:
        return True

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        ratio = request.record(0).first_scale / (request.output.first_scale * (1 << MEAN_BITS))
        return plain_quantization(request, GlobalMeanKernel(derive_multiplier(ratio)))

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        """MULSCALE of (sum << 7) / n, the quotient truncated towards 0."""
        total = (inputs[0] - quantization.input.zero_point).sum(axis=(2, 3), keepdims=True)
        count = inputs[0].shape[2] * inputs[0].shape[3]
        mean = np.sign(total) * ((np.abs(total) << MEAN_BITS) // count)
        scaled = quantization.kernel.scaling.apply(mean)
        return saturate(scaled + quantization.output.zero_point, quantization.output.limits)


@register
@dataclass(frozen=True)
class GlobalMaxPool(GlobalPool):
    """y[c] = max of x[c]"""

    kind: ClassVar[str] = "global_max_pool"
    onnx_op: ClassVar[str] = "GlobalMaxPool"
    word: ClassVar[str] = "max"
    keeps_record: ClassVar[bool] = True

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        largest: IntArray = inputs[0].max(axis=(2, 3), keepdims=True)
        return largest
