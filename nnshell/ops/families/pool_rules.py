"""Records of pools: what passes a window keeps its record, a mean over everything has its own."""

from __future__ import annotations

from functools import partial

from nnshell.ir.records import INT8, Answer, Record, RecordQuestion, RecordRule
from nnshell.ops.families.record_rules import from_seen, own, to_symmetric

_POOLED = frozenset(("int8", "int16", "int32"))  # int32 inside a fusion only
_MEANS = frozenset(("int8", "int32"))


def pool_rules(*, padded: bool = False) -> tuple[RecordRule, ...]:
    """Of a pool over a sliding window, or a maximum over everything."""
    return (RecordRule(partial(_decide_pool, padded=padded), _POOLED, _POOLED),)


def global_mean_rules() -> tuple[RecordRule, ...]:
    """Of a mean over height and width."""
    return (RecordRule(_decide_mean, INT8, _MEANS),)


def _decide_pool(question: RecordQuestion, padded: bool) -> Answer | None:
    """Input and output have one record. Padding needs zero point 0, unless a reader decides."""
    source, wish = _given(question, padded), question.wish
    if source is None or (source.dtype == "int32" and not question.in_fusion):
        return None
    if wish is None:
        return Answer((source,), (source.copy(),))
    if wish.dtype != source.dtype and not question.in_fusion:
        return None
    return Answer((wish.copy(),), (wish,))


def _given(question: RecordQuestion, padded: bool) -> Record | None:
    source, arriving = question.inputs[0], question.arriving[0]
    if source is None:
        return from_seen(question, bent=arriving.asymmetric and not padded)
    return to_symmetric(question, source) if padded and question.wish is None else source


def _decide_mean(question: RecordQuestion) -> Answer | None:
    """The mean has its own record; a wish is taken when its zero point is the input's, or 0."""
    source, wish = question.inputs[0], question.wish
    if source is None:
        source = from_seen(question, bent=question.arriving[0].asymmetric)
    if wish is None:
        centred = to_symmetric(question, source)
        if centred is None:
            return None
        return Answer((centred,), (own(question, question.seen.output(0)),))
    if wish.zero_point == source.zero_point:
        return Answer((source,), (wish,))
    if wish.zero_point == 0 and not source.pins:
        return Answer((source,), (wish,))
    return None
