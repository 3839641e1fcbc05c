"""Records of filters: what a convolution or linear layer asks for and gives.

A filter takes any record and gives a result with any zero point, as its bias holds both. Padding
is the integer 0, so a padded convolution asks for zero point 0, made from the range that
calibration saw where it reads; it pins the zero point of whatever it then reads. Weights have a
record of their own, the bias that of data and weights together with the zero points' part.
"""

from __future__ import annotations

from functools import partial

from nnshell.ir.records import INT8, Answer, Record, RecordQuestion, RecordRule
from nnshell.numeric.kernels.filters import FilterParameters, filter_records
from nnshell.ops.families.record_rules import asymmetric, from_seen, plain

DATA, WEIGHTS, BIAS = 0, 1, 2
_RESULTS = frozenset(("int8", "int32"))


def filter_rules(*, padded: bool = False) -> tuple[RecordRule, ...]:
    """Of a filter whose inputs are data, weights and bias."""
    decide = partial(_decide, padded=padded)
    return (RecordRule(decide, INT8, _RESULTS, free=(WEIGHTS, BIAS)),)


def _decide(question: RecordQuestion, padded: bool) -> Answer:
    data = _data(question, padded)
    output = question.wish or asymmetric(question, question.seen.output(0))
    weights, bias = question.constants[WEIGHTS], question.constants[BIAS]
    if weights is None or bias is None:  # checked when the integers are made
        return Answer((data, *question.arriving[1:]), (output,))
    options = question.options
    parameters = FilterParameters(question.path, weights, bias, options.kernel, options.chosen)
    result = filter_records(parameters, data.params, output.params, question.memo)
    offset = result.offset if result.has_offset else None
    return Answer((data, plain(result.weights), Record(result.bias, offset=offset)), (output,))


def _data(question: RecordQuestion, padded: bool) -> Record:
    data, arriving = question.inputs[DATA], question.arriving[DATA]
    if data is None or (padded and data.asymmetric):
        data = from_seen(question, bent=arriving.asymmetric and not padded)
    if padded:
        data.pins.add("zero_point")
    return data
