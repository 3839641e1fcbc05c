"""Records of activations: rectifiers push their range back, tables and gates fix their input.

An activation after a filter in one fusion reads int32 (``RecordQuestion.wide_input``), at a scale
that its kernel fixes. Alone, it reads int8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from nnshell.ir.qparams import INT8_BITS, QParams
from nnshell.ir.records import ALL_PINS, INT8, Answer, Pin, Record, RecordQuestion, RecordRule
from nnshell.ir.requests import Range
from nnshell.ops.families.record_rules import (
    asymmetric,
    fresh_inputs,
    own,
    plain,
    symmetric,
)

READ = frozenset(("int8", "int16", "int32"))
FUSED = frozenset(("int8", "int32"))

Limits = Callable[[Range | None], Range | None]
FixedInput = Callable[[RecordQuestion, Record], Record]  # of the output's record


def rectifier_rules(limits: Limits) -> tuple[RecordRule, ...]:
    """Of min(max(x, lower), upper); ``limits`` gives the range of results from what was seen."""

    def decide(question: RecordQuestion) -> Answer:
        source = fresh_inputs(question)[0]
        wish = question.wish
        output = _rectified(question, source, limits) if wish is None else wish.copy()
        if question.clips_late or (question.wide_input and source.dtype == "int32"):
            return Answer((source,), (output,))
        return Answer((output.copy(),), (output,))

    return (RecordRule(decide, READ, INT8),)


def _rectified(question: RecordQuestion, source: Record, limits: Limits) -> Record:
    """Zero point 0 where the input has it."""
    known = limits(None)
    seen = known if known is not None else limits(question.seen.output(0))
    assert seen is not None
    bent = source.zero_point != 0 or question.options.bits < INT8_BITS
    return asymmetric(question, seen) if bent else symmetric(question, seen)


def gate_rules(
    seen_or_fixed: Limits, alone: FixedInput, wide: FixedInput
) -> tuple[RecordRule, ...]:
    """Of functions whose kernel assumes a scale of its input: sigmoid, tanh, the hard gates."""

    def decide(question: RecordQuestion) -> Answer | None:
        wish = question.wish
        if wish is not None and wish.zero_point != 0 and not question.wide_input:
            return None
        output = wish.copy() if wish is not None else _own_output(question, seen_or_fixed)
        return Answer(((wide if question.wide_input else alone)(question, output),), (output,))

    return (RecordRule(decide, FUSED, INT8),)


def _own_output(question: RecordQuestion, seen_or_fixed: Limits) -> Record:
    known = seen_or_fixed(None)
    seen = known if known is not None else seen_or_fixed(question.seen.output(0))
    assert seen is not None
    return own(question, seen)


def leaky_rules() -> tuple[RecordRule, ...]:
    """Of a leaky relu: it reads at the scale it writes, so that positive values stay."""

    def decide(question: RecordQuestion) -> Answer | None:
        wish, value = question.wish, fresh_inputs(question)[0]
        if wish is not None and wish.zero_point != 0 and not question.wide_input:
            return None
        output = wish.copy() if wish is not None else own(question, question.seen.output(0))
        if not question.wide_input and output.params.bits < INT8_BITS:
            return Answer((value,), (output,))
        dtype = "int32" if question.wide_input else output.dtype
        return Answer((_at_scale_of(output, dtype),), (output,))

    return (RecordRule(decide, FUSED, INT8),)


def _at_scale_of(output: Record, dtype: str) -> Record:
    """Zero point 0 at the scale of the output, in another type."""
    params = replace(output.params, zero_point=0, dtype=dtype, asymmetric=False, forced=False)
    if dtype == "int32":
        params = replace(params, bits=INT8_BITS)
    return plain(params, *ALL_PINS)


def fixed_input(record: QParams, *pins: Pin) -> FixedInput:
    """int8 at the scale that a kernel assumes."""

    def make(question: RecordQuestion, output: Record) -> Record:
        return plain(record, *pins)

    return make


def wide_input(record: QParams) -> FixedInput:
    """int32 at the scale that a kernel assumes; the range says what was seen."""

    def make(question: RecordQuestion, output: Record) -> Record:
        seen = question.seen.input(0)
        low, high = np.array([seen.minimum]), np.array([seen.maximum])
        return plain(replace(record, minimum=low, maximum=high), *ALL_PINS)

    return make


def reaching_input(least: float) -> FixedInput:
    """int8 over what was seen, and up to ``least`` at any rate."""

    def make(question: RecordQuestion, output: Record) -> Record:
        seen = question.seen.input(0)
        return symmetric(question, Range(seen.minimum, max(seen.maximum, least)))

    return make
