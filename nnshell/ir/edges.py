"""Nodes by name, in an order that edits keep, with an index of who reads whom.

A node holds its inputs. ``NodeMap`` knows the other direction without a search: every change of a
node's inputs, of a whole list or in place, is told to the map that the node is in. Inserting next
to a node and replacing one take constant time; order is restored when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import TYPE_CHECKING, Any, SupportsIndex

if TYPE_CHECKING:
    from nnshell.ir.graph import Node, Ref

_GAP = 1 << 40  # between the ranks of neighbours: room for 40 nodes at one place

Edge = tuple["Node", int]  # a reader, and which of its inputs


class Inputs(list["Ref"]):
    """The inputs of a node; its graph is told when they change."""

    __slots__ = ("_node",)

    def __init__(self, refs: Iterable[Ref], node: Node) -> None:
        super().__init__(refs)
        self._node = node

    def __setitem__(self, key: Any, value: Any) -> None:
        owner = self._node.owner
        if owner is None or isinstance(key, slice):
            self._change(list.__setitem__, key, value)
            return
        place = key if key >= 0 else key + len(self)
        before = self[key]
        super().__setitem__(key, value)
        if before != value:
            owner.move_edge(self._node, place, before.node, value.node)

    def _change(self, act: Callable[..., Any], *arguments: Any) -> Any:
        owner = self._node.owner
        if owner is None:
            return act(self, *arguments)
        owner.leave(self._node)
        try:
            return act(self, *arguments)
        finally:
            owner.join(self._node)

    def __delitem__(self, key: SupportsIndex | slice) -> None:
        self._change(list.__delitem__, key)

    def __iadd__(self, refs: Iterable[Ref]) -> Inputs:  # type: ignore[misc,override]
        self._change(list.extend, refs)
        return self

    def append(self, ref: Ref) -> None:
        self._change(list.append, ref)

    def extend(self, refs: Iterable[Ref]) -> None:
        self._change(list.extend, refs)

    def insert(self, index: SupportsIndex, ref: Ref) -> None:
        self._change(list.insert, index, ref)

    def pop(self, index: SupportsIndex = -1) -> Ref:
        ref: Ref = self._change(list.pop, index)
        return ref

    def remove(self, ref: Ref) -> None:
        self._change(list.remove, ref)

    def clear(self) -> None:
        self._change(list.clear)

    def reverse(self) -> None:
        self._change(list.reverse)

    def sort(self, *, key: Any = None, reverse: bool = False) -> None:
        self._change(lambda refs: list.sort(refs, key=key, reverse=reverse))


class NodeMap(dict[str, "Node"]):
    """Nodes by name in insertion order, and their readers.

    ``version`` grows with every change of nodes, edges, operators, types and bodies.
    """

    def __init__(self, nodes: Mapping[str, Node] | None = None) -> None:
        super().__init__()
        self.version = 0
        self.verified_version = -1  # the last that the verifier found in order
        self._readers: dict[str, set[Edge]] = {}
        self._in_order: dict[str, list[Edge]] = {}  # readers as they are asked for
        self._shared = False  # whether another map took nodes of this one
        self._ranks: dict[str, int] = {}
        self._after: dict[str, str] = {"": ""}  # the name that follows; "" is both ends
        self._before: dict[str, str] = {"": ""}
        self._shuffled = False  # whether the order of the dictionary is not that of the names
        self._taken: dict[str, int] = {}  # by name: all numbers up to this are taken
        self._touched: set[str] = set()
        self.update(nodes or {})

    # -- readers ---------------------------------------------------------------------------

    def readers(self, name: str) -> list[Edge]:
        """(reader, its input) of every edge that leaves ``name``: by output, then in order.

        The list is the map's own.
        """
        if self._shared:
            self._index_again()
        edges = self._in_order.get(name)
        if edges is None:
            edges = list(self._readers.get(name, ()))
            if len(edges) > 1:
                ranks = self._ranks
                edges.sort(key=lambda e: (e[0].inputs[e[1]].index, ranks[e[0].name], e[1]))
            self._in_order[name] = edges
        return edges

    def reader_count(self, name: str) -> int:
        """How many edges leave ``name``."""
        if self._shared:
            self._index_again()
        return len(self._readers.get(name, ()))

    def note(self, name: str) -> None:
        """Something about a node has changed."""
        self.version += 1
        self._touched.add(name)

    def take_touched(self) -> set[str]:
        """Names of nodes that changed since this was last asked: edges on either side count."""
        touched, self._touched = self._touched, set()
        return touched

    def current_version(self) -> int:
        """``version``, with changes of nodes that another map took counted."""
        if self._shared:
            self._index_again()
        return self.version

    def join(self, node: Node) -> None:
        """Take up the edges into a node; a map that had it before looks for itself from now on."""
        if node.owner is not None and node.owner is not self:
            node.owner._shared = True
        node.owner = self
        self.note(node.name)
        for position, ref in enumerate(node.inputs):
            self._add_edge(ref.node, node, position)

    def leave(self, node: Node) -> None:
        """Drop the edges into a node."""
        self.note(node.name)
        for position, ref in enumerate(node.inputs):
            self._drop_edge(ref.node, node, position)

    def move_edge(self, node: Node, position: int, before: str, after: str) -> None:
        """An input of a node reads ``after`` now, and read ``before``."""
        self.note(node.name)
        self._drop_edge(before, node, position)
        self._add_edge(after, node, position)

    def _add_edge(self, name: str, node: Node, position: int) -> None:
        edges = self._readers.get(name)
        if edges is None:
            edges = self._readers[name] = set()
        edges.add((node, position))
        self._touched.add(name)
        self._in_order.pop(name, None)

    def _drop_edge(self, name: str, node: Node, position: int) -> None:
        edges = self._readers.get(name)
        if edges is not None:
            edges.discard((node, position))
            self._touched.add(name)
            self._in_order.pop(name, None)

    def _index_again(self) -> None:
        self._shared = False
        self._readers.clear()
        self._in_order.clear()
        for node in dict.values(self):
            self.join(node)

    # -- names -----------------------------------------------------------------------------

    def unique(self, wanted: str) -> str:
        """``wanted``, or the first of ``wanted_1``, ``wanted_2`` ... that is not taken."""
        if wanted not in self:
            return wanted
        count = self._taken.get(wanted, 0) + 1
        while f"{wanted}_{count}" in self:
            count += 1
        self._taken[wanted] = count - 1
        return f"{wanted}_{count}"

    # -- order -----------------------------------------------------------------------------

    def insert_before(self, anchor: str, node: Node) -> None:
        self._insert(self._before[anchor], anchor, node)

    def insert_after(self, anchor: str, node: Node) -> None:
        self._insert(anchor, self._after[anchor], node)

    def replace(self, name: str, node: Node) -> None:
        """Put ``node``, under its own name, at the place of ``name``."""
        before, after = self._before[name], self._after[name]
        del self[name]
        self._insert(before, after, node)

    def swap(self, one: str, other: str) -> None:
        """Exchange the places of two nodes."""
        if self._after[other] == one:
            one, other = other, one
        before, node = self._before[one], self[one]
        after, second = self._after[other], self[other]
        if self._after[one] == other:
            del self[one]
            self.insert_after(other, node)
            return
        follower = self._after[one]
        del self[one], self[other]
        self._insert(before, follower, second)
        self._insert(self._before[after], after, node)

    def _insert(self, before: str, after: str, node: Node) -> None:
        """Between two names that are neighbours; "" is the end."""
        super().__setitem__(node.name, node)
        self._link(before, node.name, after)
        self._shuffled = self._shuffled or after != ""
        self.join(node)

    def _link(self, before: str, name: str, after: str) -> None:
        self._after[before] = self._before[after] = name
        self._before[name], self._after[name] = before, after
        low = self._ranks[before] if before else 0
        high = self._ranks[after] if after else low + 2 * _GAP
        self._ranks[name] = (low + high) // 2
        if self._ranks[name] == low:
            self._number_again()

    def _unlink(self, name: str) -> None:
        before, after = self._before.pop(name), self._after.pop(name)
        self._after[before], self._before[after] = after, before
        del self._ranks[name]

    def _number_again(self) -> None:
        for number, name in enumerate(self._names()):
            self._ranks[name] = (number + 1) * _GAP

    def _names(self) -> Iterator[str]:
        name = self._after[""]
        while name:
            yield name
            name = self._after[name]

    def _sort(self) -> None:
        if self._shuffled:
            self._shuffled = False
            ordered = [(name, dict.__getitem__(self, name)) for name in self._names()]
            dict.clear(self)
            dict.update(self, ordered)

    # -- as a dictionary -------------------------------------------------------------------

    def __setitem__(self, name: str, node: Node) -> None:
        """At the end, or at the place of the node that has the name."""
        before = self.get(name)
        if before is node:
            return
        if before is not None:
            self._forget(before)
        super().__setitem__(name, node)
        if before is None:
            self._link(self._before[""], name, "")
        self.join(node)

    def __delitem__(self, name: str) -> None:
        node = self[name]
        super().__delitem__(name)
        self._unlink(name)
        self._forget(node)
        self._taken.clear()

    def _forget(self, node: Node) -> None:
        self.leave(node)
        if node.owner is self:
            node.owner = None

    def pop(self, name: str, default: Any = None) -> Any:
        if name not in self:
            return default
        node = self[name]
        del self[name]
        return node

    def update(self, nodes: Any = (), /, **_: Any) -> None:
        for name, node in dict(nodes).items():
            self[name] = node

    def clear(self) -> None:
        for name in list(dict.keys(self)):
            del self[name]

    def __iter__(self) -> Iterator[str]:
        self._sort()
        return super().__iter__()

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        self._sort()
        return super().keys()

    def values(self) -> ValuesView[Node]:  # type: ignore[override]
        self._sort()
        return super().values()

    def items(self) -> ItemsView[str, Node]:  # type: ignore[override]
        self._sort()
        return super().items()
