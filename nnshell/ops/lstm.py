"""Long short-term memory without peepholes or projection.

    i, f, o = sigmoid(W x + R h + b)    g = tanh(Wc x + Rc h + bc)
    c' = f * c + i * g                  h' = o * tanh(c')

In integers see ``numeric.kernels.recurrent``. The cell has the scale of its largest value; output
and state share one, that of the output's range or of whoever reads it. Where the scales of input
and output are within 10 % and those of each gate's two matrices within 20 %, or the option says
so, each such pair has the larger of the two and the input's products need no scaling.

    i_2_g = (sWg s_in) / (sRg s_h)    r_2_g = sRg s_h / 2^-q        q = 12, or fewer in hard form
    cell_in = s_c 2^-15 / 2^-12    cell_out = 2^-12 / s_c    state_out = 2^-15 / s_h
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.operator import Example, IntArray, Types, register
from nnshell.ir.records import Answer, RecordQuestion
from nnshell.ir.requests import QuantizeRequest
from nnshell.numeric.fixed_point import INT32_LIMITS, derive_multiplier
from nnshell.numeric.kernels.recurrent import (
    GATE_BITS,
    TABLE_BITS,
    RecurrentKernel,
    Step,
    lstm_step,
)
from nnshell.ops.families.recurrent import Inside, Recurrent, example_of
from nnshell.ops.families.recurrent_import import Array, Slots, Spelling, import_recurrent
from nnshell.ops.families.recurrent_rules import Operands
from nnshell.reading.registry import imports

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext

_LOG = logging.getLogger(__name__)

CELL = "range_cell"  # what statistics call the range of the cell, all steps together
_GATES = "ifco"
_SAME_ENDS = 0.1  # part by which input and output scale may differ to be made one
_SAME_WEIGHTS = 0.2
_MOST_HARD_BITS = 10
_LARGEST = 127
_SATURATED = 4.0  # beyond it tanh is 1, limited or not
_OPEN = 100.0  # the argument of a gate that lets everything pass
_ROUNDING = 1e-12  # of a cell's reach that was kept as a scale


@register
@dataclass(frozen=True)
class Lstm(Recurrent):
    """Long short-term memory"""

    kind: ClassVar[str] = "lstm"
    onnx_op: ClassVar[str] = "LSTM"
    slots: ClassVar[tuple[str, ...]] = (
        *("i_2_i_w", "i_2_f_w", "i_2_c_w", "i_2_o_w"),
        *("r_2_i_w", "r_2_f_w", "r_2_c_w", "r_2_o_w"),
        *("i_b", "f_b", "c_b", "o_b", "i_state", "c_state"),
    )
    input_weights: ClassVar[tuple[str, ...]] = ("i_2_i_w", "i_2_f_w", "i_2_c_w", "i_2_o_w")
    states: ClassVar[tuple[str, ...]] = ("i_state", "c_state")
    option_fields: ClassVar[Mapping[str, str]] = {
        **Recurrent.option_fields,
        "OUTPUT_C_STATE": "last_c",
        "LSTM_OUTPUT_C_STATE": "last_c",
        "QUANT_C_STATE_WITH_STAT": "measured_cell",
    }
    last_c: bool = False  # a further output, the cell after the last step
    cell_clip: float = 0.0  # of the cell, in units of it; 0 for none
    measured_cell: bool = False  # the cell's scale by what was seen, also where it is clipped

    def gates(self) -> tuple[tuple[str, str, str, str], ...]:
        return tuple((f"i_2_{g}_w", f"r_2_{g}_w", f"{g}_b", "") for g in "iofc")

    @property
    def _more_outputs(self) -> int:
        return int(self.last_h) + int(self.last_c)

    def kept_states(self, states: Sequence[Any]) -> list[Any]:
        flags = (self.last_h, self.last_c)
        return [state for state, kept in zip(states, flags, strict=True) if kept]

    def describe(self, inputs: Types, outputs: Types, body: Any = None) -> str:
        steps = inputs[0].shape[0]
        order = " Reversed " if self.reverse else " "
        return f"Number of cells: {steps}/{steps},{order} Cell {float(self.cell_clip)} Prj 0.0 tanh"

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        """ONNX's LSTM; step by step where the cell may reach its limit, which ONNX has not."""
        operands = dict(zip(("sequence", *self.slots), inputs, strict=True))
        steps, size = types[0].shape[0], types[1].shape[0]
        if not self._may_clip(build, operands, steps):
            return super().to_onnx(build, inputs, types, outputs)
        written = StepByStep.of(build, operands, steps, size, self)
        sequence = written.joined(written.states, stacked=self.stacked)
        last = {"h": written.states, "c": written.cells}
        final = 0 if self.reverse else steps - 1
        shown = self.kept_states(["h", "c"])
        axis = build.constant(np.array([1], np.int64))
        return (sequence, *(build.node("Unsqueeze", [last[n][final], axis]) for n in shown))

    def _may_clip(self, build: ForeignGraph, operands: Mapping[str, str], steps: int) -> bool:
        """A step adds at most 1 to the size of a cell."""
        if not self.cell_clip:
            return False
        before = build.constants.get(operands["c_state"])
        return before is None or float(np.abs(before).max()) + steps > self.cell_clip

    def _gate_ranges(self) -> tuple[str, ...]:
        ends = ("_i", "_r", "")
        return (CELL, *(f"range_{gate}_gate{end}" for gate in _GATES for end in ends))

    def gate_tensors(self, inside: Inside) -> dict[str, str]:
        results = {}
        for gate in _GATES:
            given = inside.of_input(f"i_2_{gate}_w")
            kept = inside.of_state(f"r_2_{gate}_w")
            results[f"range_{gate}_gate_i"] = given
            results[f"range_{gate}_gate_r"] = kept
            results[f"range_{gate}_gate"] = inside.total(given, kept, inside.bias(f"{gate}_b"))
        arguments = [results[f"range_{gate}_gate"] for gate in "ifc"]
        return {CELL: self._cells(inside, arguments), **results}

    def _cells(self, inside: Inside, arguments: Sequence[str]) -> str:
        """The cell after every step: what an LSTM gives whose gates are known already.

        Its weights pass the arguments of i, f and c through, its output gate is open and its
        output the cell itself.
        """
        build = inside.build
        size = build.constants[inside.operands["i_b"]].shape[0]
        if self._may_clip(build, inside.operands, inside.steps):
            written = StepByStep.of(build, inside.operands, inside.steps, size, self)
            return written.joined(written.cells, stacked=False)
        parts = build.node("Concat", list(arguments), {"axis": 2})
        sequence = build.node("Transpose", [parts], {"perm": [1, 0, 2]})
        weights = np.zeros((1, 4 * size, 3 * size), np.float32)
        for row, column in ((0, 0), (2, 1), (3, 2)):  # i, o, f, c of i, f, c
            rows, columns = (slice(n * size, (n + 1) * size) for n in (row, column))
            weights[0, rows, columns] = np.eye(size, dtype=np.float32)
        biases = np.zeros((1, 8 * size), np.float32)
        biases[0, size : 2 * size] = _OPEN
        recurrent = np.zeros((1, 4 * size, size), np.float32)
        cell = self.expanded(build, inside.operands, "c_state", size)
        none = build.node("Sub", [cell, cell])
        names = [build.constant(value) for value in (weights, recurrent, biases)]
        attributes = {
            "hidden_size": size,
            "direction": "reverse" if self.reverse else "forward",
            "activations": ["Sigmoid", "Tanh", "Affine"],
            "activation_alpha": [1.0],
            "activation_beta": [0.0],
        }
        cells = build.multi("LSTM", [sequence, *names, "", none, cell], 3, attributes)
        return cells[0]

    def decide(self, question: RecordQuestion) -> Answer | None:
        operands = Operands.of(question, self.slots)
        if operands is None:
            return None
        if question.options.kernel.unit_lstm_output:
            operands.set_output(1 / _LARGEST)
        wish = question.wish
        if wish is not None:
            if wish.asymmetric or wish.zero_point or wish.dtype != "int8":
                return None
            operands.output = wish.copy()
        if self.same_scale or self._alike(operands):
            self._make_one(operands)
        state = operands.output.params.first_scale
        for gate in _GATES:
            operands.set_bias(f"{gate}_b", operands.scale(f"r_2_{gate}_w") * state)
        operands.set_state("i_state", state)
        operands.set_state("c_state", self._cell_reach(question) / _LARGEST)
        return operands.answer(self.kept_states(self.states))

    def _alike(self, operands: Operands) -> bool:
        given, made = operands.data.params.first_scale, operands.output.params.first_scale
        return abs(1 - given / made) < _SAME_ENDS and all(
            abs(1 - operands.scale(f"i_2_{g}_w") / operands.scale(f"r_2_{g}_w")) < _SAME_WEIGHTS
            for g in _GATES
        )

    def _make_one(self, operands: Operands) -> None:
        scale = max(operands.data.params.first_scale, operands.output.params.first_scale)
        operands.set_data(scale)
        if operands.output.params.first_scale != scale:
            operands.set_output(scale)
        for gate in _GATES:
            operands.merge(f"i_2_{gate}_w", f"r_2_{gate}_w")

    def _cell_reach(self, question: RecordQuestion) -> float:
        """The largest size of a cell: what was seen, or what it is clipped to."""
        if self.cell_clip and not self.measured_cell:
            return self.cell_clip
        seen = question.seen.inside(CELL)
        return max(abs(seen.minimum), abs(seen.maximum)) or 1.0

    def kernel(self, request: QuantizeRequest) -> RecurrentKernel:
        records = {slot: request.record(1 + i) for i, slot in enumerate(self.slots)}
        given, state = request.record(0).first_scale, records["i_state"].first_scale
        cell = records["c_state"].first_scale
        if 0 < self.cell_clip < _SATURATED:
            _LOG.warning(
                "%s: the AutoTiler's LSTM limits its cell to %g only after it was used: output "
                "values differ from the float network's where the limit is reached",
                request.name,
                self.cell_clip,
            )
        bits = self._hard_bits(cell * _LARGEST) if self.hard else GATE_BITS
        scales = {}
        for gate in _GATES:
            weights = records[f"i_2_{gate}_w"].first_scale
            recurrent = records[f"r_2_{gate}_w"].first_scale
            scales[f"i_2_{gate}"] = (weights * given) / (recurrent * state)
            scales[f"r_2_{gate}"] = recurrent * state / 2.0**-bits
        if self.hard:
            scales["cell_in"] = cell * 2.0**-bits / 2.0 ** (-2 * bits)
            scales["cell_out"] = 2.0 ** (-2 * bits) / cell
            scales["state_out"] = 2.0 ** (-3 * bits) / state
        else:
            scales["cell_in"] = cell * 2.0**-TABLE_BITS / 2.0**-GATE_BITS
            scales["cell_out"] = 2.0**-GATE_BITS / cell
            scales["state_out"] = 2.0**-TABLE_BITS / state
        scalings = {name: derive_multiplier(scale) for name, scale in scales.items()}
        if self.hard and int(scalings["state_out"].multiplier[0]) << 3 * bits > INT32_LIMITS[1]:
            _LOG.warning(
                "%s: with hard functions the AutoTiler's LSTM overflows near the ends of its "
                "output's range: large values change sign",
                request.name,
            )
        return RecurrentKernel(scalings, self.hard, bits)

    @staticmethod
    def _hard_bits(reach: float) -> int:
        """Fraction bits that leave room for the cell in 16 bits, at most 10."""
        whole = math.floor(reach * (1 + _ROUNDING))
        needed = 1 if whole == 0 else math.floor(math.log2(whole)) + 2
        return min(16 - needed, _MOST_HARD_BITS)

    def step(self, weights: Mapping[str, IntArray], kernel: RecurrentKernel) -> Step:
        return lstm_step(weights, kernel)

    @classmethod
    def examples(cls) -> list[Example]:
        both = replace(cls(), last_h=True, last_c=True)
        return [*super().examples(), example_of(both, 4, 3, 4, "state and cell")]


@dataclass(frozen=True, slots=True, eq=False)
class StepByStep:
    """An LSTM as ONNX nodes of its own for each step; tensors (batch, S) in order of time."""

    build: ForeignGraph
    states: tuple[str, ...]
    cells: tuple[str, ...]

    @classmethod
    def of(
        cls, build: ForeignGraph, operands: Mapping[str, str], steps: int, size: int, op: Lstm
    ) -> StepByStep:
        """All steps, the cell limited to +-``op.cell_clip`` before it is used."""
        limit = build.constant(np.array([op.cell_clip], np.float32))
        lowest = build.constant(np.array([-op.cell_clip], np.float32))
        axis = build.constant(np.array([1], np.int64))
        h = op.expanded(build, operands, "i_state", size)
        c = op.expanded(build, operands, "c_state", size)
        flat = build.constant(np.array([0], np.int64))
        h, c = (build.node("Squeeze", [state, flat]) for state in (h, c))
        states, cells = [""] * steps, [""] * steps
        for number in range(steps - 1, -1, -1) if op.reverse else range(steps):
            place = build.constant(np.array([number], np.int64))
            x = build.node("Gather", [operands["sequence"], place], {"axis": 1})
            x = build.node("Squeeze", [x, axis])
            gates = {g: cls._argument(build, operands, g, x, h) for g in _GATES}
            i, f, o = (build.node("Sigmoid", [gates[g]]) for g in "ifo")
            kept = build.node("Mul", [f, c])
            added = build.node("Mul", [i, build.node("Tanh", [gates["c"]])])
            above = build.node("Max", [build.node("Add", [kept, added]), lowest])
            c = build.node("Min", [above, limit])
            h = build.node("Mul", [o, build.node("Tanh", [c])])
            states[number], cells[number] = h, c
        return cls(build, tuple(states), tuple(cells))

    @staticmethod
    def _argument(
        build: ForeignGraph, operands: Mapping[str, str], gate: str, x: str, h: str
    ) -> str:
        swapped = {"transB": 1}
        given = build.node("Gemm", [x, operands[f"i_2_{gate}_w"], operands[f"{gate}_b"]], swapped)
        return build.node("Gemm", [h, operands[f"r_2_{gate}_w"], given], swapped)

    def joined(self, tensors: Sequence[str], *, stacked: bool) -> str:
        """(batch, T, S) of all steps, with ``stacked`` (batch, 1, T, S)."""
        axis = self.build.constant(np.array([1], np.int64))
        parts = [self.build.node("Unsqueeze", [tensor, axis]) for tensor in tensors]
        whole = self.build.node("Concat", parts, {"axis": 1})
        return self.build.node("Unsqueeze", [whole, axis]) if stacked else whole


@imports("LSTM")
def import_lstm(ctx: ImportContext) -> None:
    """ONNX has the gates in the order i, o, f, c."""

    def unpack(weights: Array, recurrent: Array, biases: Array) -> Slots:
        slots: Slots = {}
        total = np.split(sum(np.split(biases, 2)), 4)
        parts = zip("iofc", np.split(weights, 4), np.split(recurrent, 4), total, strict=True)
        for gate, given, kept, bias in parts:
            slots |= {f"i_2_{gate}_w": given, f"r_2_{gate}_w": kept, f"{gate}_b": bias}
        return slots

    def make(reverse: bool, kept: Sequence[bool]) -> Lstm:
        return Lstm(reverse, last_h=kept[0], last_c=kept[1])

    import_recurrent(ctx, Spelling(4, ("Sigmoid", "Tanh", "Tanh"), Lstm.states, unpack, make))
