"""A plain recurrent layer: h' = tanh(W x + R h + b) at every step.

In integers see ``numeric.kernels.recurrent``. Both matrices have one scale w, the larger of their
own. Where input and output scale differ by 0.01 at most (an absolute difference, as in NNTool) or
the option says so, both and the state have the larger of the two; otherwise the state is read in
the scale that its initial value would have alone.

    i_2_a = s_in / s_h    s_2_s = s_h w / 2^-12 (hard: w)    s_2_o = 2^-15 / s_out (hard: 1)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.operator import IntArray, register
from nnshell.ir.records import Answer, RecordQuestion
from nnshell.ir.requests import QuantizeRequest
from nnshell.numeric.fixed_point import derive_multiplier
from nnshell.numeric.kernels.recurrent import (
    GATE_BITS,
    TABLE_BITS,
    RecurrentKernel,
    Step,
    rnn_step,
)
from nnshell.ops.families.recurrent import Inside, Recurrent
from nnshell.ops.families.recurrent_import import Array, Slots, Spelling, import_recurrent
from nnshell.ops.families.recurrent_rules import Operands
from nnshell.reading.registry import imports

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext

_SAME_SCALE = (0.01, 1e-5)  # absolute and relative difference of scales that count as one


@register
@dataclass(frozen=True)
class Rnn(Recurrent):
    """h' = tanh(W x + R h + b)"""

    kind: ClassVar[str] = "rnn"
    onnx_op: ClassVar[str] = "RNN"
    slots: ClassVar[tuple[str, ...]] = ("i_2_i_w", "r_2_i_w", "i_b", "i_state")
    input_weights: ClassVar[tuple[str, ...]] = ("i_2_i_w",)
    states: ClassVar[tuple[str, ...]] = ("i_state",)

    def gates(self) -> tuple[tuple[str, str, str, str], ...]:
        return (("i_2_i_w", "r_2_i_w", "i_b", ""),)

    def _gate_ranges(self) -> tuple[str, ...]:
        return ("range_input_dot", "range_state_dot")

    def gate_tensors(self, inside: Inside) -> dict[str, str]:
        return {
            "range_input_dot": inside.of_input("i_2_i_w"),
            "range_state_dot": inside.of_state("r_2_i_w"),
        }

    def decide(self, question: RecordQuestion) -> Answer | None:
        if question.wish is not None:
            return None  # the kernel knows no other scale than its own
        operands = Operands.of(question, self.slots)
        if operands is None:
            return None
        operands.merge("i_2_i_w", "r_2_i_w")
        given, made = operands.data.params.first_scale, operands.output.params.first_scale
        absolute, relative = _SAME_SCALE
        if self.same_scale or abs(given - made) <= absolute + relative * made:
            state = max(given, made)
            operands.set_data(state)
            operands.set_output(state)
        else:
            state = operands.own_state("i_state").params.first_scale
        operands.set_bias("i_b", state * operands.scale("i_2_i_w"))
        operands.set_state("i_state", state)
        return operands.answer(self.kept_states(self.states))

    def kernel(self, request: QuantizeRequest) -> RecurrentKernel:
        given, weights, state = (request.record(i).first_scale for i in (0, 1, 4))
        made = request.output.first_scale
        scales = {
            "i_2_a": given / state,
            "s_2_s": weights if self.hard else state * weights / 2.0**-GATE_BITS,
            "s_2_o": 1.0 if self.hard else 2.0**-TABLE_BITS / made,
        }
        scalings = {name: derive_multiplier(scale) for name, scale in scales.items()}
        low, high = (math.floor(one / state + 0.5) for one in (-1, 1))
        return RecurrentKernel(scalings, self.hard, one=(max(-128, low), min(127, high)))

    def step(self, weights: Mapping[str, IntArray], kernel: RecurrentKernel) -> Step:
        return rnn_step(weights, kernel)


@imports("RNN")
def import_rnn(ctx: ImportContext) -> None:
    def unpack(weights: Array, recurrent: Array, biases: Array) -> Slots:
        of_input, of_state = np.split(biases, 2)
        return {"i_2_i_w": weights, "r_2_i_w": recurrent, "i_b": of_input + of_state}

    def make(reverse: bool, kept: Sequence[bool]) -> Rnn:
        return Rnn(reverse, last_h=kept[0])

    import_recurrent(ctx, Spelling(1, ("Tanh",), Rnn.states, unpack, make))
