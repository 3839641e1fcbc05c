"""The integers of recurrent layers (RNN, GRU, LSTM): one step of each, and all steps.

Every operand has zero point 0. Sums are int32 and wrap around, MS is MULSCALE
(``fixed_point.scale_accumulator``), RS the rounding shift in int32. Sigmoid and tanh read the table
of ``numeric.lookup``: arguments Q12, limited to 18 bits, results Q15. The hard forms are pieces of
straight lines in the same fraction bits as their argument.

RNN     a = MS(W x, i_2_a) + b + R h;  h' = sat8(MS(tanh(MS(a, s_2_s)), s_2_o))
GRU     g = RS(sigmoid(MS(MS(Wg x, i_2_g) + Rg h + bg, g_2_int)), 3)       for g = z, r
        k = RS(r * (Rh h + r_h_b), 12) + MS(Wh x + w_h_b, i_2_h)           linear before reset
        k = RS(Rh (h * r), 12) + r_h_b + MS(Wh x + w_h_b, i_2_h)           otherwise
        n = RS(tanh(MS(k, h_2_int)), 3)
        h' = sat8(RS((4096 - z) * n + z * (h << 5), 17))
LSTM    ag = MS(MS(Wg x, i_2_g) + bg + Rg h, r_2_g)                        for g = i, f, c, o
        s = MS(c * sigmoid(af), cell_in) + RS(tanh(ac) * sigmoid(ai), 18)
        c' = sat8(MS(s, cell_out));  h' = sat8(MS((sigmoid(ao) * tanh(s)) >> 15, state_out))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nnshell.numeric.fixed_point import (
    IntArray,
    Multiplier,
    rounding_term,
    saturate,
    wrap_int32,
)
from nnshell.numeric.lookup import sigmoid_q15, tanh_q15

GATE_BITS = 12  # fraction bits of a gate's argument and of its value in a product
TABLE_BITS = 15  # fraction bits of what the tables give
_ARGUMENT_LIMITS = (-(1 << 17), (1 << 17) - 1)
_INT8 = (-128, 127)
_CELL_SHIFT = 2 * TABLE_BITS - GATE_BITS

Weights = Mapping[str, IntArray]  # by slot: matrices (states, inputs), biases (states,)


@dataclass(frozen=True, slots=True, eq=False)
class RecurrentKernel:
    """Multipliers of a recurrent layer by NNTool's name, and the fraction bits inside.

    ``one`` holds the integers of -1 and 1 in the state's scale, the limits of an RNN's hard tanh.
    """

    scalings: Mapping[str, Multiplier]
    hard: bool = False
    bits: int = GATE_BITS
    one: tuple[int, int] = _INT8

    @property
    def one_scale(self) -> bool:
        """Whether products of the input need no scaling to be added to those of the state."""
        ratios = [entry.scale for name, entry in self.scalings.items() if name.startswith("i_2_")]
        return all((ratio == 1).all() for ratio in ratios)

    def scale(self, values: IntArray, name: str) -> IntArray:
        """MULSCALE by the pair called ``name``."""
        return self.scalings[name].apply(values)


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """All steps: ``outputs`` (samples, steps, states), and the states after the last step."""

    outputs: IntArray
    states: tuple[IntArray, ...]


Step = Callable[[IntArray, tuple[IntArray, ...]], tuple[IntArray, ...]]


def run_steps(
    count: int, states: Sequence[IntArray], step: Step, at: Callable[[int], IntArray], reverse: bool
) -> Steps:
    """``step`` from the first to the last step, or from the last to the first; outputs in place.

    ``at`` gives what a step takes in; the first state is what it gives out.
    """
    order = range(count - 1, -1, -1) if reverse else range(count)
    now = tuple(states)
    results: list[IntArray] = [now[0]] * count
    for number in order:
        now = step(at(number), now)
        results[number] = now[0]
    return Steps(np.stack(results, axis=1), now)


def product(values: IntArray, weights: IntArray) -> IntArray:
    """int32 of ``values`` (..., inputs) times ``weights`` (states, inputs), in float64: exact."""
    sums = values.astype(np.float64) @ weights.astype(np.float64).T
    return wrap_int32(sums.astype(np.int64))


def shifted(values: IntArray, shift: int) -> IntArray:
    """RS in a 32-bit register: operand and rounding addition wrap around."""
    return wrap_int32(wrap_int32(values) + rounding_term(shift)) >> shift


def sigmoid(argument: IntArray, kernel: RecurrentKernel) -> IntArray:
    """Q15 of a Q12 argument, or hard: clip(x + 3, 0, 6) / 6 in the kernel's fraction bits."""
    if not kernel.hard:
        return sigmoid_q15(saturate(argument, _ARGUMENT_LIMITS))
    three = 3 << kernel.bits
    clipped = np.clip(wrap_int32(argument + three), 0, 2 * three)
    return shifted(clipped * sixth(kernel.bits), kernel.bits)


def tanh(argument: IntArray, kernel: RecurrentKernel) -> IntArray:
    """Q15 of a Q12 argument, or hard: clip(x, -1, 1) in the kernel's fraction bits."""
    if not kernel.hard:
        return tanh_q15(saturate(argument, _ARGUMENT_LIMITS))
    return hard_tanh(argument, kernel.bits)


def hard_tanh(argument: IntArray, bits: int) -> IntArray:
    """clip(x, -1, 1) of a number with ``bits`` fraction bits."""
    return saturate(argument, (-(1 << bits), 1 << bits))


def sixth(bits: int) -> int:
    """1/6 with ``bits`` fraction bits, rounded."""
    return ((1 << bits) + 3) // 6


def rnn_step(weights: Weights, kernel: RecurrentKernel) -> Step:
    """The step of an RNN; takes W x."""

    def step(x: IntArray, states: tuple[IntArray, ...]) -> tuple[IntArray, ...]:
        recurrent = product(states[0], weights["r_2_i_w"])
        total = wrap_int32(kernel.scale(x, "i_2_a") + weights["i_b"] + recurrent)
        argument = kernel.scale(total, "s_2_s")
        if kernel.hard:
            return (saturate(argument, kernel.one),)
        result = tanh_q15(saturate(argument, _ARGUMENT_LIMITS))
        return (saturate(kernel.scale(result, "s_2_o"), _INT8),)

    return step


def gru_step(weights: Weights, kernel: RecurrentKernel, linear_before_reset: bool) -> Step:
    """The step of a GRU; takes Wz x, Wr x and Wh x, one after the other."""
    narrow = 0 if kernel.hard else TABLE_BITS - GATE_BITS

    def gate(x: IntArray, h: IntArray, name: str) -> IntArray:
        scaled = kernel.scale(x, f"i_2_{name}")
        total = wrap_int32(scaled + product(h, weights[f"r_2_{name}_w"]) + weights[f"{name}_b"])
        return _narrowed(sigmoid(kernel.scale(total, f"{name}_2_int"), kernel), narrow)

    def step(x: IntArray, states: tuple[IntArray, ...]) -> tuple[IntArray, ...]:
        (h,) = states
        of_z, of_r, of_h = np.split(x, 3, axis=-1)
        z, r = gate(of_z, h, "z"), gate(of_r, h, "r")
        given = kernel.scale(wrap_int32(of_h + weights["w_h_b"]), "i_2_h")
        if linear_before_reset:
            inner = wrap_int32(product(h, weights["r_2_h_w"]) + weights["r_h_b"])
            total = shifted(r * inner, GATE_BITS) + given
        else:
            inner = product(h * r, weights["r_2_h_w"])
            total = shifted(inner, GATE_BITS) + weights["r_h_b"] + given
        n = _narrowed(tanh(kernel.scale(wrap_int32(total), "h_2_int"), kernel), narrow)
        mixed = ((1 << GATE_BITS) - z) * n + z * (h << 5)
        return (saturate(shifted(mixed, GATE_BITS + 5), _INT8),)

    return step


def _narrowed(values: IntArray, bits: int) -> IntArray:
    return shifted(values, bits) if bits else values


def lstm_step(weights: Weights, kernel: RecurrentKernel) -> Step:
    """The step of an LSTM; takes Wi x, Wf x, Wc x and Wo x; states are h and c."""

    def argument(x: IntArray, h: IntArray, name: str) -> IntArray:
        scaled = kernel.scale(x, f"i_2_{name}")
        total = scaled + weights[f"{name}_b"] + product(h, weights[f"r_2_{name}_w"])
        return kernel.scale(wrap_int32(total), f"r_2_{name}")

    def step(x: IntArray, states: tuple[IntArray, ...]) -> tuple[IntArray, ...]:
        h, c = states
        parts = zip(np.split(x, 4, axis=-1), "ifco", strict=True)
        i, f, g, o = (argument(part, h, name) for part, name in parts)
        i, f, o, g = (*(sigmoid(gate, kernel) for gate in (i, f, o)), tanh(g, kernel))
        kept = kernel.scale(wrap_int32(c * f), "cell_in")
        if kernel.hard:
            cell = wrap_int32(kept + wrap_int32(g * i))
            given = wrap_int32(o * hard_tanh(cell, 2 * kernel.bits))
        else:
            cell = wrap_int32(kept + shifted(g * i, _CELL_SHIFT))
            given = (o * tanh(cell, kernel)) >> TABLE_BITS
        h = saturate(kernel.scale(given, "state_out"), _INT8)
        return h, saturate(kernel.scale(cell, "cell_out"), _INT8)

    return step
