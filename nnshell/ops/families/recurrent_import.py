"""How ONNX files spell recurrent layers: RNN, GRU and LSTM of opset 7 and later.

    X (T, batch, I), W (D, gates * S, I), R (D, gates * S, S), B (D, 2 * gates * S),
    sequence_lens (batch), initial_h, initial_c (D, batch, S)
    Y (T, D, batch, S), Y_h, Y_c (D, batch, S)

With ``layout`` 1 the batch axis comes first everywhere. A layer in both directions becomes two
nodes, ``NODE`` and ``NODE_rev``, that a concat ``NODE_bidir`` joins; a transpose ``NODE_trans``
brings Y's axes into the file's order. Constants are called ``NODE_SLOT``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.graph import Ref
from nnshell.ops.concat import Concat
from nnshell.ops.families.recurrent import Recurrent
from nnshell.ops.pad import Pad
from nnshell.ops.split import Split
from nnshell.ops.strided_slice import StridedSlice
from nnshell.ops.transpose import Transpose
from nnshell.reading.registry import Unsupported, Value

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext

_X, _W, _R, _B, _LENGTHS, _H, _C, _PEEPHOLES = range(8)
_Y, _Y_H, _Y_C = range(3)
_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}

Array = NDArray[Any]
Slots = dict[str, Array]
# constants by slot of one direction, of W, R, B (each without its axis of directions)
Unpack = Callable[[NDArray[Any], NDArray[Any], NDArray[Any]], Slots]
# the operator of a direction: reverse, and which final states somebody reads
Make = Callable[[bool, Sequence[bool]], Recurrent]


@dataclass(frozen=True, slots=True, eq=False)
class Spelling:
    """What is particular to one operator: gates in ONNX's order, activations, slots of states."""

    gates: int
    activations: tuple[str, ...]
    states: tuple[str, ...]
    unpack: Unpack
    make: Make


def import_recurrent(ctx: ImportContext, spelling: Spelling) -> None:
    """Import the node; Unsupported for what no kernel computes and for what varies at run time."""
    reverse = _DIRECTIONS[ctx.text("direction", "forward", tuple(_DIRECTIONS))]
    _check_attributes(ctx, spelling, len(reverse))
    layout = ctx.integer("layout", 0)
    if layout not in (0, 1):
        ctx.refuse("layout", accepted="0, 1")
    sequence, steps, length = _sequence(ctx, layout)
    given = [_initial(ctx, number, layout) for number in range(len(spelling.states))]
    reads = [_is_read(ctx, output) for output in (_Y, _Y_H, _Y_C)]
    kept = reads[1:] if reads[0] else [False, reads[2]]  # a last h alone is cut out of Y
    directions = [
        _direction(ctx, spelling, sequence, given, kept, number, backwards)
        for number, backwards in enumerate(reverse)
    ]
    if reads[0]:
        _produce_sequence(ctx, directions, steps, length, layout)
    if reads[1] and not reads[0]:
        _produce_state(ctx, [_last(ctx, d, length) for d in directions], _Y_H, layout)
    elif reads[1]:
        _produce_state(ctx, [d.states["h"] for d in directions], _Y_H, layout)
    if reads[2]:
        _produce_state(ctx, [d.states["c"] for d in directions], _Y_C, layout)


def _is_read(ctx: ImportContext, output: int) -> bool:
    names = ctx.node.outputs
    return output < len(names) and names[output] != "" and ctx.uses.get(names[output], 0) > 0


# -- what is refused ---------------------------------------------------------------------------


def _check_attributes(ctx: ImportContext, spelling: Spelling, directions: int) -> None:
    accepted = spelling.activations * directions
    names = ctx.node.attributes.get("activations", accepted)
    words = tuple(map(str, names)) if isinstance(names, tuple) else (str(names),)
    if [word.lower() for word in words] != [word.lower() for word in accepted]:
        raise Unsupported(
            f"activations = {', '.join(words)}",
            accepted=", ".join(accepted),
            hint="train the model with these activations: the chip's kernels have no others",
        )
    if ctx.real("clip", 0.0):
        ctx.refuse("clip", accepted="none", hint="the chip's kernels do not limit their gates")
    if ctx.integer("input_forget", 0):
        ctx.refuse("input_forget", accepted="0")
    if ctx.has(_PEEPHOLES):
        peepholes = ctx.tensor(_PEEPHOLES)
        if peepholes is not None and peepholes.any():
            raise Unsupported("it has peepholes", accepted="an LSTM without them")


# -- the sequence ------------------------------------------------------------------------------


def _sequence(ctx: ImportContext, layout: int) -> tuple[Ref, int, int]:
    """X as (T, I), T, and how many of its steps count."""
    value = ctx.value(_X)
    if len(value.shape) != 3:
        raise Unsupported(f"its input has {len(value.shape)} axes", accepted="3")
    batch = 0 if layout else 1
    if batch and value.batch == 0 and ctx.any_batch:
        raise Unsupported(
            "its first axis, the steps, is left open by the file",
            accepted="a known number of steps",
            hint="give the shapes of the inputs with --input_shapes",
        )
    ref = _without_batch(ctx, value, batch, "_remove_batch")
    steps, width = ctx.graph.type_of(ref).shape
    length = _length(ctx, steps)
    if length < steps:
        ref = ctx.add(StridedSlice((0, 0), (length, width), (1, 1)), [ref], "_steps")
    return ref, steps, length


def _without_batch(ctx: ImportContext, value: Value, batch: int, suffix: str) -> Ref:
    """The tensor whose axis ``batch`` is the batch axis, or a known 1."""
    lost = value.batch is None and ctx.batch_size == 1 and value.shape[batch] == 1
    if not lost:
        return ctx.at_batch(value, batch)
    shape = tuple(extent for axis, extent in enumerate(value.shape) if axis != batch)
    return ctx.reshaped(value.ref, shape, suffix)


def _length(ctx: ImportContext, steps: int) -> int:
    """The number of steps that ``sequence_lens`` gives, the same for all samples."""
    if not ctx.has(_LENGTHS):
        return steps
    lengths = ctx.integers_in(_LENGTHS) or ()
    if len(set(lengths)) != 1 or not 0 < lengths[0] <= steps:
        raise Unsupported(
            f"sequence_lens = {list(lengths)}", accepted=f"one length of 1 to {steps} for all"
        )
    return lengths[0]


# -- one direction -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Direction:
    """The node of a direction, and its final states that are outputs, by "h" and "c"."""

    node: Ref
    reverse: bool
    states: Mapping[str, Ref]


def _direction(
    ctx: ImportContext,
    spelling: Spelling,
    sequence: Ref,
    given: Sequence[Value | NDArray[Any] | None],
    kept: Sequence[bool],
    number: int,
    reverse: bool,
) -> _Direction:
    suffix = "_rev" if number else ""
    slots = _constants(ctx, spelling, sequence, number)
    op = spelling.make(reverse, kept)
    edges = [sequence]
    size = slots[op.input_weights[0]].shape[0]
    for slot in op.slots:
        if slot not in spelling.states:
            edges.append(ctx.add_constant(f"{ctx.name}{suffix}_{slot}", slots[slot]))
            continue
        state = given[spelling.states.index(slot)]
        if isinstance(state, Value):
            edges.append(_computed_state(ctx, state, slot, number))
        else:
            real = np.zeros(size, np.float32) if state is None else state[number]
            if real.shape != (size,):
                raise Unsupported(f"its {slot} has {real.size} numbers", accepted=str(size))
            edges.append(ctx.add_constant(f"{ctx.name}{suffix}_{slot}", real))
    node = ctx.add(op, edges, suffix)
    names = [name for name, flag in zip("hc", kept, strict=False) if flag]
    states = {name: Ref(node.node, 1 + place) for place, name in enumerate(names)}
    return _Direction(node, reverse, states)


def _constants(ctx: ImportContext, spelling: Spelling, sequence: Ref, number: int) -> Slots:
    """Weights and biases of a direction, by slot."""
    weights, recurrent = ctx.weights(_W), ctx.weights(_R)
    width = ctx.graph.type_of(sequence).shape[1]
    size = ctx.integer("hidden_size", recurrent.shape[-1])
    rows = spelling.gates * size
    count = weights.shape[0] if weights.ndim else 0
    for name, array, shape in (
        ("W", weights, (count, rows, width)),
        ("R", recurrent, (count, rows, size)),
    ):
        if array.shape != shape or number >= count:
            raise Unsupported(f"{name} has shape {list(array.shape)}", accepted=str(list(shape)))
    biases = ctx.weights(_B) if ctx.has(_B) else np.zeros((count, 2 * rows), np.float32)
    if biases.shape != (count, 2 * rows):
        raise Unsupported(f"B has shape {list(biases.shape)}", accepted=str([count, 2 * rows]))
    return spelling.unpack(weights[number], recurrent[number], biases[number])


def _initial(ctx: ImportContext, number: int, layout: int) -> Value | NDArray[Any] | None:
    """A state before the first step: constants (D, S), something computed, or nothing (zeros)."""
    index = _H + number
    if not ctx.has(index):
        return None
    if not ctx.is_constant(index):
        return ctx.value(index)
    array = ctx.weights(index)
    if array.ndim != 3:
        raise Unsupported(f"input {index} has shape {list(array.shape)}", accepted="3 axes")
    samples = array if layout else array.transpose(1, 0, 2)
    if (samples != samples[:1]).any():
        raise Unsupported(f"input {index} differs between samples", accepted="one state for all")
    first: Array = samples[0]
    return first


def _computed_state(ctx: ImportContext, value: Value, slot: str, number: int) -> Ref:
    """The part of a computed state that belongs to a direction, as a vector."""
    layout = ctx.integer("layout", 0)
    if len(value.shape) != 3:
        raise Unsupported(f"its {slot} has {len(value.shape)} axes", accepted="3")
    ref = _without_batch(ctx, value, 0 if layout else 1, f"_{slot}_batch")
    count, size = ctx.graph.type_of(ref).shape
    if count > 1:
        name = f"{ctx.name}_{slot}_split"
        parts = Split(0, (1,) * count)
        split = Ref(name) if name in ctx.graph else ctx.add(parts, [ref], f"_{slot}_split")
        ref = Ref(split.node, number)
    return ctx.reshaped(ref, (size,), f"_{slot}_reshape")


# -- outputs -----------------------------------------------------------------------------------


def _produce_sequence(
    ctx: ImportContext, directions: Sequence[_Direction], steps: int, length: int, layout: int
) -> None:
    """Y: the steps of all directions, zeros after the last that counts."""
    nodes = [direction.node for direction in directions]
    joined = nodes[0] if len(nodes) == 1 else ctx.add(Concat(0), nodes, "_bidir")
    turned = ctx.add(Transpose((1, 0, 2)), [joined], "_trans")
    if length < steps:
        turned = ctx.add(Pad(((0, steps - length), (0, 0), (0, 0))), [turned], "_rest")
    ctx.produce(turned, 0 if layout else 2, output=_Y)


def _last(ctx: ImportContext, direction: _Direction, length: int) -> Ref:
    """The state after the last step that a direction computes, cut out of all of them."""
    size = ctx.graph.type_of(direction.node).shape[-1]
    place = 0 if direction.reverse else length - 1
    limits = (0, place, 0), (1, place + 1, size), (1, 1, 1)
    cut = ctx.add(StridedSlice(*limits), [direction.node], "_last")
    return ctx.reshaped(cut, (1, size), "_state")


def _produce_state(ctx: ImportContext, states: Sequence[Ref], output: int, layout: int) -> None:
    """Y_h or Y_c, of all directions."""
    name = "_h" if output == _Y_H else "_c"
    joined = states[0] if len(states) == 1 else ctx.add(Concat(0), list(states), f"_bidir{name}")
    ctx.produce(joined, 0 if layout else 1, output=output)
