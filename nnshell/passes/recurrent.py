"""Node options of recurrent layers that change the graph: arithmetic, states as inputs and outputs.

They are passes so that they are recorded and told like all changes of a graph.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from nnshell.ir.basic_operators import Input, Output
from nnshell.ir.graph import Graph, Node, Ref, constant_node
from nnshell.ir.types import TensorType
from nnshell.ops.families.recurrent import STATES_AS_INPUTS, Recurrent
from nnshell.passes.base import Notes, Pass
from nnshell.passes.rewriting import bypass, live_nodes
from nnshell.support.errors import GraphError

_OUTPUTS = ("last_h", "last_c")


@dataclass(frozen=True)
class SetRecurrentOption(Pass):
    """One option of one recurrent layer, on or off."""

    name: ClassVar[str] = "set-recurrent-option"
    node: str = ""
    option: str = ""
    on: bool = True

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        node = graph[self.node]
        assert isinstance(node.op, Recurrent)
        field = node.op.option_fields[self.option]
        if self.option == STATES_AS_INPUTS:
            self._move_states(graph, node, notes)
        elif field in _OUTPUTS:
            self._show(graph, node, field, notes)
        else:
            node.op = replace(node.op, **{field: self.on})
        notes.touch(node)

    # -- states as inputs ------------------------------------------------------------------

    def _move_states(self, graph: Graph, node: Node, notes: Notes) -> None:
        op = node.op
        assert isinstance(op, Recurrent)
        for slot in op.states:
            position = 1 + op.slots.index(slot)
            source = graph.producer(node, position)
            if self.on and source.op.role == "constant":
                self._to_input(graph, node, slot, position, notes)
            elif not self.on and source.name == _input_name(node, slot):
                self._to_zeros(graph, node, position, source, notes)

    @staticmethod
    def _to_input(graph: Graph, node: Node, slot: str, position: int, notes: Notes) -> None:
        constant = graph.producer(node, position)
        kind = TensorType(constant.type.shape)
        op = Input(kind, len(graph.inputs))
        name = graph.unique_name(_input_name(node, slot))
        graph.insert(Node(name, op, [], (kind,), node.origin), before=constant.name)
        node.inputs[position] = Ref(name)
        if not graph.consumer_count(constant.name):
            graph.remove(constant.name)
        notes.did(node.name, f"made {slot} of {node.name} the graph input {name}", name)

    @staticmethod
    def _to_zeros(graph: Graph, node: Node, position: int, source: Node, notes: Notes) -> None:
        op = source.op
        assert isinstance(op, Input)
        slot = source.name.removesuffix(f"_{node.name}")
        zeros = constant_node(
            graph.unique_name(f"{node.name}_{slot}"), np.zeros(source.type.shape, np.float32)
        )
        graph.insert(zeros, before=node.name)
        node.inputs[position] = Ref(zeros.name)
        del graph.nodes[source.name]
        for later in graph.inputs:
            if isinstance(later.op, Input) and later.op.index > op.index:
                later.op = replace(later.op, index=later.op.index - 1)
        notes.did(node.name, f"{node.name} starts from zeros, not from input {source.name}")

    # -- states as outputs -----------------------------------------------------------------

    def _show(self, graph: Graph, node: Node, field: str, notes: Notes) -> None:
        """A further output of the node, and a graph output that shows it."""
        op = node.op
        if getattr(op, field) is self.on:
            return
        before = _places(op)
        if not self.on:
            self._check_unread(graph, Ref(node.name, before[field]))
        node.op = replace(op, **{field: self.on})
        after = _places(node.op)
        for reader, position in graph.consumers(node.name):
            index = reader.inputs[position].index
            moved = next((f for f, place in before.items() if place == index), "")
            if moved in after:
                reader.inputs[position] = Ref(node.name, after[moved])
        node.outputs = node.op.infer(graph.input_types(node))
        if self.on:
            ref = Ref(node.name, after[field])
            number = len(graph.outputs)
            name = graph.unique_name(f"output_{number + 1}")
            output = Node(name, Output(number), [ref], (graph.type_of(ref),), node.origin)
            graph.add(output)
            notes.did(node.name, f"{name} shows the last state of {node.name}", name)

    @staticmethod
    def _check_unread(graph: Graph, ref: Ref) -> None:
        """Take out the graph output that shows a state; nothing else may read it."""
        for reader, position in graph.consumers(ref.node):
            if reader.inputs[position] != ref:
                continue
            if not isinstance(reader.op, Output) or reader.op.index != len(graph.outputs) - 1:
                raise GraphError(f"{reader.name} reads the state", where=f"node {ref.node}")
            del graph.nodes[reader.name]


def _input_name(node: Node, slot: str) -> str:
    return f"{slot}_{node.name}"


def _places(op: object) -> dict[str, int]:
    """Which output each final state is, of those that are there."""
    shown = [field for field in _OUTPUTS if getattr(op, field, False)]
    return {field: 1 + place for place, field in enumerate(shown)}


@dataclass(frozen=True)
class FuseReverse(Pass):
    """A sequence turned around before a recurrent layer and after it: a layer that runs backwards.

    reverse(layer(reverse(x))) = layer of the other direction(x)
    """

    name: ClassVar[str] = "fuse-reverse"
    nntool_names: ClassVar[tuple[str, ...]] = ("rnn_reverse",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for node in live_nodes(graph):
            if isinstance(node.op, Recurrent):
                self._fuse(graph, node, notes)

    @staticmethod
    def _fuse(graph: Graph, node: Node, notes: Notes) -> None:
        op = node.op
        assert isinstance(op, Recurrent)
        before = graph.producer(node)
        readers = [r for r, p in graph.consumers(node.name) if r.inputs[p].index == 0]
        if not _turns(graph, before, 0) or graph.consumer_count(before.name) != 1:
            return
        if len(readers) != 1 or not _turns(graph, readers[0], op.sequence_axis):
            notes.did_not(node.name, f"did not fuse {before.name} into {node.name}: its steps are "
                          "not turned around again after it", before.name)  # fmt: skip
            return
        bypass(graph, before)
        bypass(graph, readers[0])
        node.op = replace(op, reverse=not op.reverse)
        notes.touch(node)
        way = "backwards" if node.op.reverse else "forwards"
        text = f"fused {before.name} and {readers[0].name} into {node.name}, which runs {way}"
        notes.did(node.name, text, before.name, readers[0].name)


def _turns(graph: Graph, node: Node, axis: int) -> bool:
    """Whether a node turns its input around along ``axis`` and does nothing else."""
    slices = node.op.taken()
    if slices is None:
        return False
    shape = graph.type_of(node.inputs[0]).shape
    whole = [range(extent)[part] for extent, part in zip(shape, slices, strict=True)]
    turned = [
        range(extent - 1, -1, -1) if i == axis else range(extent) for i, extent in enumerate(shape)
    ]
    return whole == turned and shape[axis] > 1
