"""The operators every graph has: inputs, outputs, constants, fusions, and reshape.

Reshape is one of them because reading any model file needs it: batch axes go, ranks are aligned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.facts import EVERYTHING, Role, Turned
from nnshell.ir.foreign import ForeignGraph, with_batch
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.moments import Moments
from nnshell.ir.moving import lower_move
from nnshell.ir.operator import Constants, Example, IntArray, Operator, Types, register
from nnshell.ir.permutations import Perm, permuted, through_reshape
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import Range
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import ONE_BYTE, ElementBytes, Work
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph


@register
@dataclass(frozen=True)
class Input(Operator):
    """Graph input number ``index``.

    Axis ``i`` is the file's axis ``order[i]``; an empty order is the file's own. One that is
    ``optional`` is all zeros unless it is given.
    """

    kind: ClassVar[str] = "input"
    role: ClassVar[Role] = "input"
    boundary: ClassVar[bool] = True
    type: TensorType
    index: int = 0
    order: tuple[int, ...] = ()
    optional: bool = False

    @property
    def port(self) -> int:
        return self.index

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        return (self.type,)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"I {self.type}" + (" zeros unless given" if self.optional else "")

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        return Work("none", (), self.type.chw, self.type.chw)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        raise AssertionError("graph inputs are written by the exporter")


@dataclass(frozen=True)
class _End(Operator):
    """Takes its input unchanged; nothing of the graph reads it."""

    boundary: ClassVar[bool] = True
    keeps_record: ClassVar[bool] = True

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        return (inputs[0],)

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        return Work("none", (inputs[0].chw,), inputs[0].chw, inputs[0].chw)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("Identity", inputs[:1], hint=self.role),)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        return inputs[0]

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        return (inputs[0],)


@register
@dataclass(frozen=True)
class Output(_End):
    """Graph output number ``index``; takes its input unchanged. ``order`` is as ``Input``'s."""

    kind: ClassVar[str] = "output"
    role: ClassVar[Role] = "output"
    reads_8_bits: ClassVar[bool] = True
    index: int = 0
    order: tuple[int, ...] = ()

    @property
    def port(self) -> int:
        return self.index

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"O {inputs[0]}"


@register
@dataclass(frozen=True)
class Unused(_End):
    """Takes a part of a tensor that nobody else reads, so that the part has a name and memory."""

    kind: ClassVar[str] = "unused"
    role: ClassVar[Role] = "unused"

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return "UNUSED"

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(cls(), (TensorType((3, 4)),), (), "matrix")]


@register
@dataclass(frozen=True, eq=False)
class Constant(Operator):
    """A tensor known when the graph is built: weights, biases, operands."""

    kind: ClassVar[str] = "constant"
    role: ClassVar[Role] = "constant"
    value: NDArray[Any]

    @property
    def known_value(self) -> NDArray[Any]:
        return self.value

    def bounds(self, inputs: Sequence[Range]) -> Range:
        if not self.value.size or not np.isfinite(self.value).all():
            return EVERYTHING
        return Range(float(self.value.min()), float(self.value.max()))

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        return (TensorType(tuple(int(n) for n in self.value.shape), dtype=str(self.value.dtype)),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"Const {outputs[0]}"

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        return Work("none", (), outputs[0].chw, outputs[0].chw)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.constant(self.value),)


@register
@dataclass(frozen=True)
class FusionInput(Input):
    """Input number ``index`` of a fusion's body."""

    kind: ClassVar[str] = "fusion_input"

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return ""


@register
@dataclass(frozen=True)
class FusionOutput(Output):
    """Output number ``index`` of a fusion's body."""

    kind: ClassVar[str] = "fusion_output"
    reads_8_bits: ClassVar[bool] = False

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return ""


@register
@dataclass(frozen=True)
class Fusion(Operator):
    """Nodes that run as one kernel; the body is a graph of fusion inputs, nodes, fusion output.

    ``name`` is NNTool's: ``conv_fusion_conv_pool_active``, ``linear_fusion_linear_active``,
    ``broadcastable_activation_fusion_add_active`` ...
    """

    kind: ClassVar[str] = "fusion"
    role: ClassVar[Role] = "fusion"
    name: str = "conv_fusion_conv_active"

    @property
    def label(self) -> str:
        return self.name

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        body = self._body(body)
        for node, source in zip(body.inputs, inputs, strict=True):
            if node.type.shape != source.shape:
                raise GraphError(f"fusion input {node.name} is {node.type}, given {source}")
        return tuple(node.type for node in body.outputs)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        body = self._body(body)
        parts = [
            node.op.describe(body.input_types(node), node.outputs, node.body)
            for node in body.steps()
            if not node.op.boundary
        ]
        return ", ".join(part for part in parts if part)

    def macs(self, inputs: Types, outputs: Types, body: Graph | None = None) -> int:
        body = self._body(body)
        return sum(n.op.macs(body.input_types(n), n.outputs, n.body) for n in body)

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        """The filter's work with the pool and activation that follow it added to it."""
        from nnshell.ir.fusion_work import combined_work

        return combined_work(self._body(body), stored)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        raise AssertionError("the exporter writes a fusion node by node")

    @staticmethod
    def _body(body: Graph | None) -> Graph:
        if body is None:
            raise GraphError("a fusion without a body")
        return body


@register
@dataclass(frozen=True)
class Reshape(Operator):
    """Elements stay where they are; a result with three axes is taken as a CHW feature map."""

    kind: ClassVar[str] = "reshape"
    role: ClassVar[Role] = "move"
    keeps_record: ClassVar[bool] = True
    shape: tuple[int, ...] = ()

    @property
    def reshapes(self) -> bool:
        return True

    def keeps_memory(self, inputs: Types, outputs: Types) -> bool:
        return True

    def moves_only(self, inputs: Types) -> bool:
        return True

    @property
    def keeps_zero(self) -> bool:
        return True

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return inputs[0]

    def identity_reason(self, inputs: Types, constants: Constants) -> str:
        return "the shape stays" if inputs[0].shape == self.shape else ""

    def reordered(
        self, order: Perm, inputs: Types, outputs: Types, *, of_output: bool = False
    ) -> Turned | None:
        """Neighbouring axes that are merged or cut have to stay neighbours."""
        before = inputs[0].shape
        value = through_reshape(self.shape, before, order) if of_output else order
        result = order if of_output else through_reshape(before, self.shape, order)
        if value is None or result is None:
            return None
        return Turned(Reshape(permuted(self.shape, result)), value, result)

    def channel_moments(
        self, known: Sequence[Moments | None], inputs: Types, constants: Constants
    ) -> Moments | None:
        """Those of the input while its channels stay whole."""
        return known[0] if inputs[0].shape[:1] == self.shape[:1] else None

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        layout = Layout.CHW if len(self.shape) == 3 else Layout.NONE
        result = TensorType(self.shape, layout)
        if result.size != inputs[0].size:
            raise GraphError(f"reshape cannot make {result} of {inputs[0]}")
        return (result,)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"{inputs[0]}->{outputs[0]}"

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        shape = outputs[0].chw
        return Work("none", (inputs[0].chw,), shape, shape)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("Reshape", [inputs[0], with_batch(build, self.shape)], hint=self.kind),)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        return inputs[0].reshape(inputs[0].shape[0], *self.shape)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        return (lower_move(self, build, inputs[0], outputs[0].shape),)

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((3, 4, 5), Layout.CHW)
        return [
            Example(cls((60,)), (image,), (), "flatten"),
            Example(cls((3, 20)), (image,), (), "matrix"),
            Example(cls((2, 3, 2)), (TensorType((12,)),), (), "feature map"),
            Example(cls(()), (TensorType((1,)),), (), "scalar"),
            Example(cls((1, 1)), (TensorType(()),), (), "from a scalar"),
            Example(cls((3, 4, 5)), (image,), (), "the same shape"),
        ]
