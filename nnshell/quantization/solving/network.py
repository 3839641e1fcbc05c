"""The graph as the solver sees it: units joined by links, in the order in which they are visited.

A fusion is a unit with units of its own inside. The order of roots and of an output's links decides
between outcomes that are equally good, so it is NNTool's: readers as the model file has them, those
in no fusion first, copies last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nnshell.ir.basic_operators import Constant, FusionInput, FusionOutput, Input
from nnshell.ir.flat import FlatGraph, Item, flatten
from nnshell.ir.graph import Graph, Node
from nnshell.ir.records import Answer
from nnshell.quantization.solving.links import Link


@dataclass(slots=True, eq=False)
class Unit:
    """A node and its links; ``records`` are its latest, ``accepted`` those before a trial."""

    path: str
    node: Node
    item: Item | None  # None for a fusion and for the ends of its body
    holder: Unit | None = None  # the fusion around it
    inputs: list[Link] = field(default_factory=list)
    outputs: list[list[Link]] = field(default_factory=list)
    entries: list[Unit] = field(default_factory=list)  # of a fusion: its body's inputs, in order
    exits: list[Unit] = field(default_factory=list)
    inside: list[Unit] = field(default_factory=list)  # of a fusion: what computes
    records: Answer | None = None
    accepted: Answer | None = None
    memo: dict[Any, Any] = field(default_factory=dict)
    settled: list[tuple[Link, Any]] = field(default_factory=list)  # when accepted: inner, record

    @property
    def is_fusion(self) -> bool:
        return self.node.body is not None

    def output_links(self) -> Iterator[Link]:
        """Links of all outputs, in order."""
        for links in self.outputs:
            yield from links

    def inner_links(self) -> Iterator[Link]:
        """All links inside a fusion."""
        for unit in (*self.entries, *self.inside):
            yield from unit.output_links()

    def accept(self) -> None:
        """What is recorded now is what a refusal comes back to."""
        self.accepted = self.records
        if self.is_fusion:
            self.settled = [(link, link.upper) for link in self.inner_links()]


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """All units of a graph, and those that the first pass starts from."""

    graph: Graph
    flat: FlatGraph
    units: dict[str, Unit]  # at top level, by name
    roots: tuple[Unit, ...]

    def all_units(self) -> Iterator[Unit]:
        """Inner units before their fusion."""
        for unit in self.units.values():
            yield from unit.inside
            yield unit


def build_network(graph: Graph) -> Network:
    flat = flatten(graph)
    units = {node.name: _unit(node, flat) for node in graph}
    for unit in units.values():
        for index, ref in enumerate(unit.node.inputs):
            producer = units[ref.node]
            link = Link(producer, ref.index, unit, index)
            unit.inputs.append(link)
            producer.outputs[ref.index].append(link)
    ranks = graph.reading_order()
    for unit in units.values():
        for links in unit.outputs:
            links.sort(key=lambda link: (ranks[link.reader.path], link.index))
    return Network(graph, flat, units, _roots(graph, units))


def _unit(node: Node, flat: FlatGraph) -> Unit:
    unit = Unit(node.name, node, flat.by_path.get(node.name) if node.body is None else None)
    unit.outputs = [[] for _ in node.outputs]
    if node.body is not None:
        _fill_body(unit, node.body, flat)
    return unit


def _fill_body(fusion: Unit, body: Graph, flat: FlatGraph) -> None:
    inner: dict[str, Unit] = {}
    for node in body.steps():
        path = f"{fusion.path}/{node.name}"
        unit = Unit(path, node, flat.by_path.get(path), fusion)
        unit.outputs = [[] for _ in node.outputs]
        inner[node.name] = unit
        for index, ref in enumerate(node.inputs):
            producer = inner[ref.node]
            link = Link(producer, ref.index, unit, index, inner=True)
            unit.inputs.append(link)
            producer.outputs[ref.index].append(link)
    fusion.entries = [inner[node.name] for node in body.inputs]
    fusion.exits = [inner[node.name] for node in body.outputs]
    fusion.inside = [
        unit for unit in inner.values() if not isinstance(unit.node.op, FusionInput | FusionOutput)
    ]


# -- order -------------------------------------------------------------------------------------


def _roots(graph: Graph, units: dict[str, Unit]) -> tuple[Unit, ...]:
    """Graph inputs, then constants in the order in which the file's nodes read them."""
    positions = graph.file_positions()
    constants = [
        unit
        for unit in units.values()
        if isinstance(unit.node.op, Constant) and any(unit.output_links())
    ]

    def first_read(unit: Unit) -> tuple[int, int]:
        return min((positions[link.reader.path], link.index) for link in unit.output_links())

    inputs = [units[node.name] for node in graph.inputs if isinstance(node.op, Input)]
    return (*inputs, *sorted(constants, key=first_read))
