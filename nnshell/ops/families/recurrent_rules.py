"""Records of recurrent layers: how each operand gets its scale.

The sequence is int8 with zero point 0, weights have one scale for each matrix, biases are int32 in
the scale of what they are added to, states in a scale that the layer decides. Whatever the scale of
a record, its range is the one that was seen. All of it is float64.

Decisions are NNTool's, so that integers are: those that cost accuracy are listed in
docs/quantization.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.qparams import QParams
from nnshell.ir.records import Answer, Record, RecordQuestion
from nnshell.ir.requests import Range
from nnshell.numeric.records import symmetric_record, usable_range, weight_record
from nnshell.ops.families.record_rules import fresh_inputs, plain, to_symmetric


@dataclass(slots=True, eq=False)
class Operands:
    """Records of a recurrent layer on their way, by slot; ``data`` is the sequence's."""

    question: RecordQuestion
    slots: Sequence[str]
    data: Record
    output: Record
    records: dict[str, Record]

    @classmethod
    def of(cls, question: RecordQuestion, slots: Sequence[str]) -> Operands | None:
        """Sequence, output and weights, each in the scale of its own range.

        None where the sequence is pinned to a zero point.
        """
        data = to_symmetric(question, fresh_inputs(question)[0])
        if data is None:
            return None
        seen = usable_range(question.seen.output(0), f"node {question.path}")
        output = plain(symmetric_record(seen, f"node {question.path}"))
        operands = cls(question, slots, data, output, {})
        for slot in slots:
            value = operands.value(slot)
            if slot.endswith("_w") and value is not None:
                operands.records[slot] = operands._weights(value)
        return operands

    def value(self, slot: str) -> NDArray[Any] | None:
        """The constant in a slot; None of an activation."""
        return self.question.constants[1 + self.slots.index(slot)]

    def _weights(self, value: NDArray[Any]) -> Record:
        options = self.question.options.kernel
        record = weight_record(
            value.astype(np.float64),
            None,
            narrow=options.narrow_weights,
            where=f"node {self.question.path}",
            bits=options.weight_bits,
            clip=options.weight_clip,
        )
        return plain(record)

    def scale(self, slot: str) -> float:
        """Of the weights in a slot."""
        return self.records[slot].params.first_scale

    def merge(self, *slots: str) -> None:
        """Weights that one product is made with take the largest of their scales."""
        largest = max(self.scale(slot) for slot in slots)
        for slot in slots:
            self.records[slot] = plain(_rescaled(self.records[slot].params, largest))

    def set_data(self, scale: float) -> None:
        """Another scale for the sequence, with the range that it has."""
        if self.data.params.first_scale != scale:
            self.data = plain(_rescaled(self.data.params, scale))

    def set_output(self, scale: float) -> None:
        """Another scale for the output, with the range that was seen."""
        self.output = plain(_rescaled(self.output.params, scale))

    def set_bias(self, slot: str, scale: float) -> None:
        """int32 in the scale of a sum."""
        integers = QParams(np.array([scale]), 0, "int32")
        low, high = integers.limits
        limits = np.array([low * scale]), np.array([high * scale])
        self.records[slot] = plain(replace(integers, minimum=limits[0], maximum=limits[1]))

    def own_state(self, slot: str) -> Record:
        """The record of a state before the first step, by its own range."""
        value = self.value(slot)
        if value is None:
            arrived = fresh_inputs(self.question)[1 + self.slots.index(slot)]
            usable = to_symmetric(self.question, arrived)
            return usable or plain(symmetric_record(arrived.nominal))
        real = Range(float(value.min()), float(value.max()))
        return plain(symmetric_record(real, f"node {self.question.path}"))

    def set_state(self, slot: str, scale: float) -> None:
        """A state in the scale that the kernel keeps it in."""
        self.records[slot] = plain(_rescaled(self.own_state(slot).params, scale))

    def answer(self, states: Sequence[str]) -> Answer:
        """Records of all inputs, and of outputs of which the last are those of ``states``."""
        inputs = (self.data, *(self.records[slot] for slot in self.slots))
        return Answer(inputs, (self.output, *(self.records[slot].copy() for slot in states)))


def _rescaled(record: QParams, scale: float) -> QParams:
    return replace(record, scale=np.array([scale], np.float64), forced=False)
