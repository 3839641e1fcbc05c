"""What Relu, its bounded forms and Clip share: y = min(max(x, lower), upper)."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.moments import Moments
from nnshell.ir.operator import Constants, IntArray, Types
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import RecordRule
from nnshell.ir.requests import QuantizeRequest, Range
from nnshell.lowering.rectifiers import lower_rectifier
from nnshell.numeric.kernels.rectifiers import RectifierKernel, quantize_rectifier
from nnshell.ops.families.activation import Activation
from nnshell.ops.families.activation_rules import rectifier_rules


@dataclass(frozen=True)
class Rectifier(Activation):
    """y = min(max(x, lower), upper)"""

    pushes_range: ClassVar[bool] = True

    @property
    @abstractmethod
    def limits(self) -> tuple[float, float]:
        """(lower, upper); an infinite one does not limit."""

    @property
    def clips_to(self) -> Range:
        return Range(*self.limits)

    def bounds(self, inputs: Sequence[Range]) -> Range:
        low, high = (
            min(max(bound, self.limits[0]), self.limits[1])
            for bound in (inputs[0].minimum, inputs[0].maximum)
        )
        return Range(low, high)

    def identity_reason(self, inputs: Types, constants: Constants) -> str:
        return "it has no limits" if self.limits == (-math.inf, math.inf) else ""

    @property
    def keeps_zero(self) -> bool:
        return self.limits[0] <= 0.0 <= self.limits[1]

    def channel_moments(
        self, known: Sequence[Moments | None], inputs: Types, constants: Constants
    ) -> Moments | None:
        return None if known[0] is None else known[0].through(lambda x: x.clip(*self.limits))

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        bounds = [build.constant(np.float32(bound), "bound") for bound in self.limits]
        return (build.node("Clip", [inputs[0], *bounds], hint=self.kind),)

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return rectifier_rules(self.output_range)

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        return quantize_rectifier(request, *self.limits)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        kernel: RectifierKernel = quantization.kernel
        return kernel.apply(inputs[0], quantization.input, quantization.output)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        return (lower_rectifier(quantization, build, inputs[0]),)
