"""Gated recurrent unit, in both of ONNX's forms.

    z = sigmoid(Wz x + Rz h + bz)    r = sigmoid(Wr x + Rr h + br)
    n = tanh(Wh x + wbh + r * (Rh h + rbh))      linear before reset
    n = tanh(Wh x + wbh + Rh (r * h) + rbh)      otherwise
    h' = (1 - z) * n + z * h

In integers see ``numeric.kernels.recurrent``. State and output are 2^-7 whatever their range, so
that 1.0 saturates. Biases are quantized as if they were added in the scale of the input, as NNTool
does: where that is far from 2^-7 they are wrong by the ratio.

    i_2_g = (sWg s_in) / (sRg 2^-7)    g_2_int = sRg 2^-7 / 2^-12
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nnshell.ir.operator import Example, IntArray, Types, register
from nnshell.ir.records import Answer, RecordQuestion
from nnshell.ir.requests import QuantizeRequest
from nnshell.numeric.fixed_point import derive_multiplier
from nnshell.numeric.kernels.recurrent import GATE_BITS, RecurrentKernel, Step, gru_step
from nnshell.ops.families.recurrent import Inside, Recurrent, example_of
from nnshell.ops.families.recurrent_import import Array, Slots, Spelling, import_recurrent
from nnshell.ops.families.recurrent_rules import Operands
from nnshell.reading.registry import imports

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext

_LOG = logging.getLogger(__name__)

STATE_SCALE = 2.0**-7
_BIASES = {"z_b": "r_2_z_w", "r_b": "r_2_r_w", "w_h_b": "w_2_h_w", "r_h_b": "r_2_h_w"}
_NOTABLE = 1.05  # ratio of scales from which wrong biases are said


@register
@dataclass(frozen=True)
class Gru(Recurrent):
    """Gated recurrent unit"""

    kind: ClassVar[str] = "gru"
    onnx_op: ClassVar[str] = "GRU"
    slots: ClassVar[tuple[str, ...]] = (
        *("w_2_z_w", "w_2_r_w", "w_2_h_w", "r_2_z_w", "r_2_r_w", "r_2_h_w"),
        *("z_b", "r_b", "w_h_b", "r_h_b", "h_state"),
    )
    input_weights: ClassVar[tuple[str, ...]] = ("w_2_z_w", "w_2_r_w", "w_2_h_w")
    states: ClassVar[tuple[str, ...]] = ("h_state",)
    misread: ClassVar[tuple[str, ...]] = ("z_b", "r_b", "r_h_b")
    linear_before_reset: bool = True

    def gates(self) -> tuple[tuple[str, str, str, str], ...]:
        return (
            ("w_2_z_w", "r_2_z_w", "z_b", ""),
            ("w_2_r_w", "r_2_r_w", "r_b", ""),
            ("w_2_h_w", "r_2_h_w", "w_h_b", "r_h_b"),
        )

    def onnx_attributes(self) -> dict[str, Any]:
        return {"linear_before_reset": int(self.linear_before_reset)}

    def describe(self, inputs: Types, outputs: Types, body: Any = None) -> str:
        form = " linear before reset" if self.linear_before_reset else ""
        return f"{super().describe(inputs, outputs, body)} sigmoid{form}"

    def _gate_ranges(self) -> tuple[str, ...]:
        ends = ("_inp", "_state", "")
        return tuple(f"range_{gate}_gate{end}" for gate in "zrh" for end in ends)

    def gate_tensors(self, inside: Inside) -> dict[str, str]:
        results = {}
        for gate in "zr":
            given = inside.of_input(f"w_2_{gate}_w")
            kept = inside.of_state(f"r_2_{gate}_w")
            results[f"range_{gate}_gate_inp"] = given
            results[f"range_{gate}_gate_state"] = kept
            results[f"range_{gate}_gate"] = inside.total(given, kept, inside.bias(f"{gate}_b"))
        reset = inside.build.node("Sigmoid", [results["range_r_gate"]])
        given = inside.total(inside.of_input("w_2_h_w"), inside.bias("w_h_b"))
        if self.linear_before_reset:
            kept = inside.total(inside.of_state("r_2_h_w"), inside.bias("r_h_b"))
            part = inside.build.node("Mul", [reset, kept])
        else:
            scaled = inside.build.node("Mul", [reset, inside.before])
            kept = inside.total(inside.times(scaled, "r_2_h_w"), inside.bias("r_h_b"))
            part = kept
        results |= {"range_h_gate_inp": given, "range_h_gate_state": kept}
        return {**results, "range_h_gate": inside.total(given, part)}

    def decide(self, question: RecordQuestion) -> Answer | None:
        if question.wish is not None:
            return None  # the kernel knows no other scale than its own
        operands = Operands.of(question, self.slots)
        if operands is None:
            return None
        operands.set_output(STATE_SCALE)
        if self.same_scale:
            operands.set_data(STATE_SCALE)
            for gate in "zrh":
                operands.merge(f"w_2_{gate}_w", f"r_2_{gate}_w")
        given = operands.data.params.first_scale
        for bias, weights in _BIASES.items():
            operands.set_bias(bias, given * operands.scale(weights))
        operands.set_state("h_state", STATE_SCALE)
        return operands.answer(self.kept_states(self.states))

    def kernel(self, request: QuantizeRequest) -> RecurrentKernel:
        records = {slot: request.record(1 + i) for i, slot in enumerate(self.slots)}
        given = request.record(0).first_scale
        ratio = max(given / STATE_SCALE, STATE_SCALE / given)
        if ratio > _NOTABLE:
            _LOG.warning(
                "%s: the AutoTiler's GRU adds biases in the scale of its input, %.3g, to sums in "
                "that of its state, %.3g: they count %.2f times; bring the input to about -1..1",
                request.name,
                given,
                STATE_SCALE,
                STATE_SCALE / given,
            )
        scales = {}
        for gate in "zrh":
            weights = records[f"w_2_{gate}_w"].first_scale
            recurrent = records[f"r_2_{gate}_w"].first_scale
            scales[f"i_2_{gate}"] = (weights * given) / (recurrent * STATE_SCALE)
            scales[f"{gate}_2_int"] = recurrent * STATE_SCALE / 2.0**-GATE_BITS
        scalings = {name: derive_multiplier(scale) for name, scale in scales.items()}
        return RecurrentKernel(scalings, self.hard)

    def step(self, weights: Mapping[str, IntArray], kernel: RecurrentKernel) -> Step:
        return gru_step(weights, kernel, self.linear_before_reset)

    @classmethod
    def examples(cls) -> list[Example]:
        other = replace(cls(), linear_before_reset=False)
        return [*super().examples(), example_of(other, 4, 3, 4, "reset first")]


@imports("GRU")
def import_gru(ctx: ImportContext) -> None:
    """Biases of z and r are added up; those of h stay apart."""

    def unpack(weights: Array, recurrent: Array, biases: Array) -> Slots:
        slots: Slots = {}
        of_input, of_state = (np.split(part, 3) for part in np.split(biases, 2))
        parts = zip("zrh", np.split(weights, 3), np.split(recurrent, 3), strict=True)
        for gate, given, kept in parts:
            slots |= {f"w_2_{gate}_w": given, f"r_2_{gate}_w": kept}
        slots |= {"z_b": of_input[0] + of_state[0], "r_b": of_input[1] + of_state[1]}
        return {**slots, "w_h_b": of_input[2], "r_h_b": of_state[2]}

    linear = bool(ctx.integer("linear_before_reset", 0))
    if not linear:
        _LOG.warning(
            "%s: the AutoTiler's GRU has no form with linear_before_reset 0: `gen` will refuse it",
            ctx.name,
        )

    def make(reverse: bool, kept: Sequence[bool]) -> Gru:
        return Gru(reverse, last_h=kept[0], linear_before_reset=linear)

    import_recurrent(ctx, Spelling(3, ("Sigmoid", "Tanh"), Gru.states, unpack, make))
