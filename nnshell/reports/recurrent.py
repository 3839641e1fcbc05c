"""Recurrent layers explained: the formulas of a step, and the gates of one in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.qparams import NodeQuantization
from nnshell.numeric.kernels.recurrent import RecurrentKernel, product
from nnshell.ops.families.recurrent import Recurrent

_MS = (
    "MS(v, g) = RS(v * m, n) with the multiplier and shift of g;  sigmoid, tanh: tables, Q12 to Q15"
)
_STEP = "at every step, from the state h that the step before has left:"
FORMULAS: Mapping[str, tuple[str, ...]] = {
    "rnn": (
        _STEP,
        "a  = MS(sum(Wq * Iq), i_2_a) + Bq + sum(Rq * Hq)       i_2_a ~ sI / sH",
        "Hq = clip(MS(tanh(MS(a, s_2_s)), s_2_o), {low}, {high})   s_2_s ~ sH * sW / 2^-12, "
        "s_2_o ~ 2^-15 / sO",
        _MS,
    ),
    "gru": (
        _STEP,
        "g  = RS(sigmoid(MS(MS(sum(Wq * Iq), i_2_g) + sum(Rq * Hq) + Bq, g_2_int)), 3)   g = z, r",
        "k  = RS(r * (sum(Rq * Hq) + Bq), 12) + MS(sum(Wq * Iq) + Bq, i_2_h)",
        "n  = RS(tanh(MS(k, h_2_int)), 3)",
        "Hq = clip(RS((4096 - z) * n + z * (Hq << 5), 17), {low}, {high})        sH = sO = 2^-7",
        "i_2_g ~ sW * sI / (sR * sH), g_2_int ~ sR * sH / 2^-12",
        _MS,
    ),
    "lstm": (
        _STEP,
        "a  = MS(MS(sum(Wq * Iq), i_2_g) + Bq + sum(Rq * Hq), r_2_g)               g = i, f, c, o",
        "s  = MS(Cq * sigmoid(af), cell_in) + RS(tanh(ac) * sigmoid(ai), 18)",
        "Cq = clip(MS(s, cell_out), {low}, {high})",
        "Hq = clip(MS((sigmoid(ao) * tanh(s)) >> 15, state_out), {low}, {high})    sH = sO",
        "i_2_g ~ sW * sI / (sR * sH), r_2_g ~ sR * sH / 2^-12",
        _MS,
    ),
}
_GATES = {
    "rnn": (("a", "i_2_i_w", "r_2_i_w", ("i_b",), "i_2_a", "s_2_s"),),
    "gru": tuple(
        (g, f"w_2_{g}_w", f"r_2_{g}_w", bias, f"i_2_{g}", f"{g}_2_int")
        for g, bias in (("z", ("z_b",)), ("r", ("r_b",)), ("h", ("w_h_b", "r_h_b")))
    ),
    "lstm": tuple(
        (g, f"i_2_{g}_w", f"r_2_{g}_w", (f"{g}_b",), f"i_2_{g}", f"r_2_{g}") for g in "ifco"
    ),
}


def step_lines(
    op: Recurrent,
    quantization: NodeQuantization,
    sequence: NDArray[Any],
    results: NDArray[Any],
    place: Sequence[int],
) -> list[str]:
    """What one state is made of at one step: the sums of each gate, and what they stand for.

    ``sequence`` (T, I) and ``results`` (T, S) are integers, ``place`` ends in step and state.
    """
    step, state = place[-2], place[-1]
    values = dict(zip(op.slots, quantization.constants[1:], strict=True))
    before = step + 1 if op.reverse else step - 1
    first = values[op.states[0]]
    inside = 0 <= before < len(results)
    h = results[before] if inside else (np.zeros_like(results[0]) if first is None else first)
    where = f"step {before}" if inside else "the initial state"
    lines = [f"  h    {where}: {', '.join(str(int(v)) for v in h[:8])}{' ...' * (len(h) > 8)}"]
    x = sequence[step][np.newaxis].astype(np.int64)
    kept = np.asarray(h, np.int64)[np.newaxis]
    for gate in _GATES[op.kind]:
        lines.append(_gate_line(gate, values, quantization, x, kept, state))
    return lines


def _gate_line(
    gate: tuple[str, str, str, tuple[str, ...], str, str],
    values: Mapping[str, Any],
    quantization: NodeQuantization,
    x: NDArray[np.int64],
    h: NDArray[np.int64],
    state: int,
) -> str:
    """The products of a gate, its biases, and the factors that bring them together."""
    name, weights, recurrent, biases, given_scale, inner = gate
    kernel: RecurrentKernel = quantization.kernel
    of_input = int(product(x, np.asarray(values[weights], np.int64))[0, state])
    of_state = int(product(h, np.asarray(values[recurrent], np.int64))[0, state])
    added = " ".join(f"{int(values[bias][state]):+,} ({bias})" for bias in biases)
    pairs = (kernel.scalings[key] for key in (given_scale, inner))
    factors = ", ".join(
        f"{key} {int(pair.multiplier[0])} >> {int(pair.shift[0])}"
        for key, pair in zip((given_scale, inner), pairs, strict=True)
    )
    return f"  {name:<4} W x = {of_input:,}, R h = {of_state:,}, bias {added}; {factors}"
