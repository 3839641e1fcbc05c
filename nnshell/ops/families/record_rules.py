"""How operators decide about their SQ8 records: what several kinds of them have in common.

A rule sees what arrives at the inputs and what readers wish for (``ir.records.RecordQuestion``) and
answers with the records of all inputs and outputs, or refuses. Three rules serve most operators:

* ``arithmetic``: inputs symmetric, the output symmetric over what calibration saw;
* ``moves``: the output has the record of the input, and passes wishes on to it;
* ``any_record``: the kernel can do with any record on either side.

Where NNTool decides otherwise than one would expect, it is NNTool's decision that stands here: the
integers shall be its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nnshell.ir.qparams import INT8_BITS, QParams
from nnshell.ir.records import (
    ACTIVATIONS,
    ALL_PINS,
    INT8,
    Answer,
    Pin,
    Record,
    RecordQuestion,
    RecordRule,
    agree,
    compatible,
)
from nnshell.ir.requests import Range
from nnshell.numeric.records import asymmetric_record, fixed_record, symmetric_record

BYTES = frozenset(("int8", "uint8"))


# -- making records ----------------------------------------------------------------------------


def plain(params: QParams, *pins: Pin) -> Record:
    """A new record with these pins."""
    return Record(params, set(pins))


def symmetric(question: RecordQuestion, seen: Range, *pins: Pin) -> Record:
    """Zero point 0, of the node's own width."""
    where = f"node {question.path}"
    return plain(symmetric_record(seen, where, bits=question.options.bits), *pins)


def asymmetric(question: RecordQuestion, seen: Range) -> Record:
    """The record of a result that may have any zero point, unless the user wants none."""
    if not question.options.allow_asymmetric:
        return symmetric(question, seen)
    return plain(
        asymmetric_record(seen, f"node {question.path}", bits=question.options.bits),
    )


def own(question: RecordQuestion, seen: Range) -> Record:
    """The record of a result whose kernel needs zero point 0: fewer than 8 bits do not."""
    if question.options.bits < INT8_BITS:
        return asymmetric(question, seen)
    return symmetric(question, seen)


def fixed(scale: float, dtype: str, nominal: Range | None = None, *pins: Pin) -> Record:
    """A record whose scale follows from the kernel."""
    return plain(replace(fixed_record(scale, dtype, nominal), forced=False), *pins)


def to_symmetric(
    question: RecordQuestion, record: Record, dtype: str | None = None
) -> Record | None:
    """The record if it has zero point 0, else one over its nominal range with everything pinned.

    None where the record is pinned to what it is.
    """
    wrong_type = dtype is not None and record.dtype != dtype
    if record.asymmetric and record.pins & {"zero_point", "scale"}:
        return None
    if wrong_type and "type" in record.pins:
        return None
    if not record.asymmetric and not wrong_type:
        return record
    return remade(question, record, *ALL_PINS)


def remade(question: RecordQuestion, record: Record, *pins: Pin) -> Record:
    """int8 and symmetric over the nominal range of ``record``."""
    return _symmetric(question, record, record.nominal, *pins)


def from_seen(question: RecordQuestion, *, bent: bool) -> Record:
    """A record of input 0 over what calibration saw of it; with a zero point where ``bent``."""
    seen = question.seen.input(0)
    return asymmetric(question, seen) if bent else _symmetric(question, question.arriving[0], seen)


def _symmetric(question: RecordQuestion, record: Record, seen: Range, *pins: Pin) -> Record:
    """Over ``seen``, in the bits of ``record`` where it is int8."""
    bits = record.params.bits if record.dtype == "int8" else INT8_BITS
    return plain(symmetric_record(seen, f"node {question.path}", bits=bits), *pins)


def all_symmetric(
    question: RecordQuestion, records: Sequence[Record], dtype: str | None = None
) -> tuple[Record, ...] | None:
    """``to_symmetric`` of all; None where one of them cannot."""
    results = [to_symmetric(question, record, dtype) for record in records]
    return None if None in results else tuple(record for record in results if record is not None)


def fresh_inputs(question: RecordQuestion) -> tuple[Record, ...]:
    """What arrives; where it is to be made anew, int8 and symmetric over its nominal range."""
    return tuple(
        remade(question, arrived) if record is None else record
        for record, arrived in zip(question.inputs, question.arriving, strict=True)
    )


# -- rules of many operators -------------------------------------------------------------------


def decide_arithmetic(question: RecordQuestion) -> Answer | None:
    """Products, quotients and functions of one operand: zero points of 0 all around."""
    inputs = all_symmetric(question, fresh_inputs(question), "int8")
    wish = question.wish
    if inputs is None or (wish is not None and wish.asymmetric):
        return None
    if wish is not None:
        return Answer(inputs, (wish.copy(),))
    count = len(question.output_types)
    return Answer(inputs, tuple(own(question, question.seen.output(i)) for i in range(count)))


def decide_any(question: RecordQuestion) -> Answer | None:
    """The kernel reads any record and writes any."""
    outputs = tuple(
        wish.copy() if wish is not None else asymmetric(question, question.seen.output(index))
        for index, wish in enumerate(question.wishes)
    )
    return Answer(fresh_inputs(question), outputs)


def decide_moves(question: RecordQuestion) -> Answer | None:
    """Input and output have one record; a wish from below is passed on."""
    inputs, wish = fresh_inputs(question), question.wish
    pinned = [record for record in inputs if record.pins]
    if pinned and not agree(pinned):
        return None
    if wish is not None and not compatible(wish, inputs):
        return None
    if wish is not None:
        if not question.upwards and not all(record.equals(wish) for record in inputs):
            return None
        return Answer(tuple(wish.copy() for _ in inputs), (wish.copy(),))
    outputs = tuple(inputs[0].copy() for _ in question.output_types)
    return Answer(tuple(inputs[0].copy() for _ in inputs), outputs)


ARITHMETIC = RecordRule(decide_arithmetic, INT8, INT8)
ANY_RECORD = RecordRule(decide_any, INT8, INT8)
MOVES = RecordRule(decide_moves, ACTIVATIONS, ACTIVATIONS)
