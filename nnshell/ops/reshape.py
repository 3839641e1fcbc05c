"""Another shape over the same elements in the same memory order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nnshell.errors import GraphError
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.operator import Example, IntArray, Operator, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Work
from nnshell.ops.common import with_batch

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph


@register
@dataclass(frozen=True)
class Reshape(Operator):
    """Elements stay where they are; a result with three axes is taken as a CHW feature map."""

    kind: ClassVar[str] = "reshape"
    keeps_record: ClassVar[bool] = True
    shape: tuple[int, ...] = ()

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        layout = Layout.CHW if len(self.shape) == 3 else Layout.NONE
        result = TensorType(self.shape, layout)
        if result.size != inputs[0].size:
            raise GraphError(f"reshape cannot make {result} of {inputs[0]}")
        return (result,)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"{inputs[0]} -> {outputs[0]}"

    def work(self, inputs: Types, outputs: Types, body: Graph | None = None) -> Work:
        shape = outputs[0].chw
        return Work("none", (inputs[0].chw,), shape, shape)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("Reshape", [inputs[0], with_batch(build, self.shape)], hint=self.kind),)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        return inputs[0].reshape(inputs[0].shape[0], *self.shape)

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((3, 4, 5), Layout.CHW)
        return [
            Example(cls((60,)), (image,), (), "flatten"),
            Example(cls((3, 20)), (image,), (), "matrix"),
            Example(cls((2, 3, 2)), (TensorType((12,)),), (), "feature map"),
            Example(cls(()), (TensorType((1,)),), (), "scalar"),
            Example(cls((1, 1)), (TensorType(()),), (), "from a scalar"),
        ]
