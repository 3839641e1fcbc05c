"""How operators decide about their fixed-point records (scheme POW2).

Where a reader wants fewer fraction bits than a node gives, the node takes that as its own record
if its kernel shifts its result anyway; what only moves values passes the wish on; all others
refuse, and a quantize node is put between. What arrives in another scheme is made anew, over what
calibration saw there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from nnshell.ir.qparams import QParams
from nnshell.ir.records import (
    ALL_PINS,
    Answer,
    Decision,
    Record,
    RecordQuestion,
    RecordRule,
)
from nnshell.ir.requests import Range
from nnshell.numeric.qmn import (
    ACCUMULATOR_BITS,
    array_record,
    fixed_point_record,
    fraction_of,
    integer_bits,
    range_record,
    with_fraction_bits,
)
from nnshell.support.errors import QuantizationError

DATA, WEIGHTS, BIAS = 0, 1, 2
TYPES = frozenset(("int8", "int16", "int32", "uint8"))
SOFTMAX_BITS = 16  # of its result, whatever the others have
LARGEST_LOSS = 0.75  # share of the accumulator's fraction bits that a filter may give up


def rule(decide: Decision) -> tuple[RecordRule, ...]:
    """The one rule of an operator: fixed-point records are taken whatever their width."""
    return (RecordRule(decide, TYPES, TYPES),)


# -- making records ----------------------------------------------------------------------------


def incoming(question: RecordQuestion, index: int = DATA) -> Record:
    """What arrives, or a record over what was seen there where it is of another scheme."""
    value = question.constants[index]
    if value is not None:
        arriving = question.arriving[index]
        return arriving if arriving.params.fixed_point else _of_constant(question, index)
    record = question.inputs[index]
    if record is not None and record.params.fixed_point:
        return record
    return Record(_seen_record(question, question.seen.input(index)))


def _of_constant(question: RecordQuestion, index: int) -> Record:
    value = question.constants[index]
    assert value is not None
    where = f"node {question.path}"
    return Record(array_record(value, question.options.kernel.fixed_bits, where))


def own(question: RecordQuestion, index: int = 0) -> Record:
    """The record of a result over what was seen of it."""
    return Record(_seen_record(question, question.seen.output(index)))


def _seen_record(question: RecordQuestion, seen: Range) -> QParams:
    return range_record(seen, question.options.kernel.fixed_bits, f"node {question.path}")


def accepted(question: RecordQuestion, output: Record) -> Record:
    """What readers wish for, or wished for before, where the kernel can write anything."""
    wish = question.wish
    if wish is not None and wish.dtype != "int32":
        return wish.copy()
    return output if question.current is None else question.current.outputs[0]


# -- decisions of many operators ---------------------------------------------------------------


def decide_moves(question: RecordQuestion) -> Answer | None:
    """The output has the record of the input; a wish is passed on to whoever made the values."""
    source, wish = incoming(question), question.wish
    if wish is not None:
        if not question.upwards and not source.equals(wish):
            return None
        return Answer((wish.copy(),), tuple(wish.copy() for _ in question.output_types))
    return Answer((source,), tuple(source.copy() for _ in question.output_types))


def decide_shifted(question: RecordQuestion) -> Answer:
    """The kernel shifts its result: it reads any records and has its own, or a reader's."""
    inputs = tuple(incoming(question, index) for index in range(len(question.arriving)))
    return Answer(inputs, (accepted(question, own(question)),))


def activation_decision(limits: Callable[[RecordQuestion], Range]) -> Decision:
    """Of an activation: ``limits`` is what its integer bits must hold.

    A wish is taken where it has those integer bits, as every one has that asks for less fraction.
    """

    def decide(question: RecordQuestion) -> Answer:
        source, needed = incoming(question), integer_bits(limits(question))
        bits = question.options.kernel.fixed_bits
        if needed > bits:
            _seen_record(question, limits(question))  # says that the range is too large
        output = Record(fixed_point_record(max(bits - needed, 0), bits))
        wish = accepted(question, output)
        room = wish.params.width - fraction_of(wish.params)
        return Answer((source,), (wish if room >= needed else output,))

    return decide


def fixed_decision(bits: int | None = None, *, pinned: bool = False) -> Decision:
    """Of a function whose results the kernel gives in Q1.(bits - 1), and nothing else."""

    def decide(question: RecordQuestion) -> Answer:
        source, width = incoming(question), bits or question.options.kernel.fixed_bits
        output = Record(fixed_point_record(width - 1, width))
        if pinned:
            source, output = source.copy(), Record(output.params, set(ALL_PINS))
            source.pins |= ALL_PINS
        return Answer((source,), (output,))

    return decide


def decide_join(question: RecordQuestion) -> Answer:
    """One record for all parts: their own, or one with the most bits and the most integer bits."""
    parts = [incoming(question, index) for index in range(len(question.arriving))]
    current = question.current
    if current is not None and all(part.equals(current.outputs[0]) for part in parts):
        return current
    common = parts[0]
    if not all(part.equals(common) for part in parts):
        bits = max(part.params.width for part in parts)
        most = max(part.params.width - fraction_of(part.params) for part in parts)
        common = Record(fixed_point_record(bits - most, bits))
    return Answer(tuple(common.copy() for _ in parts), (common.copy(),))


# -- filters -----------------------------------------------------------------------------------


def filter_decision(*, leaves_wide: bool) -> Decision:
    """Of a filter; ``leaves_wide`` says that an activation in its fusion gets the accumulator."""

    def decide(question: RecordQuestion) -> Answer:
        data, current = incoming(question), question.current
        if current is not None and data.equals(current.inputs[DATA]):
            return Answer((data, *current.inputs[1:]), current.outputs)
        return _filter_records(question, data, leaves_wide)

    return decide


def _filter_records(question: RecordQuestion, data: Record, leaves_wide: bool) -> Answer:
    where, bits = f"node {question.path}", question.options.kernel.fixed_bits
    weights, bias = question.constants[WEIGHTS], question.constants[BIAS]
    output = own(question)
    if weights is None or bias is None:  # checked when the integers are made
        return Answer((data, *question.arriving[1:]), (output,))
    activated = question.seen.activated() if leaves_wide else None
    records = [data.params, array_record(weights, bits, where)]
    least = _least_integer_bits(question, activated)
    data_bits, weight_bits = reduced([fraction_of(record) for record in records], least, where)
    accumulator = data_bits + weight_bits
    bias_q = array_record(bias, question.options.kernel.bias_bits or bits, where)
    inputs = (
        data if data_bits == fraction_of(data.params) else _lowered(data, data_bits),
        Record(with_fraction_bits(records[1], weight_bits)),
        Record(with_fraction_bits(bias_q, min(fraction_of(bias_q), accumulator))),
    )
    if activated is not None:
        output = Record(fixed_point_record(accumulator, ACCUMULATOR_BITS))
    return Answer(inputs, (output,))


def _lowered(record: Record, fraction_bits: int) -> Record:
    return replace(record.copy(), params=with_fraction_bits(record.params, fraction_bits))


def _least_integer_bits(question: RecordQuestion, activated: Range | None) -> int:
    """What the accumulator must hold: the sums, and what follows from them."""
    result = question.seen.output(0)
    sums = question.seen.accumulator() or result
    return max(integer_bits(sums), integer_bits(result if activated is None else activated))


def reduced(fractions: Sequence[int], least: int, where: str) -> tuple[int, int]:
    """Fraction bits of data and weights that leave ``least`` integer bits in the accumulator.

    The bits that are missing are taken from both in proportion, halves from the data, what then
    still misses from the weights. QuantizationError where more than 75 % would have to go.
    """
    data, weights = fractions
    total = data + weights
    missing = least - (ACCUMULATOR_BITS - total)
    if missing <= 0:
        return data, weights
    if missing > LARGEST_LOSS * total:
        raise QuantizationError(
            f"its sums need {least} integer bits, which leaves less than a quarter of the"
            f" {total} fraction bits of its products",
            where=where,
            hint="qtune --step STEP scheme=SQ8 computes this node in the other scheme",
        )
    from_data = min(int(0.5 + missing * data / total), data)
    from_weights = min(int(0.5 + missing * weights / total), weights)
    rest = missing - from_data - from_weights
    return data - from_data, weights - from_weights - max(rest, 0)
