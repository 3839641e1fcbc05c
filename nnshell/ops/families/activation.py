"""What all elementwise functions of one feature map share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nnshell.ir.facts import Role, Turned
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import Operator, Types
from nnshell.ir.permutations import Perm
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.types import TensorType
from nnshell.ir.work import ONE_BYTE, ElementBytes, Work
from nnshell.lowering.tables import lower_by_table
from nnshell.ops.families.shapes import INFOS_BYTES

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph


@dataclass(frozen=True)
class Activation(Operator):
    """y = f(x) for each element; shape and layout stay."""

    role: ClassVar[Role] = "activation"
    local_to_tile: ClassVar[bool] = True

    def reordered(
        self, order: Perm, inputs: Types, outputs: Types, *, of_output: bool = False
    ) -> Turned | None:
        return Turned(self, order, order) if len(order) == len(outputs[0].shape) else None

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        return (TensorType(inputs[0].shape, inputs[0].layout),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"Activation {self.kind}"

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        return Work.of_maps(
            "activation",
            inputs[:1],
            outputs,
            stored,
            constant_bytes=INFOS_BYTES,
            activation=self.kind,
        )

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        """A table over all integers that the input can hold."""
        return (lower_by_table(self, quantization, build, inputs[0], outputs[0].shape),)
