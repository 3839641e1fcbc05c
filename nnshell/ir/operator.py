"""The operator contract: all an operator means is one frozen dataclass in one file of ``ops``.

An operator's fields are its attributes. Its methods answer, in this order: what shape comes out,
how people read it, what it costs, what it means in float (as ONNX), what is true of it (facts),
how its tensors are quantized, and what it computes in integers (reference in int64, and the same
lowered to ONNX for speed). Which kernel a chip uses and how many cycles that takes is not here but
in ``nnshell.chips``.

Whoever wants to know something about an operator asks a fact. Each has a default that is safe: an
operator that does not state it is left alone, which is slow at worst and never wrong. Facts are
statements about the float meaning; ``tests/ops/test_facts*.py`` check each by numbers on every
registered example.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.facts import EVERYTHING, Border, Role, Turned
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.integer_graph import CannotLower, IntegerGraph, IntegerTensor
from nnshell.ir.moments import Moments
from nnshell.ir.permutations import Perm
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.requests import KernelOptions, QuantizeRequest, Range, plain_quantization
from nnshell.ir.types import TensorType
from nnshell.ir.work import ONE_BYTE, ElementBytes, Window, Work
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph
    from nnshell.ir.records import RecordRule

Types = Sequence[TensorType]
IntArray = NDArray[np.int64]
Constants = Sequence[NDArray[Any] | None]  # the value of each input, None of an activation


@dataclass(frozen=True)
class Operator(ABC):
    """Base of every operator. Methods that a kind of operator does not need keep their default."""

    kind: ClassVar[str] = ""
    boundary: ClassVar[bool] = False  # input, output, fusion input, fusion output: computes nothing
    # -- facts that hold for all operators of the kind (those below are methods)
    role: ClassVar[Role] = ""  # what it is to others
    local_to_tile: ClassVar[bool] = False  # integers of a part follow from the inputs' same part
    # -- quantization rule, as class facts (docs/quantization.md has the rules)
    keeps_record: ClassVar[bool] = False  # output integers mean what input integers mean
    pushes_range: ClassVar[bool] = False  # its range becomes that of the node before it, as relu's
    order_preserving: ClassVar[bool] = True  # clipping its input is clipping its output
    makes_wide: ClassVar[bool] = False  # a filter: leaves int32 to an activation that wants it
    needs_wide_input: ClassVar[bool] = False  # int32 from a filter it is fused with
    parameters: ClassVar[tuple[int, ...]] = ()  # constant inputs whose records it makes itself
    made_by_quantizer: ClassVar[bool] = False  # inserted between conflicting records
    copies: ClassVar[bool] = False  # inserted where a tensor needs memory of its own
    option_fields: ClassVar[Mapping[str, str]] = {}  # fields that node options set, "" for others
    on_edge: ClassVar[bool] = False  # inserted between a node and one of its readers
    reads_8_bits: ClassVar[bool] = False  # its input keeps 8 bits where others get fewer

    # -- shape and text --------------------------------------------------------------------

    @abstractmethod
    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        """Output types; raises GraphError when the inputs do not fit."""

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        """Parameters as `show` prints them, in NNTool's notation."""
        return ""

    @property
    def label(self) -> str:
        """What reports call it: its kind, or of a fusion which fusion it is."""
        return self.kind

    # -- cost ------------------------------------------------------------------------------

    def macs(self, inputs: Types, outputs: Types, body: Graph | None = None) -> int:
        """Multiply-accumulates of one inference."""
        return 0

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        """The loop nest, for the simulator. Default: bytes move, nothing is computed.

        ``stored`` are the bytes of an element of each tensor in memory.
        """
        shape = outputs[0].chw if outputs else (0, 0, 0)
        return Work(
            "move",
            tuple(t.chw for t in inputs[:1]),
            shape,
            shape,
            input_bytes=stored.of_inputs(inputs[:1]),
            output_bytes=stored.of_outputs(outputs),
        )

    # -- float meaning ---------------------------------------------------------------------

    @abstractmethod
    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        """Write the operator as ONNX nodes over tensors with a leading batch axis.

        ``inputs`` are tensor names (constants have no batch axis); returns the output names.
        """

    def inner_tensors(
        self, build: ForeignGraph, inputs: Sequence[str], outputs: Sequence[str], types: Types
    ) -> dict[str, str]:
        """Tensors within the operator whose range calibration keeps, by the name it keeps it by.

        Written as ONNX nodes beside those of ``to_onnx``, whose results ``outputs`` names.
        """
        return {}

    @property
    def inner_ranges(self) -> tuple[str, ...]:
        """The names that ``inner_tensors`` gives."""
        return ()

    # -- facts -----------------------------------------------------------------------------

    def bounds(self, inputs: Sequence[Range]) -> Range:
        """Real numbers that no output leaves when input i stays within ``inputs[i]``."""
        return EVERYTHING

    @property
    def domain(self) -> Range:
        """Numbers of input 0 for which the operator is defined and tame, for trying it out."""
        return EVERYTHING

    def identity_reason(self, inputs: Types, constants: Constants) -> str:
        """Why the output is the first input that is no constant; empty when it may not be."""
        return ""

    def moves_only(self, inputs: Types) -> bool:
        """Whether each element of an output is an element of input 0, unchanged.

        ``op(f(x)) = f(op(x))`` then for every f of single elements.
        """
        return False

    def keeps_memory(self, inputs: Types, outputs: Types) -> bool:
        """Whether the only output holds the elements of the only input in the same order."""
        return False

    @property
    def permutation(self) -> Perm | None:
        """p, when the operator is ``transpose(x, p)`` and nothing else."""
        return None

    @property
    def reshapes(self) -> bool:
        """Whether the operator gives its input another shape and does nothing else."""
        return False

    @property
    def sequence_axis(self) -> int | None:
        """The axis of output 0 along which its elements are computed one after the other."""
        return None

    @property
    def joined_axis(self) -> int | None:
        """The axis along which the output is the inputs one after the other, and nothing else."""
        return None

    @property
    def cut_axis(self) -> int | None:
        """The axis along which the outputs, one after the other, are input 0, all of it."""
        return None

    def taken(self) -> tuple[slice, ...] | None:
        """A slice for each axis, when the output is ``x[slices]`` and nothing else."""
        return None

    def border(self) -> Border | None:
        """The constant border, when the operator puts one around input 0 and does nothing else."""
        return None

    def with_border(self, border: Border, given: Range) -> Operator | str:
        """The operator that pads input 0 by itself, or why it cannot.

        ``with_border(b, r)(x) = op(b around x)`` for every x within ``given``.
        """
        return f"{self.kind} has no window"

    def reordered(
        self, order: Perm, inputs: Types, outputs: Types, *, of_output: bool = False
    ) -> Turned | None:
        """The operator when input 0 (or output 0) comes in another order of axes.

        None when there is none that gives the same elements, or it is not known.
        """
        return None

    @property
    def works_along(self) -> int | None:
        """The one axis that is not like the others; None when there is none, or several."""
        return None

    def along(self, axis: int) -> Operator:
        """The same along another axis, for operators that say which they work along."""
        raise AssertionError(f"operator '{self.kind}' works along no axis")

    @property
    def clips_to(self) -> Range | None:
        """(low, high), when the operator is ``min(max(x, low), high)`` and nothing else."""
        return None

    @property
    def reads_flat(self) -> bool:
        """Whether the shape of input 0 does not matter, only its elements in memory order."""
        return False

    @property
    def keeps_zero(self) -> bool:
        """Whether inputs of all zeros give an output of all zeros."""
        return False

    @property
    def commutes_with_max(self) -> bool:
        """Whether ``op(max(x, y)) = max(op(x), op(y))``, and so after a window's maximum."""
        return False

    def scales_along(self, axis: int) -> bool:
        """Whether ``op(s x) = s op(x)`` for positive s, one for each index of ``axis``."""
        return False

    def channel_moments(
        self, known: Sequence[Moments | None], inputs: Types, constants: Constants
    ) -> Moments | None:
        """Mean and variance of the channels of output 0, given those of the inputs.

        None when they are not known. A constant input has no moments and a value in ``constants``.
        """
        return None

    def sliding_window(self) -> Window | None:
        """The window over height and width of a filter or pool whose padding adds no value."""
        return None

    def with_window(self, window: Window) -> Operator:
        """The same with another window, for operators that have one."""
        raise AssertionError(f"operator '{self.kind}' has no window")

    @property
    def padding_counts(self) -> bool:
        """Whether the window's padding does what a border of zeros around input 0 does."""
        return False

    @property
    def filter_groups(self) -> int:
        """Groups of channels that a filter (``role``) treats apart."""
        return 1

    @property
    def weights_order(self) -> Perm:
        """What brings input 1, the weights of a filter, to output channel first; () if they are."""
        return ()

    @property
    def known_value(self) -> NDArray[Any] | None:
        """The tensor that a constant is."""
        return None

    @property
    def port(self) -> int | None:
        """The number of a graph's or fusion's input or output."""
        return None

    # -- quantization rule -----------------------------------------------------------------

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        """How the operator decides about its records in ``scheme``, the first rule that fits.

        Without rules of its own an operator that ``keeps_record`` passes records on as they are,
        and any other asks for zero point 0 everywhere, which every kernel can do with.
        """
        return ()

    def reads_range(self, index: int) -> bool:
        """Whether the record of input ``index`` may be made from what calibration saw there."""
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

    def caution(self, quantization: NodeQuantization, inputs: Types) -> str:
        """What these integers do that the model does not mean, as a sentence; empty without."""
        return ""

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
