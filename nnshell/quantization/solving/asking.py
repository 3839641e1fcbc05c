"""One node: what its operator makes of what arrives and of what readers wish for.

The first rule whose types fit decides. Where it refuses, less and less is asked of it: the wishes
are dropped, then records of constants, then all that arrives, and the operator makes its inputs
anew from what it knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nnshell.ir.arithmetic import arithmetic_of
from nnshell.ir.basic_operators import Constant, Input, Output, Unused
from nnshell.ir.operator import Operator
from nnshell.ir.records import (
    ACTIVATIONS,
    Answer,
    Record,
    RecordQuestion,
    RecordRule,
)
from nnshell.ir.requests import POW2, SQ8
from nnshell.numeric.records import fixed_record
from nnshell.ops.families.record_rules import (
    ARITHMETIC,
    MOVES,
    asymmetric,
    fresh_inputs,
    plain,
    remade,
    symmetric,
    to_symmetric,
)
from nnshell.quantization.solving.network import Unit
from nnshell.quantization.solving.seen import Surroundings
from nnshell.support.errors import QuantizationError

Inputs = tuple[Record | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Asking:
    """Asks operators about their records, in the surroundings of one graph."""

    surroundings: Surroundings

    def solve(
        self,
        unit: Unit,
        arriving: Sequence[Record],
        wishes: Sequence[Record | None],
        *,
        upwards: bool,
    ) -> Answer:
        """Records of all inputs and outputs. Raises QuantizationError where no rule can work."""
        values = tuple(arriving)
        scheme = self.surroundings.scheme_of(unit)
        rules = _rules_at(unit, scheme)
        native = tuple(_of_scheme(record, unit, scheme) for record in values)
        wanted = tuple(None if wish is None else _of_scheme(wish, unit, scheme) for wish in wishes)
        none = tuple(None for _ in wishes)
        without_constants = tuple(
            None if record is None or record.constant else record for record in native
        )
        nothing = tuple(None for _ in values)
        for inputs, expected in (
            (native, wanted),
            (native, none),
            (without_constants, none),
            (nothing, none),
        ):
            rule = _fitting(rules, unit, inputs, expected)
            question = self.surroundings.question(unit, inputs, values, expected, upwards)
            answer = None if rule is None else rule.decide(question)
            if answer is not None:
                return answer
        raise QuantizationError(
            f"operator '{unit.node.op.kind}' cannot take the records of its inputs",
            where=f"node {unit.path}",
        )


def _fitting(
    rules: Sequence[RecordRule], unit: Unit, inputs: Inputs, wishes: Inputs
) -> RecordRule | None:
    """The first rule whose types admit inputs and wishes; constants are of any type."""
    tested = [
        record
        for record, link in zip(inputs, unit.inputs, strict=True)
        if record is not None
        and not record.constant
        and not isinstance(link.producer.node.op, Constant)
    ]
    free = {inputs[i] for rule in rules for i in rule.free if i < len(inputs)}
    for rule in rules:
        arrived = all(record.dtype in rule.input_types for record in tested if record not in free)
        if arrived and all(w is None or w.dtype in rule.output_types for w in wishes):
            return rule
    return None


def _rules_at(unit: Unit, scheme: str) -> tuple[RecordRule, ...]:
    try:
        return rules_of(unit.node.op, scheme)
    except QuantizationError as error:
        where = f"node {unit.path}"
        raise QuantizationError(error.message, where=where, hint=error.hint) from None


def _of_scheme(record: Record, unit: Unit, scheme: str) -> Record | None:
    """The record, unless it is one of another scheme and the unit works in its own.

    What a node cannot take it makes anew, and a quantize node lies between. Ends of the graph take
    any, and so do constants, which are not quantized yet.
    """
    if unit.node.op.boundary or record.constant or unit.node.op.role == "constant":
        return record
    return record if record.params.fixed_point == (scheme == POW2) else None


def rules_of(op: Operator, scheme: str = SQ8) -> tuple[RecordRule, ...]:
    """The operator's own rules, or those of any that keeps its record or computes."""
    own_rules = arithmetic_of(op, scheme).record_rules(scheme)
    if own_rules:
        return own_rules
    if isinstance(op, Constant):
        return (_CONSTANT,)
    if isinstance(op, Output | Unused):
        return (_OUTPUT,)
    if isinstance(op, Input):
        return (_INPUT,)
    return (MOVES,) if op.keeps_record else (ARITHMETIC,)


# -- the ends of a graph -----------------------------------------------------------------------


def _decide_input(question: RecordQuestion) -> Answer:
    """Raw pixels are what they are; a range from exactly 0 may have a zero point."""
    source = question.output_types[0]
    if source.dtype in ("uint8", "uint16"):
        pixels = replace(fixed_record(1.0, source.dtype), forced=False)
        return Answer((), (plain(pixels, "type", "zero_point", "scale"),))
    if question.wish is not None:
        return Answer((), (question.wish.copy(),))
    seen = question.seen.output(0)
    make = asymmetric if seen.minimum == 0.0 else symmetric
    return Answer((), (make(question, seen),))


def _decide_constant(question: RecordQuestion) -> Answer:
    """Whatever is wanted of it: it has not been quantized yet."""
    wish = question.wish
    record = symmetric(question, question.seen.output(0)) if wish is None else wish.copy()
    record.constant = True
    return Answer((), (record,))


def _decide_output(question: RecordQuestion) -> Answer:
    """Zero point 0, with everything pinned where that is another record than arrived."""
    (value,) = fresh_inputs(question)
    record = to_symmetric(question, value)
    if record is None:
        record = remade(question, value, "type", "zero_point", "scale")
    return Answer((record.copy(),), (record.copy(),))


_INPUT = RecordRule(_decide_input)
_CONSTANT = RecordRule(_decide_constant, ACTIVATIONS, ACTIVATIONS | {"int32"})
_OUTPUT = RecordRule(_decide_output, frozenset(("int8", "uint8", "int16")))
