"""What the solver asks an operator about its records, and how the operator answers.

A ``Record`` is a ``QParams`` on its way through the graph: besides scale and zero point it carries
pins, the properties that whoever made it cannot give up. Records are shared: the one that a node
gives out is the same object for all its readers, so a reader that pins it pins it for all of them.
That is why they are mutable, the only values in the package that are.

An operator answers through ``RecordRule``s, tried in order (``quantization.solving.asking``): each
says which element types it takes and gives, and decides on the records of all inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.qparams import INT8_BITS, QParams
from nnshell.ir.requests import SQ8, ChosenFilter, KernelOptions, Range
from nnshell.ir.types import TensorType

Pin = Literal["type", "zero_point", "scale"]
Limits = Sequence[float]

ALL_PINS: frozenset[Pin] = frozenset(("type", "zero_point", "scale"))
PIN_ORDER: tuple[Pin, ...] = ("type", "zero_point", "scale")

# Scales this close (absolute, relative) are one scale.
SCALE_TOLERANCE = (1e-8, 1e-5)

INT8 = frozenset(("int8",))
ACTIVATIONS = frozenset(("int8", "int16", "uint8", "uint16"))


@dataclass(slots=True, eq=False)
class Record:
    """Scale, zero point and element type, with what is fixed about them.

    ``offset`` is the part of a bias that holds zero points (None without one): biases whose
    offsets differ are not the same record. ``constant`` marks records of constants.
    """

    params: QParams
    pins: set[Pin] = field(default_factory=set)
    constant: bool = False
    offset: NDArray[np.int64] | None = None

    def copy(self) -> Record:
        """The same record as an object of its own."""
        return Record(self.params, set(self.pins), self.constant, self.offset)

    @property
    def dtype(self) -> str:
        """Element type."""
        return self.params.dtype

    @property
    def zero_point(self) -> int:
        """The integer that stands for 0."""
        return self.params.zero_point

    @property
    def asymmetric(self) -> bool:
        """Whether kernels that need zero point 0 mind it.

        What counts is what the maker asked for: a range that happens to give zero point 0 is
        still asymmetric. Fewer than 8 bits are simulated, where no kernel needs zero point 0.
        """
        return self.params.asymmetric and self.params.bits >= INT8_BITS

    @property
    def nominal(self) -> Range:
        """The real range that the record was made from."""
        low, high = self.params.minimum, self.params.maximum
        return Range(np.min(low), np.max(high))

    @property
    def representable(self) -> Range:
        """Real values of the smallest and the largest integer."""
        low, high = self.params.limits
        scale, zero = self.params.first_scale, self.params.zero_point
        return Range((low - zero) * scale, (high - zero) * scale)

    def equals(self, other: Record) -> bool:
        """Whether integers mean the same in both; ranges and pins do not count."""
        one, two = self.params, other.params
        if one.fixed_point and two.fixed_point and one.fraction_bits != two.fraction_bits:
            return False
        return (
            one.dtype == two.dtype
            and one.width == two.width
            and one.bits == two.bits
            and one.axis == two.axis
            and one.zero_point == two.zero_point
            and _same_scales(one.scale, two.scale)
            and _same_offsets(self.offset, other.offset)
        )

    def agrees_on(self, pin: Pin, other: Record) -> bool:
        """Whether both have the same value of a property."""
        if pin == "type":
            return self.dtype == other.dtype
        if pin == "zero_point":
            return self.zero_point == other.zero_point
        return _same_scales(self.params.scale, other.params.scale)


def _same_scales(one: NDArray[np.floating[Any]], two: NDArray[np.floating[Any]]) -> bool:
    if one is two:
        return True
    absolute, relative = SCALE_TOLERANCE
    if one.size == 1 and two.size == 1:
        reference = float(two.reshape(-1)[0])
        return abs(float(one.reshape(-1)[0]) - reference) <= absolute + relative * abs(reference)
    return one.shape == two.shape and bool(
        (np.abs(one - two) <= absolute + relative * np.abs(two)).all()
    )


def _same_offsets(one: NDArray[np.int64] | None, two: NDArray[np.int64] | None) -> bool:
    if one is None or two is None:
        return one is two
    return np.array_equal(one, two)


def compatible(record: Record, others: Sequence[Record]) -> bool:
    """Whether ``record`` keeps to what ``others`` have pinned, as far as it pins it itself."""
    return all(
        record.agrees_on(pin, other)
        for pin in PIN_ORDER
        if pin in record.pins
        for other in others
        if pin in other.pins
    )


def agree(records: Sequence[Record]) -> bool:
    """Whether all are equal in every property that any of them pins."""
    return all(
        records[0].agrees_on(pin, other)
        for pin in PIN_ORDER
        if any(pin in record.pins for record in records)
        for other in records[1:]
    )


class SeenRanges(Protocol):
    """What calibration saw of the tensors around one node."""

    def input(self, index: int) -> Range:
        """The range of what feeds input ``index``."""

    def output(self, index: int) -> Range:
        """The range of output ``index``."""

    def find_output(self, index: int) -> Range | None:
        """The same, None where nothing was seen."""

    def accumulator(self) -> Range | None:
        """What a filter's sums were, where the statistics say so."""

    def activated(self) -> Range | None:
        """The range after an activation that directly follows in the same fusion, if one does."""

    def inside(self, name: str) -> Range:
        """The range of one of the operator's ``inner_ranges``."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordOptions:
    """What the user chose for one node."""

    kernel: KernelOptions
    allow_asymmetric: bool = True
    bits: int = INT8_BITS  # of the node's outputs
    chosen: ChosenFilter | None = None
    scheme: str = SQ8


@dataclass(frozen=True, slots=True, eq=False)
class RecordQuestion:
    """Everything an operator may look at when it decides about its records.

    ``inputs`` are what arrives, None where it is to be made anew; ``arriving`` always holds what
    arrives. ``wishes`` are what readers want of each output, None without a wish. ``upwards`` says
    that readers ask, not producers. ``wide_input`` is set where a filter in the same fusion leaves
    int32 to this node, ``clips_late`` where cutting off the node's input is not cutting off what
    the producer of its values sees (an average lies between).
    """

    path: str
    inputs: tuple[Record | None, ...]
    arriving: tuple[Record, ...]
    wishes: tuple[Record | None, ...]
    upwards: bool
    seen: SeenRanges
    output_types: tuple[TensorType, ...]
    constants: tuple[NDArray[Any] | None, ...]
    options: RecordOptions
    wide_input: bool = False
    clips_late: bool = False
    in_fusion: bool = False
    memo: dict[Any, Any] = field(default_factory=dict)  # of the node, over all questions
    current: Answer | None = None  # what the node answered last

    @property
    def wish(self) -> Record | None:
        """What readers want of output 0."""
        return self.wishes[0] if self.wishes else None


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Records of all inputs and outputs."""

    inputs: tuple[Record, ...]
    outputs: tuple[Record, ...]


Decision = Callable[[RecordQuestion], Answer | None]


@dataclass(frozen=True, slots=True)
class RecordRule:
    """One way in which an operator can work, and the records it then has.

    ``decide`` gives None where it refuses what is wanted of it. Inputs in ``free`` (weights,
    biases) are taken whatever their type.
    """

    decide: Decision
    input_types: frozenset[str] = ACTIVATIONS
    output_types: frozenset[str] = ACTIVATIONS
    free: tuple[int, ...] = ()
