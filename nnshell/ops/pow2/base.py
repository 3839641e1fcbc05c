"""What the fixed-point arithmetic of every operator starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from nnshell.ir.integer_graph import CannotLower, IntegerGraph, IntegerTensor
from nnshell.ir.operator import IntArray, Operator, Types
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import RecordRule
from nnshell.ir.requests import QuantizeRequest, plain_quantization
from nnshell.ops.pow2.rules import decide_shifted, rule

OVERFLOW = (
    "its products exceed 32 bits in NNTool's simulation, so its results are wrong; "
    "`set int8_target chip` computes them right"
)

SomeOperator = TypeVar("SomeOperator", bound=Operator)


@dataclass(frozen=True)
class FixedPoint(Generic[SomeOperator]):
    """An operator in fixed point; each kind says its records, its integers and its fast form.

    ``wraps`` is what NNTool's simulation does where the generated kernels have more bits.
    """

    op: SomeOperator
    parameters: ClassVar[tuple[int, ...]] = ()

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        """A kernel that shifts its result: any inputs, any output."""
        return rule(decide_shifted)

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        """The records as asked for; a shift follows from them, so most kernels hold nothing."""
        return plain_quantization(request)

    def caution(self, quantization: NodeQuantization, inputs: Types) -> str:
        """None: products of a shift are its input."""
        return ""

    def compute(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray], wraps: bool
    ) -> IntArray:
        """Integers of the only output; ``wraps`` asks for NNTool's simulation (samples first)."""
        raise NotImplementedError

    def integer_multi(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray]
    ) -> tuple[IntArray, ...]:
        """NNTool's simulation."""
        return (self.compute(quantization, inputs, True),)

    def integer_on_chip(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray]
    ) -> tuple[IntArray, ...]:
        """With 64-bit products, where the simulation's int32 overflows."""
        return (self.compute(quantization, inputs, False),)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        """The same integers as ONNX nodes; CannotLower where there is no exact form."""
        raise CannotLower(f"operator '{self.op.kind}' has no fast form in fixed point")
