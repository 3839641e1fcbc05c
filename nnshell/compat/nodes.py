"""Nodes as NNTool's programs see them: a name, a step, dimensions, AutoTiler options."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from nnshell.ir.graph import Node
from nnshell.ir.types import TensorType
from nnshell.passes.regions import FROZEN
from nnshell.reports.graph_tables import operator_name
from nnshell.session import edits

if TYPE_CHECKING:
    from nnshell.compat.graph import NNGraph


@dataclass(frozen=True, slots=True)
class Dim:
    """The shape of a tensor."""

    shape: list[int]

    def __len__(self) -> int:
        return len(self.shape)

    def __iter__(self) -> Iterator[int]:
        return iter(self.shape)

    def __getitem__(self, axis: int) -> int:
        return self.shape[axis]

    def size(self) -> int:
        """How many elements there are."""
        count = 1
        for length in self.shape:
            count *= length
        return count

    @classmethod
    def of(cls, kind: TensorType) -> Dim:
        return cls(list(kind.shape))


class AtOptions:
    """A node's AutoTiler options by their names in lower case, as of `nodeoption`."""

    def __init__(self, node: NNNode) -> None:
        object.__setattr__(self, "_node", node)

    def __getattr__(self, name: str) -> str | None:
        if name.startswith("_"):
            raise AttributeError(name)
        node: NNNode = object.__getattribute__(self, "_node")
        return node.node.options.get(name.upper())

    def __setattr__(self, name: str, value: Any) -> None:
        node: NNNode = object.__getattribute__(self, "_node")
        node.set_option(name, value)

    def __repr__(self) -> str:
        node: NNNode = object.__getattribute__(self, "_node")
        return f"AtOptions({node.node.options})"


class NNNode:
    """One node of the graph; it looks its node up by name, so it stays true when passes run."""

    def __init__(self, graph: NNGraph, name: str) -> None:
        self._graph = graph
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.op_name} {self.name}, step {self.step_idx}>"

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, NNNode) and other._graph is self._graph
        return same and isinstance(other, NNNode) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def node(self) -> Node:
        """The node as nnshell's own functions take it."""
        return self._graph.project.graph[self.name]

    @property
    def step_idx(self) -> int:
        return self._graph.project.graph.step_numbers()[self.name]

    @property
    def op_name(self) -> str:
        """What the node computes, as `show` names it."""
        return operator_name(self.node)

    @property
    def in_dims(self) -> list[Dim]:
        graph, node = self._graph.project.graph, self.node
        kinds = graph.input_types(node) or node.outputs  # an input's is what it takes
        return [Dim.of(kind) for kind in kinds]

    @property
    def out_dims(self) -> list[Dim]:
        return [Dim.of(kind) for kind in self.node.outputs]

    @property
    def value(self) -> NDArray[Any] | None:
        """The array of a constant; None for other nodes."""
        return self.node.op.known_value

    @property
    def at_options(self) -> AtOptions:
        return AtOptions(self)

    @property
    def allocate(self) -> bool:
        """Whether the AutoTiler allocates this graph input or output."""
        return self.node.options.get("ALLOCATE", "0") not in ("0", "")

    @allocate.setter
    def allocate(self, value: bool) -> None:
        self.set_option("allocate", value)

    @property
    def fixed_order(self) -> bool:
        """Whether `adjust_order` leaves the layout of this graph input or output alone."""
        return FROZEN in self.node.options

    @fixed_order.setter
    def fixed_order(self, value: bool) -> None:
        if self.fixed_order is not bool(value):
            edits.freeze(self._graph.project, [self.name])

    def set_option(self, name: str, value: Any) -> None:
        """Give an AutoTiler option a value, or take it away with None."""
        text = None if value is None else str(int(value) if isinstance(value, bool) else value)
        edits.node_option(self._graph.project, self.name, name, text)
