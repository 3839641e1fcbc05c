"""The graph: named nodes in insertion order, edges held by the consumer.

``Graph.steps`` is the order every command numbers nodes by. It is NNTool's: start from the graph
inputs, then the constants in insertion order; after a node, each of its consumers whose inputs have
all been visited, depth first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.basic_operators import Constant, Input, Output, Unused
from nnshell.ir.edges import Inputs, NodeMap
from nnshell.ir.operator import Operator
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.types import Origin, TensorType
from nnshell.support.errors import GraphError, QuantizationError
from nnshell.support.html import html_table


@dataclass(frozen=True, slots=True)
class Ref:
    """Output ``index`` of the node called ``node``."""

    node: str
    index: int = 0


_INDEXED = frozenset({"inputs", "op", "outputs", "body"})


@dataclass(slots=True, eq=False)
class Node:
    """One operator in the graph; a fusion's ``body`` is the graph of its inner nodes."""

    name: str
    op: Operator
    inputs: list[Ref] = field(default_factory=list)
    outputs: tuple[TensorType, ...] = ()
    origin: Origin = field(default_factory=Origin)
    body: Graph | None = None
    quantization: NodeQuantization | None = None
    options: dict[str, str] = field(default_factory=dict)  # AutoTiler node options
    owner: NodeMap | None = field(default=None, init=False, repr=False)  # that it is indexed by

    def __setattr__(self, name: str, value: Any) -> None:
        """The graph that holds the node hears of what it has an index of."""
        if name not in _INDEXED:
            object.__setattr__(self, name, value)
            return
        owner: NodeMap | None = getattr(self, "owner", None)
        if name != "inputs":
            before = getattr(self, name, None)
            changes = before is not value and (name != "outputs" or before != value)
            object.__setattr__(self, name, value)
            if owner is not None and changes:
                owner.note(self.name)
            return
        if owner is not None:
            owner.leave(self)
        object.__setattr__(self, name, Inputs(value, self))
        if owner is not None:
            owner.join(self)

    @property
    def kind(self) -> str:
        """Name of its operator's kind."""
        return self.op.kind

    @property
    def type(self) -> TensorType:
        """Type of output 0."""
        return self.outputs[0]

    def copy(self) -> Node:
        """The same node, independent of this one; its body is copied too."""
        body = self.body.copy() if self.body is not None else None
        return Node(
            self.name,
            self.op,
            list(self.inputs),
            self.outputs,
            self.origin,
            body,
            self.quantization,
            dict(self.options),
        )


@dataclass(frozen=True, slots=True)
class Source:
    """The model file a graph was read from."""

    path: Path
    sha256: str = ""


class Graph:
    """Nodes by name. Passes edit it in place; ``copy`` gives an independent graph."""

    def __init__(self, name: str = "graph", source: Source | None = None) -> None:
        self.name = name
        self.source = source
        self.nodes = {}
        self._steps: list[Node] = []
        self._steps_of: tuple[NodeMap, int] | None = None  # the map that they are of, its version

    @property
    def nodes(self) -> NodeMap:
        """Nodes by name, in insertion order."""
        return self._nodes

    @nodes.setter
    def nodes(self, nodes: Mapping[str, Node]) -> None:
        """A map of another graph is taken over: that graph must not be used any more."""
        self._nodes = nodes if isinstance(nodes, NodeMap) else NodeMap(nodes)

    # -- reading ---------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Node:
        try:
            return self.nodes[name]
        except KeyError:
            raise GraphError(f"no node is called '{name}'", where=self.name) from None

    def __contains__(self, name: str) -> bool:
        return name in self.nodes

    def __iter__(self) -> Iterator[Node]:
        return iter(list(self.nodes.values()))  # who loops over them may add and remove some

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        return f"<Graph {self.name}: {len(self.nodes)} nodes>"

    def _repr_html_(self) -> str:
        rows = [
            (number, node.name, node.kind, ", ".join(map(str, node.outputs)))
            for number, node in enumerate(self.steps())
            if not isinstance(node.op, Constant)
        ]
        caption = f"{self.name}: {len(self.nodes)} nodes, {self.macs():,} MACs"
        return html_table(caption, ("Step", "Name", "Operator", "Output"), rows)

    @property
    def inputs(self) -> list[Node]:
        """Graph inputs in the model's order."""
        nodes = [(node.op.index, node) for node in self if isinstance(node.op, Input)]
        return [node for _, node in sorted(nodes, key=itemgetter(0))]

    @property
    def outputs(self) -> list[Node]:
        """Output nodes in the model's order."""
        nodes = [(node.op.index, node) for node in self if isinstance(node.op, Output)]
        return [node for _, node in sorted(nodes, key=itemgetter(0))]

    @property
    def quantized(self) -> bool:
        """Whether every node has its records; False for a graph without nodes."""
        return bool(self.nodes) and all(node.quantization is not None for node in self)

    def require_quantized(self) -> None:
        """QuantizationError when a node has no records, or there is no node."""
        if not self.quantized:
            raise QuantizationError(
                "the graph is not quantized", where=self.name, hint="run aquant IMAGES first"
            )

    def type_of(self, ref: Ref) -> TensorType:
        """Shape, layout and element type of a tensor."""
        return self[ref.node].outputs[ref.index]

    def input_types(self, node: Node) -> tuple[TensorType, ...]:
        """Types of a node's inputs, in order."""
        return tuple(self.type_of(ref) for ref in node.inputs)

    def producer(self, node: Node, index: int = 0) -> Node:
        """The node that makes input ``index`` of ``node``."""
        return self[node.inputs[index].node]

    def constant(self, ref: Ref) -> NDArray[Any] | None:
        """The value that a reference names when it is a constant, else None."""
        op = self[ref.node].op
        return op.value if isinstance(op, Constant) else None

    def consumers(self, name: str) -> list[tuple[Node, int]]:
        """(consumer, its input index) of every edge leaving ``name``: by output, then order."""
        return list(self.nodes.readers(name))

    def consumer_count(self, name: str) -> int:
        """How many edges leave ``name``."""
        return self.nodes.reader_count(name)

    def consumer_map(self) -> dict[str, list[tuple[Node, int]]]:
        """``consumers`` of every node at once."""
        return {name: list(self.nodes.readers(name)) for name in self.nodes}

    def steps(self) -> list[Node]:
        """Nodes in step order; the position in the list is the step number."""
        nodes, known = self.nodes, self._steps_of
        version = nodes.current_version()
        if known is None or known[0] is not nodes or known[1] != version:
            self._steps = self._sorted()
            self._steps_of = (nodes, version)
        return list(self._steps)

    def _sorted(self) -> list[Node]:
        order_of = self.reading_order()

        def readers(name: str) -> Iterator[tuple[Node, int]]:
            edges = list(self.nodes.readers(name))
            if len(edges) > 1:
                edges.sort(key=lambda e: (e[0].inputs[e[1]].index, order_of[e[0].name], e[1]))
            return iter(edges)

        starts: list[Node] = [*self.inputs]
        starts += [n for n in self if not n.inputs and not isinstance(n.op, Input)]
        waiting = {node.name: len(node.inputs) for node in self}
        order: list[Node] = []
        for start in starts:
            order.append(start)
            walks = [readers(start.name)]
            while walks:  # recursion by hand: graphs are deeper than Python's stack
                consumer, _ = next(walks[-1], (None, 0))
                if consumer is None:
                    walks.pop()
                    continue
                waiting[consumer.name] -= 1
                if waiting[consumer.name] == 0:
                    order.append(consumer)
                    walks.append(readers(consumer.name))
        if len(order) != len(self.nodes):
            missing = sorted(set(self.nodes) - {node.name for node in order})
            raise GraphError(f"the graph has a cycle through {', '.join(missing[:3])}")
        return order

    def step_numbers(self) -> dict[str, int]:
        """The step of every node by name."""
        return {node.name: number for number, node in enumerate(self.steps())}

    # -- editing ---------------------------------------------------------------------------

    def add(self, node: Node) -> Node:
        """Append a node; GraphError when its name is taken."""
        self._check_free(node.name)
        self.nodes[node.name] = node
        return node

    def insert(self, node: Node, *, before: str) -> Node:
        """Add a node at the place of ``before`` in insertion order."""
        self._check_free(node.name)
        self.nodes.insert_before(before, node)
        return node

    def insert_after(self, node: Node, *, after: str) -> Node:
        """Add a node at the place after ``after`` in insertion order."""
        self._check_free(node.name)
        self.nodes.insert_after(after, node)
        return node

    def _check_free(self, name: str) -> None:
        if name in self.nodes:
            raise GraphError(f"a node called '{name}' exists already")

    def remove(self, name: str) -> Node:
        """Take out a node that nothing reads; GraphError when something does."""
        node = self[name]
        if self.consumer_count(name):
            raise GraphError(f"node '{name}' still has consumers")
        del self.nodes[name]
        return node

    def replace_node(self, name: str, node: Node) -> None:
        """Put ``node`` at the place of ``name`` in insertion order; edges to ``name`` follow it."""
        if node.name != name:
            self._check_free(node.name)
        self.nodes.replace(name, node)
        if node.name != name:
            for consumer, position in self.consumers(name):
                consumer.inputs[position] = Ref(node.name, consumer.inputs[position].index)

    def redirect(self, old: Ref, new: Ref) -> None:
        """Every consumer of ``old`` reads ``new`` instead."""
        for node, position in self.consumers(old.node):
            if node.inputs[position] == old:
                node.inputs[position] = new

    def prune(self) -> list[str]:
        """Remove nodes that lead to no output (graph inputs stay); returns their names."""
        live: set[str] = set()
        stack = [node.name for node in self.outputs]
        while stack:
            name = stack.pop()
            if name not in live:
                live.add(name)
                stack.extend(ref.node for ref in self[name].inputs)
        beside = [n for n in self if isinstance(n.op, Unused) and n.inputs[0].node in live]
        live.update(node.name for node in beside)
        dead = [n.name for n in self if n.name not in live and not isinstance(n.op, Input)]
        for name in dead:
            del self.nodes[name]
        return dead

    def file_positions(self) -> dict[str, int]:
        """Where each node stands in the model file, a fusion where its first node does.

        Nodes that come from no file stand where they were added.
        """
        return {node.name: _file_position(node, place) for place, node in enumerate(self)}

    def reading_order(self) -> dict[str, tuple[int, int, int]]:
        """A key for each node, to sort the readers of one output by.

        Graph outputs come first, then nodes as the model file has them, fusions after all others,
        and last what was inserted on an edge, in the order of insertion.
        """
        positions = self.file_positions()
        return {
            node.name: (_reading_class(node), positions[node.name], place)
            if not node.op.on_edge
            else (_ON_EDGE, place, 0)
            for place, node in enumerate(self)
        }

    def unique_name(self, wanted: str) -> str:
        """``wanted``, or ``wanted_1``, ``wanted_2`` ... when it is taken."""
        return self.nodes.unique(wanted)

    def infer_types(self) -> None:
        """Recompute every output type from the operators, in step order."""
        for node in self.steps():
            node.outputs = node.op.infer(self.input_types(node), node.body)

    def copy(self) -> Graph:
        """Independent nodes; operators and arrays, which never change, are shared."""
        twin = Graph(self.name, self.source)
        twin.nodes = {name: node.copy() for name, node in self.nodes.items()}
        return twin

    def restore(self, saved: Graph) -> None:
        """Become what ``saved`` is; it must not be used any more."""
        self.name, self.source, self.nodes = saved.name, saved.source, saved.nodes

    def clear_quantization(self) -> None:
        """Forget all records and kernels, those inside fusions too."""
        for node in self:
            node.quantization = None
            if node.body is not None:
                node.body.clear_quantization()

    def parameters(self) -> int:
        """Number of constant elements."""
        return sum(n.type.size for n in self if isinstance(n.op, Constant))

    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(n.op.macs(self.input_types(n), n.outputs, n.body) for n in self)


_OUTPUT, _PLAIN, _FUSED, _ON_EDGE = range(4)  # readers of one output, in this order


def _reading_class(node: Node) -> int:
    if node.body is not None:
        return _FUSED
    return _OUTPUT if isinstance(node.op, Output | Unused) else _PLAIN


def _file_position(node: Node, place: int) -> int:
    inner = () if node.body is None else tuple(n for n in node.body if not n.op.boundary)
    known = [n.origin.position for n in inner or (node,) if n.origin.position >= 0]
    return min(known) if known else place


def numbered_name(graph: Graph, wanted: str) -> str:
    """``wanted``, or ``wanted_0``, ``wanted_1`` ... when it is taken, as NNTool counts."""
    name, count = wanted, -1
    while name in graph:
        count += 1
        name = f"{wanted}_{count}"
    return name


def all_nodes(graph: Graph) -> Iterable[tuple[str, Node, Graph]]:
    """(key, node, its graph) of every node, inner nodes as ``FUSION/INNER`` before their fusion."""
    for node in graph.steps():
        if node.body is not None:
            for inner in node.body.steps():
                if not inner.op.boundary:
                    yield f"{node.name}/{inner.name}", inner, node.body
        yield node.name, node, graph


def constant_node(name: str, value: NDArray[Any], origin: Origin | None = None) -> Node:
    """A constant as a node."""
    op = Constant(np.asarray(value))
    return Node(name, op, [], op.infer(()), origin or Origin())
