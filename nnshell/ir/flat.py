"""The graph without the borders of its fusions: one list of computing nodes and their tensors.

Quantization and integer execution look at it this way: a tensor is what one node makes, whoever
reads it, and a fusion's inner nodes read and make tensors like all others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nnshell.ir.basic_operators import FusionInput, FusionOutput
from nnshell.ir.graph import Graph, Node, Ref


@dataclass(frozen=True, slots=True)
class Tensor:
    """Output ``index`` of the node at ``path``: ``NODE``, or ``FUSION/NODE`` inside a fusion."""

    path: str
    index: int = 0

    @property
    def key(self) -> str:
        """What engines call it."""
        return f"{self.path}[{self.index}]" if self.index else self.path


@dataclass(frozen=True, slots=True)
class Site:
    """Input ``index`` of the top-level node called ``node``."""

    node: str
    index: int


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A node that is not a fusion or a fusion's border.

    ``sites`` says for each input where the tensor enters at top level; None for a tensor that
    never leaves the fusion.
    """

    path: str
    node: Node
    graph: Graph  # the one that holds the node
    inputs: tuple[Tensor, ...]
    sites: tuple[Site | None, ...]
    fusion: Node | None = None

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """Its tensors, one for each output."""
        return tuple(Tensor(self.path, index) for index in range(len(self.node.outputs)))

    @property
    def ends_fusion(self) -> bool:
        """Whether the fusion that holds the node gives what this node makes."""
        if self.fusion is None or self.fusion.body is None:
            return False
        return self.fusion.body.outputs[0].inputs[0].node == self.node.name


@dataclass(frozen=True, slots=True)
class Reader:
    """Input ``index`` of ``item``."""

    item: Item
    index: int


@dataclass(frozen=True, slots=True, eq=False)
class FlatGraph:
    """Items in an order in which each comes after what it reads."""

    graph: Graph
    items: tuple[Item, ...]
    readers: dict[Tensor, list[Reader]]
    by_path: dict[str, Item]

    def maker(self, tensor: Tensor) -> Item:
        """The item that makes a tensor."""
        return self.by_path[tensor.path]

    def needed(self, tensors: Iterable[Tensor]) -> set[str]:
        """Paths of the nodes that make ``tensors``, and of all nodes before them."""
        paths = {tensor.path for tensor in tensors}
        for item in reversed(self.items):
            if item.path in paths:
                paths.update(tensor.path for tensor in item.inputs)
        return paths

    def resolve(self, ref: Ref) -> Tensor:
        """The tensor that a top-level edge names."""
        return _resolve(self.graph, ref)


def flatten(graph: Graph) -> FlatGraph:
    """All computing nodes of ``graph`` and of its fusions, in step order."""
    items: list[Item] = []
    for node in graph.steps():
        if node.body is None:
            inputs = tuple(_resolve(graph, ref) for ref in node.inputs)
            sites = tuple(Site(node.name, index) for index in range(len(inputs)))
            items.append(Item(node.name, node, graph, inputs, sites))
        else:
            items.extend(_inner_items(graph, node, node.body))
    readers: dict[Tensor, list[Reader]] = {t: [] for item in items for t in item.outputs}
    for item in items:
        for index, tensor in enumerate(item.inputs):
            readers[tensor].append(Reader(item, index))
    return FlatGraph(graph, tuple(items), readers, {item.path: item for item in items})


def _inner_items(graph: Graph, fusion: Node, body: Graph) -> list[Item]:
    items = []
    for inner in body.steps():
        if isinstance(inner.op, FusionInput | FusionOutput):
            continue
        edges = [_resolve_inner(graph, fusion, body, ref) for ref in inner.inputs]
        items.append(
            Item(
                f"{fusion.name}/{inner.name}",
                inner,
                body,
                tuple(tensor for tensor, _ in edges),
                tuple(site for _, site in edges),
                fusion,
            )
        )
    return items


def _resolve(graph: Graph, ref: Ref) -> Tensor:
    node = graph[ref.node]
    if node.body is None:
        return Tensor(ref.node, ref.index)
    border = node.body.outputs[ref.index]
    return _resolve_inner(graph, node, node.body, border.inputs[0])[0]


def _resolve_inner(graph: Graph, fusion: Node, body: Graph, ref: Ref) -> tuple[Tensor, Site | None]:
    op = body[ref.node].op
    if isinstance(op, FusionInput):
        return _resolve(graph, fusion.inputs[op.index]), Site(fusion.name, op.index)
    return Tensor(f"{fusion.name}/{ref.node}", ref.index), None
