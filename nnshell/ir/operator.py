"""The operator contract: all an operator means is one frozen dataclass in one file of ``ops``.

An operator's fields are its attributes. Its methods answer, in this order: what shape comes out,
how people read it, what it costs, what it means in float (as ONNX), how its tensors are quantized,
and what it computes in integers (reference in int64, and the same lowered to ONNX for speed).
Which kernel a chip uses and how many cycles that takes is not here but in ``nnshell.chips``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.integer_graph import CannotLower, IntegerGraph, IntegerTensor
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.requests import KernelOptions, QuantizeRequest, Range, plain_quantization
from nnshell.ir.types import TensorType
from nnshell.ir.work import Work
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph

Types = Sequence[TensorType]
IntArray = NDArray[np.int64]


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
