"""The operator contract: all an operator means is one frozen dataclass in one file of ``ops``.

An operator's fields are its attributes. Its methods answer, in this order: what shape comes out,
how people read it, what it costs, what it means in float (as ONNX), how its tensors are quantized,
and what it computes in integers (reference in int64, and the same lowered to ONNX for speed).
Which kernel a chip uses and how many cycles that takes is not here but in ``nnshell.gap8``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from nnshell.errors import GraphError, QuantizationError
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.lowering import CannotLower, IntegerGraph, IntegerTensor
from nnshell.ir.qparams import NodeQuantization, QParams, plain_quantization
from nnshell.ir.types import TensorType
from nnshell.ir.work import Work

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph

Types = Sequence[TensorType]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Range:
    """A closed interval of real values."""

    minimum: float
    maximum: float

    def including_zero(self) -> Range:
        return Range(min(self.minimum, 0.0), max(self.maximum, 0.0))


@dataclass(frozen=True, slots=True)
class KernelOptions:
    """What the user chose that changes the integers of a kernel."""

    per_channel: bool = True  # one weight scale for each output channel
    narrow_weights: bool = True  # weights limited to +-127
    softmax_8_bits: bool = False  # softmax results in Q7 instead of Q15
    weight_bits: int = 8
    weight_clip: str = "none"  # which extremes of the weights are cut off


@dataclass(frozen=True, slots=True, eq=False)
class ChosenFilter:
    """Values of a filter that take the place of its weights' nearest integers and its bias.

    ``scale`` (float32, one for each output channel or one) and ``integers`` come together.
    """

    bits: int  # of the weights that they were chosen for
    scale: NDArray[np.float32] | None = None
    integers: NDArray[np.int8] | None = None  # output channel first
    bias: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class QuantizeRequest:
    """What an operator makes its kernel from: records, shapes, float constants by input.

    ``inputs`` holds None where the operator makes the record itself (its ``parameters``).
    """

    name: str
    inputs: tuple[QParams | None, ...]
    outputs: tuple[QParams, ...]
    input_types: tuple[TensorType, ...]
    output_types: tuple[TensorType, ...]
    constants: tuple[NDArray[Any] | None, ...]  # float value of each constant input, else None
    options: KernelOptions = KernelOptions()
    chosen: ChosenFilter | None = None

    def record(self, index: int) -> QParams:
        """Record of input ``index``, which is not one of the operator's parameters."""
        record = self.inputs[index]
        assert record is not None, f"{self.name} has no record for input {index}"
        return record

    def constant(self, index: int) -> NDArray[Any]:
        """Float value of input ``index``, which must be a constant."""
        value = self.constants[index]
        if value is None:
            raise QuantizationError(
                f"input {index} must be a constant to be quantized",
                where=f"node {self.name}",
                hint="open a model in which it is an initializer",
            )
        return value

    @property
    def output(self) -> QParams:
        return self.outputs[0]


@dataclass(frozen=True)
class Operator(ABC):
    """Base of every operator. Methods that a kind of operator does not need keep their default."""

    kind: ClassVar[str] = ""
    boundary: ClassVar[bool] = False  # input, output, fusion input, fusion output: computes nothing
    # -- quantization rule, as class facts (docs/quantization.md has the rules)
    keeps_record: ClassVar[bool] = False  # output integers mean what input integers mean
    symmetric_output: ClassVar[bool] = False  # output zero point is 0 unless a concat decides
    pushes_range: ClassVar[bool] = False  # its range becomes that of the node before it, as relu's
    order_preserving: ClassVar[bool] = True  # clipping its input is clipping its output
    makes_wide: ClassVar[bool] = False  # a filter: leaves int32 to an activation that wants it
    needs_wide_input: ClassVar[bool] = False  # int32 from a filter it is fused with
    parameters: ClassVar[tuple[int, ...]] = ()  # constant inputs whose records it makes itself
    made_by_quantizer: ClassVar[bool] = False  # inserted between conflicting records

    # -- shape and text --------------------------------------------------------------------

    @abstractmethod
    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        """Output types; raises GraphError when the inputs do not fit."""

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        """Parameters as `show` prints them, in NNTool's notation."""
        return ""

    # -- cost ------------------------------------------------------------------------------

    def macs(self, inputs: Types, outputs: Types, body: Graph | None = None) -> int:
        """Multiply-accumulates of one inference."""
        return 0

    def work(self, inputs: Types, outputs: Types, body: Graph | None = None) -> Work:
        """The loop nest, for the simulator. Default: bytes move, nothing is computed."""
        activations = tuple(t.chw for t in inputs[:1])
        shape = outputs[0].chw if outputs else (0, 0, 0)
        sizes = tuple(t.size for t in inputs[:1])
        moved = sum(t.size for t in outputs)
        return Work("move", activations, shape, shape, input_bytes=sizes, output_bytes=moved)

    # -- float meaning ---------------------------------------------------------------------

    @abstractmethod
    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        """Write the operator as ONNX nodes over tensors with a leading batch axis.

        ``inputs`` are tensor names (constants have no batch axis); returns the output names.
        """

    # -- quantization rule -----------------------------------------------------------------

    def demands_symmetric(self, index: int) -> bool:
        """Whether whoever makes input ``index`` must use zero point 0, for all its readers."""
        return False

    def needs_symmetric(self, index: int) -> bool:
        """Whether input ``index`` must have zero point 0: if others read it too, a copy does."""
        return False

    def needs_power_of_two(self, index: int) -> bool:
        """Whether the scale of input ``index`` must be a power of two."""
        return False

    def input_record(self, index: int) -> QParams | None:
        """A fixed record that input ``index`` must have, e.g. [-8, 8] of a stand-alone sigmoid."""
        return None

    def wide_record(self, output: QParams) -> QParams:
        """int32 record of the filter before it in a fusion, when ``needs_wide_input``."""
        raise AssertionError(f"operator '{self.kind}' takes int8")

    def output_range(self, observed: Range | None) -> Range | None:
        """The real range to quantize the output to; None when it takes an observed one.

        ``observed`` is what calibration saw, None when there are no statistics for the node.
        """
        return observed

    def output_record(self, options: KernelOptions) -> QParams | None:
        """A fixed record of the output, e.g. int16 Q15 of softmax."""
        return None

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        """Records of all inputs and outputs, and the integers of the kernel."""
        return plain_quantization(request)

    # -- integer meaning -------------------------------------------------------------------

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        """The reference: int64 arrays with a leading batch axis in, the same out.

        ``inputs`` are aligned with the node's inputs; a constant has one sample.
        Operators with several outputs return them in a tuple through ``integer_multi``.
        """
        raise GraphError(f"operator '{self.kind}' has no integer kernel")

    def integer_multi(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray]
    ) -> tuple[IntArray, ...]:
        """``integer`` for operators with several outputs; default: the one output."""
        return (self.integer(quantization, inputs),)

    def integer_on_chip(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray]
    ) -> tuple[IntArray, ...]:
        """What the generated kernel computes where NNTool's own simulation differs from it."""
        return self.integer_multi(quantization, inputs)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        """The same integers as ONNX nodes that compute them exactly in floating point.

        ``inputs`` are aligned with the node's inputs. Raises CannotLower when the operator or
        these numbers cannot be lowered; then the reference runs.
        """
        raise CannotLower(f"operator '{self.kind}' has no fast form")

    # -- text form and tests ---------------------------------------------------------------

    def attributes(self) -> dict[str, Any]:
        """Fields by name, for the text form."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def examples(cls) -> list[Example]:
        """Small cases the conformance tests run: shapes, float meaning, integers."""
        return []


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One conformance case: operator, input types and, for constant inputs, their values."""

    op: Operator
    inputs: tuple[TensorType, ...]
    constants: tuple[NDArray[Any] | None, ...] = ()
    name: str = ""


OPERATORS: dict[str, type[Operator]] = {}

OperatorClass = TypeVar("OperatorClass", bound=type[Operator])


def register(cls: OperatorClass) -> OperatorClass:
    """Class decorator: makes the operator known to the text form and the conformance tests."""
    if cls.kind in OPERATORS:
        raise AssertionError(f"two operators are called {cls.kind!r}")
    OPERATORS[cls.kind] = cls
    return cls


# -- the operators every graph has ---------------------------------------------------------


@register
@dataclass(frozen=True)
class Input(Operator):
    """Graph input number ``index``."""

    kind: ClassVar[str] = "input"
    boundary: ClassVar[bool] = True
    type: TensorType
    index: int = 0

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        return (self.type,)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"I {self.type}"

    def work(self, inputs: Types, outputs: Types, body: Graph | None = None) -> Work:
        return Work("none", (), self.type.chw, self.type.chw)

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        raise AssertionError("graph inputs are written by the exporter")


@register
@dataclass(frozen=True)
class Output(Operator):
    """Graph output number ``index``; takes its input unchanged."""

    kind: ClassVar[str] = "output"
    boundary: ClassVar[bool] = True
    keeps_record: ClassVar[bool] = True
    index: int = 0

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        return (inputs[0],)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"O {inputs[0]}"

    def work(self, inputs: Types, outputs: Types, body: Graph | None = None) -> Work:
        return Work("none", (inputs[0].chw,), inputs[0].chw, inputs[0].chw)

    def demands_symmetric(self, index: int) -> bool:
        return True

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        return (build.node("Identity", inputs[:1], hint="output"),)

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
@dataclass(frozen=True, eq=False)
class Constant(Operator):
    """A tensor known when the graph is built: weights, biases, operands."""

    kind: ClassVar[str] = "constant"
    value: NDArray[Any]

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        return (TensorType(tuple(int(n) for n in self.value.shape), dtype=str(self.value.dtype)),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"Const {outputs[0]}"

    def work(self, inputs: Types, outputs: Types, body: Graph | None = None) -> Work:
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

    def demands_symmetric(self, index: int) -> bool:
        return False

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return ""


@register
@dataclass(frozen=True)
class Fusion(Operator):
    """Nodes that run as one kernel; the body is a graph of fusion inputs, nodes, fusion output.

    ``name`` is NNTool's: ``conv_fusion_conv_pool_active``, ``linear_fusion_linear_active``,
    ``activation_fusion_add_active`` ...
    """

    kind: ClassVar[str] = "fusion"
    name: str = "conv_fusion_conv_active"

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        body = self._body(body)
        for node, given in zip(body.inputs, inputs, strict=True):
            if node.type.shape != given.shape:
                raise GraphError(f"fusion input {node.name} is {node.type}, given {given}")
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

    def work(self, inputs: Types, outputs: Types, body: Graph | None = None) -> Work:
        """The filter's work with the pool and activation that follow it added to it."""
        from nnshell.ir.fusion_work import combined_work

        return combined_work(self._body(body))

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        raise AssertionError("the exporter writes a fusion node by node")

    @staticmethod
    def _body(body: Graph | None) -> Graph:
        if body is None:
            raise GraphError("a fusion without a body")
        return body
