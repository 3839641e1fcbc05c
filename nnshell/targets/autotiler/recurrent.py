"""Generator calls of recurrent layers: one call runs all steps of a sequence.

A weight file holds, for each state, the weights of the state and then those of the input. The state
is an argument that the kernel reads and writes: allocated by the graph and set to zero when
``Reset`` is not 0, or an input of the graph that the application keeps from run to run. After a run
it holds the last state, so a graph output that shows the last state has no argument of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.graph import Node, Ref
from nnshell.numeric.fixed_point import Multiplier
from nnshell.numeric.kernels.recurrent import GATE_BITS, RecurrentKernel, sixth
from nnshell.ops.families.recurrent import Recurrent
from nnshell.ops.gru import Gru
from nnshell.support.errors import GraphError
from nnshell.targets.autotiler.context import Context
from nnshell.targets.autotiler.plan import Binding, Call, Kernel, Variable
from nnshell.targets.autotiler.unit import Unit, constant_operand

BIAS_BYTES, SCALE_BYTES = 4, 1
NOTHING = Binding("", form="none")

# Operands by gate, in the order of the generators: weights of the state, of the input, then biases.
_GATES = {
    "rnn": (("r_2_i_w", "i_2_i_w", ("i_b",)),),
    "gru": (
        ("r_2_r_w", "w_2_r_w", ("r_b",)),
        ("r_2_z_w", "w_2_z_w", ("z_b",)),
        ("r_2_h_w", "w_2_h_w", ("w_h_b", "r_h_b")),
    ),
    "lstm": tuple((f"r_2_{g}_w", f"i_2_{g}_w", (f"{g}_b",)) for g in "fico"),
}
_INTERNAL = {"rnn": 2, "gru": 2, "lstm": 4}  # arguments for states between parts of a sequence


def recurrent(context: Context, unit: Unit) -> Kernel:
    """RNN, GRU or LSTM over all steps."""
    op = unit.main.op
    assert isinstance(op, Recurrent)
    if isinstance(op, Gru) and not op.linear_before_reset:
        raise GraphError(
            "the AutoTiler's GRU resets after the product with the state, not before it",
            where=f"node {unit.node.name}",
            hint="export it with linear_before_reset (PyTorch does), or run it with --engine int8",
        )
    steps, width = unit.graph.input_types(unit.node)[0].shape
    size = unit.node.type.shape[-1]
    arguments = (BIAS_BYTES, SCALE_BYTES, steps, steps, steps, size, width, 0, int(op.reverse))
    kernel: RecurrentKernel = unit.integers.kernel
    call = Call(
        f"{op.onnx_op}_Stack_SQ8", arguments, controls=tuple(_controls(context, unit, kernel))
    )
    infos = context.made(unit, "Infos", _infos(op.kind, kernel), "int8")
    states = _states(context, unit, op)
    reset = Binding("", form="immediate" if states[0].variable in _inputs(context) else "reset")
    bindings = (
        *states,
        *(NOTHING for _ in range(_INTERNAL[op.kind])),
        *context.reads(unit, 0),
        *_parameters(context, unit, op),
        context.writes(unit)[0],
        infos,
        reset,
    )
    return context.kernel(unit, call, bindings)


def _controls(context: Context, unit: Unit, kernel: RecurrentKernel) -> list[tuple[str, int]]:
    """The generators take hard functions and one scale unless they are told otherwise."""
    own = ("RNN_USE_HARDACT", "RNN_SAME_INOUT_SCALE")
    others = [entry for entry in context.controls(unit.node).items() if entry[0] not in own]
    flags = zip(own, (kernel.hard, kernel.one_scale), strict=True)
    return [*others, *((name, 0) for name, on in flags if not on)]


# -- operands ----------------------------------------------------------------------------------


def _parameters(context: Context, unit: Unit, op: Recurrent) -> list[Binding]:
    """Weights of each gate with its biases; the file of the state's weights holds both."""
    bindings: list[Binding] = []
    for of_state, of_input, biases in _GATES[op.kind]:
        parts = [_constant(unit, op, slot) for slot in (of_state, of_input)]
        node = unit.node.inputs[_place(op, of_state)].node
        context.contents[node] = np.hstack(parts)
        bindings += context.reads(unit, *(_place(op, slot) for slot in (of_state, *biases)))
    return bindings


def _place(op: Recurrent, slot: str) -> int:
    return 1 + op.slots.index(slot)


def _constant(unit: Unit, op: Recurrent, slot: str) -> NDArray[np.generic]:
    value = constant_operand(unit, _place(op, slot))
    assert value is not None, f"{slot} of {unit.node.name} is no constant"
    return value


def _states(context: Context, unit: Unit, op: Recurrent) -> list[Binding]:
    """The states in the generators' order, the cell first; final states are in the same place."""
    bindings = [_state(context, unit, op, slot) for slot in reversed(op.states)]
    final = op.kept_states(op.states)
    for index, slot in enumerate(final, 1):
        ref = Ref(unit.node.name, index)
        _check_shown(context, unit.node, ref)
        place = list(reversed(op.states)).index(slot)
        context.shown_states[ref] = bindings[place].variable
    return bindings


def _state(context: Context, unit: Unit, op: Recurrent, slot: str) -> Binding:
    index = _place(op, slot)
    source = context.wiring.source(unit.node.inputs[index])
    variable = context.wiring.variables[source]
    producer = context.wiring.graph[source.node]
    if producer.op.role == "constant":
        if _constant(unit, op, slot).any():
            raise GraphError(
                f"its {slot} is not zero, and the AutoTiler's kernels start from zero",
                where=f"node {unit.node.name}",
                hint=f"`nodeoption {unit.node.name} RNN_STATES_AS_INPUTS 1` makes it an input",
            )
        context.states.append(Variable(variable, "int8", "state", producer.name))
    elif producer.op.role != "input":
        raise GraphError(
            f"its {slot} is computed by {producer.name}, and the kernel overwrites it",
            where=f"node {unit.node.name}",
            hint="make the state an input of the network",
        )
    return Binding(variable, form="state")


def _check_shown(context: Context, node: Node, ref: Ref) -> None:
    """A final state lies in the state's argument: nothing inside the graph can read it."""
    wiring = context.wiring
    for reader in wiring.graph:
        if any(wiring.source(edge) == ref for edge in reader.inputs):
            inside = reader.op.role != "output" and not wiring.is_hidden(reader)
            if inside:
                raise GraphError(
                    f"{reader.name} reads its last state, which the kernel leaves in its argument",
                    where=f"node {node.name}",
                    hint="export the model so that it reads the last step of the sequence",
                )


def _inputs(context: Context) -> set[str]:
    wiring = context.wiring
    return {wiring.variables[Ref(node.name)] for node in wiring.graph.inputs}


# -- infos -------------------------------------------------------------------------------------


def _infos(kind: str, kernel: RecurrentKernel) -> NDArray[np.int8]:
    """Multipliers and shifts, and 6, 3 and 1/6 with the fraction bits of the gates."""
    scalings = kernel.scalings
    if kind == "rnn":
        one = kernel.one[1]
        values = [
            *_pairs(scalings, "s_2_s"),
            -one,
            one,
            *_pairs(scalings, "i_2_a", "s_2_o"),
        ]
    elif kind == "gru":
        names = ("r_2_int", "i_2_r", "z_2_int", "i_2_z", "i_2_h", "h_2_int")
        values = [*_pairs(scalings, *names), *_constants(GATE_BITS), GATE_BITS]
    else:
        before = (*(f"r_2_{gate}" for gate in "fico"), "cell_in", "cell_out", "state_out")
        after = tuple(f"i_2_{gate}" for gate in "fico")
        values = [*_pairs(scalings, *before), *_constants(kernel.bits), kernel.bits]
        values += _pairs(scalings, *after)
    return np.array(values, np.int64).astype(np.int8)


def _pairs(scalings: Mapping[str, Multiplier], *names: str) -> list[int]:
    return [
        int(part[0]) for name in names for part in (scalings[name].multiplier, scalings[name].shift)
    ]


def _constants(bits: int) -> list[int]:
    """6, 3 and 1/6, low and high byte."""
    values: Sequence[int] = (6 << bits, 3 << bits, sixth(bits))
    return [byte for value in values for byte in (value & 0xFF, value >> 8)]
