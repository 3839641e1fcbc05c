"""Rectifiers: max(x, 0), also cut off at 6 or at another upper bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.lowering import IntegerGraph, IntegerTensor
from nnshell.ir.operator import Example, IntArray, QuantizeRequest, Range, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.types import Layout, TensorType
from nnshell.ops.activation import Activation
from nnshell.ops.rectifier_kernel import RectifierKernel, quantize_rectifier
from nnshell.ops.rectifier_lowering import lower_rectifier
from nnshell.ops.registry import imports

if TYPE_CHECKING:
    from nnshell.ops.importing import ImportContext


@register
@dataclass(frozen=True)
class Relu(Activation):
    """y = max(x, 0)"""

    kind: ClassVar[str] = "relu"
    pushes_range: ClassVar[bool] = True

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("Relu", inputs, hint=self.kind),)

    def output_range(self, observed: Range | None) -> Range | None:
        return None if observed is None else Range(0.0, max(observed.maximum, 0.0))

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        return quantize_rectifier(request, 0.0)

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

    @classmethod
    def examples(cls) -> list[Example]:
        return [
            Example(cls(), (TensorType((3, 4, 5), Layout.CHW),)),
            Example(cls(), (TensorType((7,)),)),
        ]


@register
@dataclass(frozen=True)
class Relu6(Activation):
    """y = min(max(x, 0), 6)"""

    kind: ClassVar[str] = "relu6"
    pushes_range: ClassVar[bool] = True

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        bounds = [build.constant(np.float32(b), "bound") for b in (0.0, 6.0)]
        return (build.node("Clip", [inputs[0], *bounds], hint=self.kind),)

    def output_range(self, observed: Range | None) -> Range | None:
        """The bound, even when calibration saw less."""
        return Range(0.0, 6.0)

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        return quantize_rectifier(request, 0.0, 6.0)

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

    @classmethod
    def examples(cls) -> list[Example]:
        return [
            Example(cls(), (TensorType((3, 4, 5), Layout.CHW),)),
            Example(cls(), (TensorType((7,)),)),
        ]


@register
@dataclass(frozen=True)
class ReluN(Activation):
    """y = min(max(x, 0), upper)"""

    kind: ClassVar[str] = "relun"
    pushes_range: ClassVar[bool] = True
    upper: float = 6.0

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        bounds = [build.constant(np.float32(b), "bound") for b in (0.0, self.upper)]
        return (build.node("Clip", [inputs[0], *bounds], hint=self.kind),)

    def output_range(self, observed: Range | None) -> Range | None:
        """The bound, even when calibration saw less."""
        return Range(0.0, self.upper)

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        return quantize_rectifier(request, 0.0, self.upper)

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

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(cls(upper), (TensorType((3, 4, 5), Layout.CHW),)) for upper in (1.0, 4.5)]


@imports("Relu")
def import_relu(ctx: ImportContext) -> None:
    value = ctx.value(0)
    ctx.produce(ctx.add(Relu(), [value.ref]), value.batch)
