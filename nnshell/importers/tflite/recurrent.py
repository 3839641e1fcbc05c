"""TFLite's recurrent operators over a sequence: UNIDIRECTIONAL_SEQUENCE_LSTM and _RNN.

Inputs of the LSTM: sequence; weights of the input and of the state for i, f, c, o; peepholes (3);
biases of i, f, c, o; projection (2); the states h and c; norms (4). Of the RNN: sequence, weights,
recurrent weights, bias, state. Sequences are (batch, steps, inputs), or with TimeMajor (steps,
batch, inputs). States are variables of the file that start from zero. Constants are called
``SLOT_NODE``, as NNTool calls them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.importers.tflite.nodes import Step
from nnshell.ir.basic_operators import Unused
from nnshell.ir.graph import Graph, Node, Ref, numbered_name
from nnshell.ops.families.recurrent import Recurrent
from nnshell.ops.lstm import Lstm
from nnshell.ops.rnn import Rnn
from nnshell.reading.registry import Unsupported

_TANH = 4  # the schema's number of the fused activation
_ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")
_LSTM_INPUTS = {slot: index for index, slot in enumerate(Lstm.slots[:8], 1)}
_LSTM_INPUTS |= {f"{gate}_b": index for index, gate in enumerate("ifco", 12)}
_PEEPHOLES, _PROJECTION, _NORMS = (9, 10, 11), (16, 17), (20, 21, 22, 23)
_RNN_INPUTS = {"i_2_i_w": 1, "r_2_i_w": 2, "i_b": 3}


def sequence_lstm(step: Step) -> None:
    """UNIDIRECTIONAL_SEQUENCE_LSTM without peepholes, projection, norms or coupled gates."""
    for what, indexes in (
        ("peepholes", _PEEPHOLES),
        ("a projection", _PROJECTION),
        ("layer norms", _NORMS),
    ):
        if any(step.key(index) for index in indexes):
            raise Unsupported(f"it has {what}", accepted="an LSTM without")
    if not step.key(_LSTM_INPUTS["i_2_i_w"]):
        raise Unsupported("its input gate is that of the forget gate", accepted="four gates")
    clip = float(step.option("CellClip", 0.0))
    if not np.isfinite(clip) or clip < 0:
        step.refuse("CellClip", accepted="0 or more")
    if step.option("ProjClip", 0.0):
        step.refuse("ProjClip", accepted="0")
    op = Lstm(stacked=False, cell_clip=clip)
    _add(step, op, lambda slot: _LSTM_INPUTS.get(slot))


def sequence_rnn(step: Step) -> None:
    """UNIDIRECTIONAL_SEQUENCE_RNN."""
    _add(step, Rnn(stacked=False), lambda slot: _RNN_INPUTS.get(slot))


def _add(step: Step, op: Recurrent, place: Callable[[str], int | None]) -> None:
    """The node with its constants; ``place`` is the file's input of a slot, None of a state."""
    kind = int(step.option("FusedActivationFunction", 0))
    if kind != _TANH:
        name = _ACTIVATIONS[kind] if 0 <= kind < len(_ACTIVATIONS) else str(kind)
        raise Unsupported(f"FusedActivationFunction = {name}", accepted="TANH")
    value = step.value(0)
    if len(value.shape) != 3:
        raise Unsupported(f"its input has {len(value.shape)} axes", accepted="3")
    batch = 1 if step.option("TimeMajor", 0) else 0
    context = step.begin()
    lost = value.batch is None and context.batch_size == 1 and value.shape[batch] == 1
    shape = tuple(extent for axis, extent in enumerate(value.shape) if axis != batch)
    sequence = (
        context.reshaped(value.ref, shape, "_remove_batch")
        if lost
        else context.at_batch(value, batch)
    )
    size = len(step.constant(place(op.input_weights[0]) or 1))
    context = step.begin()
    edges = [sequence]
    for slot in op.slots:
        index = place(slot)
        array: NDArray[Any] = np.zeros(size, np.float32)
        if index is not None and (slot.endswith("_w") or step.key(index)):
            array = step.constant(index)
        context = step.begin()
        edges.append(context.add_constant(f"{slot}_{step.name}", array))
    context.produce(context.add(op, edges), batch)


def name_unread(graph: Graph, parts: list[Ref]) -> None:
    """Sinks for the parts of a sequence that nothing reads: ``unused``, ``unused_0`` ..."""
    for ref in parts:
        kind = graph.type_of(ref)
        graph.add(Node(numbered_name(graph, "unused"), Unused(), [ref], (kind,)))


def holds_steps(graph: Graph, ref: Ref) -> bool:
    """Whether a tensor is what a recurrent layer gives, step after step."""
    node = graph[ref.node]
    while node.op.reshapes or node.op.permutation is not None:
        node = graph.producer(node)
    return node.op.sequence_axis is not None
