"""Ends of a graph, constants, formatters and quantize nodes in fixed point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from nnshell.ir.arithmetic import arithmetic
from nnshell.ir.basic_operators import Constant, Input, Output, Unused
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import IntArray, Types
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import ALL_PINS, Answer, Record, RecordQuestion, RecordRule
from nnshell.ir.requests import POW2
from nnshell.lowering.qmn import lower_shift
from nnshell.lowering.requantize import settled
from nnshell.numeric.kernels.fixed import reduced
from nnshell.numeric.qmn import array_record, fixed_point_record, fraction_of
from nnshell.numeric.records import fixed_record
from nnshell.ops.image_format import ImageFormat
from nnshell.ops.pow2.base import FixedPoint
from nnshell.ops.pow2.moves import Moved
from nnshell.ops.pow2.rules import accepted, own, rule
from nnshell.ops.quantize import Quantize


@arithmetic(POW2, Input)
class FixedInput(Moved):
    """Raw pixels are what they are; all else is what was seen, or a reader's wish."""

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return rule(_decide_input)


def _decide_input(question: RecordQuestion) -> Answer:
    dtype = question.output_types[0].dtype
    if dtype in ("uint8", "uint16"):
        pixels = replace(fixed_record(1.0, dtype), forced=False, fraction_bits=0)
        return Answer((), (Record(pixels, set(ALL_PINS)),))
    return Answer((), (accepted(question, own(question)),))


@arithmetic(POW2, Constant)
class FixedConstant(Moved):
    """Over its own values, or whatever is wanted of it: it has not been quantized yet."""

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return rule(self._decide)

    def _decide(self, question: RecordQuestion) -> Answer:
        value, wish = self.op.known_value, question.wish
        assert value is not None
        if wish is None:
            bits = question.options.kernel.fixed_bits
            record = Record(array_record(value, bits, f"node {question.path}"))
        else:
            record = wish.copy()
        record.constant = True
        return Answer((), (record,))


@arithmetic(POW2, Output, Unused)
class FixedOutput(Moved):
    """What arrives, whatever its scheme."""

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return rule(_decide_output)


def _decide_output(question: RecordQuestion) -> Answer:
    arriving = question.arriving[0]
    return Answer((arriving.copy(),), (arriving.copy(),))


@arithmetic(POW2, ImageFormat)
class FixedFormat(Moved):
    """Pixels are what the kernel makes of them: fixed point where their step is a power of two.

    Anything else keeps its scale and zero point, and a quantize node brings it to fixed point.
    """

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        """The record that its integers mean, whatever readers wish for."""
        return rule(self._decide)

    def _decide(self, question: RecordQuestion) -> Answer:
        made = self.op.output_record(question.options.kernel)
        assert made is not None
        mantissa, exponent = math.frexp(made.first_scale)
        record = replace(made, forced=False)
        if mantissa == 0.5 and made.zero_point == 0:
            record = fixed_point_record(1 - exponent, made.width, question.seen.find_output(0))
        return Answer((question.arriving[0],), (Record(record, set(ALL_PINS)),))


@arithmetic(POW2, Quantize)
class FixedQuantize(FixedPoint[Quantize]):
    """Between two fixed-point records: a shift with rounding."""

    def compute(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray], wraps: bool
    ) -> IntArray:
        return reduced(inputs[0], fraction_of(quantization.input), quantization.output)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        x = settled(build, inputs[0])
        return (lower_shift(build, x, fraction_of(quantization.input), quantization.output),)
