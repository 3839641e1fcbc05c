"""After the search: quantize nodes where links stayed split, copies where memory is shared.

In this order: a quantize node on every split link; copies that fusing has put in and that nothing
needs any more are taken out; where all readers of an output go through quantize nodes, equal ones
become one; copies are put in again where stacked memory would alias; quantize nodes that change
nothing go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nnshell.ir.graph import Graph, Node, Ref, numbered_name
from nnshell.ir.records import Answer, Record
from nnshell.ir.types import Origin
from nnshell.ops.quantize import Quantize
from nnshell.passes.base import Notes
from nnshell.passes.memory import InsertCopies, ends_memory, generates_nothing
from nnshell.quantization.solving.network import Unit
from nnshell.quantization.solving.search import Search

PLACED = "quantize"  # in the origin of nodes that are put in here
_ORIGIN = Origin(passes=(PLACED,))
Records = dict[str, Answer]


def place_nodes(search: Search) -> Records:
    """Edit the searched graph; returns the records of its nodes, inner ones by ``FUSION/NODE``."""
    graph = search.network.graph
    records = {unit.path: unit.records for unit in search.network.all_units()}
    for unit in search.network.all_units():
        for border in (*unit.entries, *unit.exits):
            records[border.path] = _border_records(border)
    placing = _Placing(graph, {path: answer for path, answer in records.items() if answer})
    placing.insert(search)
    placing.remove_copies()
    placing.merge()
    placing.insert_copies()
    placing.clean()
    return placing.records


def _border_records(unit: Unit) -> Answer | None:
    """Of an end of a fusion's body; None where nothing inside reads an input."""
    link = next(iter((*unit.inputs, *unit.output_links())), None)
    if link is None or link.upper is None:
        return None
    return Answer((link.upper,) if unit.inputs else (), (link.upper,))


def insert_quantize(graph: Graph, reader: Node, index: int) -> Node:
    """A quantize node, ``X_qin0`` for input 0 of X, between an input and what it read."""
    source, op = reader.inputs[index], Quantize()
    types = op.infer((graph.type_of(source),))
    name = numbered_name(graph, f"{reader.name}_qin{index}")
    node = graph.add(Node(name, op, [source], types, _ORIGIN))
    reader.inputs[index] = Ref(name)
    return node


@dataclass(slots=True, eq=False)
class _Placing:
    graph: Graph
    records: Records

    # -- quantize nodes --------------------------------------------------------------------

    def insert(self, search: Search) -> None:
        """``X_qin0`` before input 0 of X: from the producer's record to the reader's."""
        for link in search.split_links():
            if link.upper is None or link.lower is None:
                continue
            node = insert_quantize(self.graph, self.graph[link.reader.path], link.index)
            self.records[node.name] = Answer((link.upper,), (link.lower,))

    def merge(self) -> None:
        """One quantize node instead of several equal ones, where no reader does without."""
        consumers = self.graph.consumer_map()
        for node in list(self.graph):
            for index in range(len(node.outputs)):
                readers = [r for r, p in consumers[node.name] if r.inputs[p].index == index]
                if len(readers) > 1 and all(r.op.made_by_quantizer for r in readers):
                    self._merge_equal(readers)

    def _merge_equal(self, readers: list[Node]) -> None:
        kept: list[Node] = []
        for node in readers:
            twin = next((k for k in kept if self._same_change(k, node)), None)
            if twin is None:
                kept.append(node)
            else:
                self.graph.redirect(Ref(node.name), Ref(twin.name))
                self._drop(node)

    def _same_change(self, one: Node, other: Node) -> bool:
        first, second = self.records[one.name], self.records[other.name]
        return first.inputs[0].equals(second.inputs[0]) and first.outputs[0].equals(
            second.outputs[0]
        )

    def clean(self) -> None:
        """Quantize nodes between equal records go, and the first of two in a row."""
        for node in [node for node in self.graph if node.op.made_by_quantizer]:
            if node.name not in self.graph:  # went with the one before it
                continue
            answer = self.records[node.name]
            readers = self.graph.consumers(node.name)
            following = readers[0][0] if len(readers) == 1 else None
            if answer.inputs[0].equals(answer.outputs[0]):
                self.graph.redirect(Ref(node.name), node.inputs[0])
                self._drop(node)
            elif following is not None and following.op.made_by_quantizer:
                outputs = self.records[following.name].outputs
                self.records[node.name] = Answer(answer.inputs, outputs)
                self.graph.redirect(Ref(following.name), Ref(node.name))
                self._drop(following)

    def _drop(self, node: Node) -> None:
        self.graph.nodes.pop(node.name, None)
        self.records.pop(node.name, None)

    # -- copies ----------------------------------------------------------------------------

    def remove_copies(self) -> None:
        """Copies between which and another end of memory nothing lies any more."""
        for node in [node for node in self.graph if node.op.copies]:
            readers = self.graph.consumers(node.name)
            if len(readers) == 1 and not _is_needed(self.graph, node, readers[0]):
                self.graph.redirect(Ref(node.name), node.inputs[0])
                self._drop(node)

    def insert_copies(self) -> None:
        before = set(self.graph.nodes)
        InsertCopies().rewrite(self.graph, Notes(PLACED))
        for name in self.graph.nodes:
            if name not in before:
                record = self._made_by(self.graph[name].inputs[0])
                self.records[name] = Answer((record,), (record,))

    def _made_by(self, ref: Ref) -> Record:
        source = self.graph[ref.node]
        if source.op.copies and ref.node not in self.records:
            return self._made_by(source.inputs[0])
        return self.records[ref.node].outputs[ref.index]


def _is_needed(graph: Graph, copy: Node, edge: tuple[Node, int]) -> bool:
    """Whether memory with a place of its own is reached both after the copy and before it."""
    reader, position = edge
    return _Walk(graph).down(reader, position) and _Walk(graph).up(copy, 0)


class _Walk:
    """Looks for ends of memory along edges, each visited once in either direction."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._visited: set[tuple[bool, str, int]] = set()

    def down(self, reader: Node, position: int) -> bool:
        if self._seen(True, reader, position):
            return False
        if ends_memory(self.graph, reader):
            return True
        for other in range(len(reader.inputs)):
            if other != position and self.up(reader, other):
                return True
        return generates_nothing(self.graph, reader) and any(
            self.down(*edge) for edge in self.graph.consumers(reader.name)
        )

    def up(self, reader: Node, position: int) -> bool:
        if self._seen(False, reader, position):
            return False
        producer = self.graph.producer(reader, position)
        if ends_memory(self.graph, producer):
            return True
        for edge in self._siblings(producer, reader, position):
            if self.down(*edge):
                return True
        return generates_nothing(self.graph, producer) and any(
            self.up(producer, index) for index in range(len(producer.inputs))
        )

    def _siblings(self, producer: Node, reader: Node, position: int) -> Iterator[tuple[Node, int]]:
        for edge in self.graph.consumers(producer.name):
            if edge != (reader, position):
                yield edge

    def _seen(self, down: bool, reader: Node, position: int) -> bool:
        key = (down, reader.name, position)
        known = key in self._visited
        self._visited.add(key)
        return known
