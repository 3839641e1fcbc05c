"""Running a network on a stream: recurrent layers go on from the state that the sample before left.

The graph's twin takes the states as inputs and gives them as outputs. They are carried over as real
numbers, which stand for the integers exactly: a state is read in the scale that it was written in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.engines import SIMULATION, EngineName, make_engine
from nnshell.ir.flat import Tensor
from nnshell.ir.graph import Graph, Node
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ops.families.recurrent import STATES_AS_INPUTS, Recurrent
from nnshell.passes.base import Notes
from nnshell.passes.recurrent import SetRecurrentOption
from nnshell.support.errors import UsageError


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """A state of the twin: the input that takes it, the tensor that it is after a sample."""

    input: str
    key: str
    first: NDArray[np.float32]
    record: QParams | None  # None in a float graph


class StreamEngine:
    """An engine that keeps the states of recurrent layers from sample to sample, across batches.

    Arguments are those of ``make_engine``. Raises UsageError for a graph without such layers, for
    one that reads a sequence backwards, and where a state is an input already.
    """

    def __init__(
        self,
        graph: Graph,
        name: EngineName,
        *,
        keys: Sequence[str],
        target: str = SIMULATION,
    ) -> None:
        self._keys = list(keys)
        self._inputs = len(graph.inputs)
        twin, self._states = _with_states(graph)
        wanted = [*dict.fromkeys([*keys, *(state.key for state in self._states)])]
        self._engine = make_engine(twin, name, keys=wanted, target=target)
        self._now = [state.first[np.newaxis] for state in self._states]
        self._integers = name not in ("float", "simulated")

    @property
    def implementation(self) -> str:
        """Which of the exact engines int8 is, as that engine says it."""
        return str(getattr(self._engine, "implementation", ""))

    def run(self, batch: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Arrays by key, samples first, of one array for each input of the original graph."""
        parts = [self._step([array[i : i + 1] for array in batch]) for i in range(len(batch[0]))]
        return {key: np.concatenate([part[key] for part in parts]) for key in self._keys}

    def _step(self, sample: Sequence[NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        results = self._engine.run([*sample, *self._now])
        self._now = [self._real(state, results[state.key]) for state in self._states]
        return results

    def _real(self, state: State, values: NDArray[Any]) -> NDArray[np.float32]:
        if self._integers and state.record is not None:
            values = state.record.dequantize(values)
        return values.reshape(1, -1).astype(np.float32)


def _with_states(graph: Graph) -> tuple[Graph, list[State]]:
    """The graph with states as inputs and outputs, and these, in the order of its inputs."""
    twin = graph.copy()
    layers = [node for node in twin.steps() if isinstance(node.op, Recurrent)]
    if not layers:
        raise UsageError("the network has no recurrent layer, so a stream changes nothing")
    states: list[State] = []
    for name in [node.name for node in layers]:
        states += _state_inputs(twin, name)
    return twin, states


def _state_inputs(twin: Graph, name: str) -> list[State]:
    """Make the states of one layer inputs and outputs of the twin, with their records."""
    node = twin[name]
    op, quantization = node.op, node.quantization
    assert isinstance(op, Recurrent)
    if op.reverse:
        raise UsageError(
            "it reads its sequence backwards: a stream's end is not known before it is there",
            where=f"node {name}",
        )
    firsts = dict(_constants(twin, node, op))
    fields = [field for field in ("last_h", "last_c") if hasattr(op, field)]
    options = {field: key for key, field in op.option_fields.items() if field in fields}
    steps = [SetRecurrentOption(name, STATES_AS_INPUTS)]
    steps += [SetRecurrentOption(name, options[field]) for field in fields]
    for step in steps:  # not as passes: records stay
        step.rewrite(twin, Notes(step.name))
    node = twin[name]
    records = _records(op, quantization)
    _requantize(twin, node, op, quantization, records)
    return [
        State(
            twin.producer(node, 1 + op.slots.index(slot)).name,
            Tensor(name, 1 + place).key,
            firsts[slot],
            records.get(slot),
        )
        for place, slot in enumerate(op.states)
    ]


def _constants(twin: Graph, node: Node, op: Recurrent) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for slot in op.states:
        value = twin.constant(node.inputs[1 + op.slots.index(slot)])
        if value is None:
            raise UsageError(
                "its state is an input of the network, whose values the samples give",
                where=f"node {node.name}",
                hint=f"`nodeoption {node.name} {STATES_AS_INPUTS} 0` makes it one that is kept",
            )
        yield slot, value.astype(np.float32)


def _records(op: Recurrent, quantization: NodeQuantization | None) -> dict[str, QParams]:
    if quantization is None:
        return {}
    return {slot: quantization.inputs[1 + op.slots.index(slot)] for slot in op.states}


def _requantize(
    twin: Graph,
    node: Node,
    op: Recurrent,
    quantization: NodeQuantization | None,
    records: Mapping[str, QParams],
) -> None:
    """The records that were there, for the inputs and outputs that the node has now."""
    if quantization is None:
        return
    places = [1 + op.slots.index(slot) for slot in op.states]
    constants = [
        None if index in places else value for index, value in enumerate(quantization.constants)
    ]
    final = tuple(records[slot] for slot in op.states)
    node.quantization = replace(
        quantization,
        outputs=(quantization.output, *final),
        constants=tuple(constants),
    )
    for place, slot in zip(places, op.states, strict=True):
        source = twin.producer(node, place)
        source.quantization = NodeQuantization((), (records[slot],))
    for reader, position in twin.consumers(node.name):
        if reader.quantization is None:
            record = final[node_output(reader, position) - 1]
            reader.quantization = NodeQuantization((record,), (record,))


def node_output(reader: Node, position: int) -> int:
    """Which output of the node before it input ``position`` of a reader is."""
    return reader.inputs[position].index
