"""What sigmoid and tanh share: the kernel reads a table at a Q12 argument."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import Example, IntArray, Types
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.records import ALL_PINS, RecordRule
from nnshell.ir.requests import QuantizeRequest
from nnshell.ir.types import Layout, TensorType
from nnshell.lowering.tables import lower_by_table
from nnshell.numeric.kernels.lookup import (
    LookUpKernel,
    argument_record,
    quantize_look_up,
    wide_argument_record,
)
from nnshell.numeric.lookup import LAST_ARGUMENT
from nnshell.ops.families.activation import Activation
from nnshell.ops.families.activation_rules import fixed_input, gate_rules, wide_input


@dataclass(frozen=True)
class LookUp(Activation):
    """y = f(x), f saturating at both ends"""

    needs_wide_input: ClassVar[bool] = True
    onnx_op: ClassVar[str] = ""

    @abstractmethod
    def table(self, argument: IntArray) -> IntArray:
        """f in Q15 of arguments in Q12, as the kernel has it."""

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node(self.onnx_op, inputs, hint=self.kind),)

    def input_record(self, index: int) -> QParams | None:
        return argument_record()

    def wide_record(self, output: QParams) -> QParams:
        return wide_argument_record()

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return gate_rules(
            self.output_range,
            fixed_input(argument_record(), *ALL_PINS),
            wide_input(wide_argument_record()),
        )

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        return quantize_look_up(request)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        kernel: LookUpKernel = quantization.kernel
        return kernel.apply(self.table, quantization, inputs[0])

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        """A table over the arguments below the last entry of the kernel's own."""
        x = build.clipped(inputs[0], -LAST_ARGUMENT, LAST_ARGUMENT)
        return (lower_by_table(self, quantization, build, x, outputs[0].shape),)

    @classmethod
    def examples(cls) -> list[Example]:
        return [
            Example(cls(), (TensorType((3, 4, 5), Layout.CHW),)),
            Example(cls(), (TensorType((7,)),)),
        ]
