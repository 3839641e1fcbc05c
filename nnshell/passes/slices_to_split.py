"""Slices that cut one tensor into parts, as one split.

A split whose parts lie one after the other in memory costs nothing on the chip; each slice is a
copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from nnshell.ir.basic_operators import Unused
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ops.split import Split
from nnshell.passes.base import Notes, Pass
from nnshell.passes.rewriting import live_nodes, make_node


@dataclass(frozen=True, slots=True)
class _Cut:
    """A slice of ``start`` to ``end`` along one axis, everything along the others."""

    node: Node
    axis: int
    start: int
    end: int


@dataclass(frozen=True)
class SlicesToSplit(Pass):
    """Slices (or gathers) that together take all of a tensor, as one split."""

    name: ClassVar[str] = "slices-to-split"
    nntool_names: ClassVar[tuple[str, ...]] = ("slice_to_split", "gather_to_split")

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for source in live_nodes(graph):
            for index in range(len(source.outputs)):
                self._join(graph, Ref(source.name, index), notes)
        for node in live_nodes(graph):
            cut = _cut(graph, node)
            if cut is not None and _is_sequence(graph, node.inputs[0]):
                _split_steps(graph, cut, notes)

    def _join(self, graph: Graph, ref: Ref, notes: Notes) -> None:
        cuts = [
            cut
            for reader, position in graph.consumers(ref.node)
            if reader.inputs[position] == ref and (cut := _cut(graph, reader)) is not None
        ]
        for axis in sorted({cut.axis for cut in cuts}):
            along = [cut for cut in cuts if cut.axis == axis]
            ranges = sorted({(cut.start, cut.end) for cut in along})
            if len(ranges) > 1:
                self._join_axis(graph, ref, axis, along, ranges, notes)

    def _join_axis(
        self,
        graph: Graph,
        ref: Ref,
        axis: int,
        cuts: list[_Cut],
        ranges: list[tuple[int, int]],
        notes: Notes,
    ) -> None:
        names = ", ".join(cut.node.name for cut in cuts)
        edges = [0, *(end for _, end in ranges)]
        complete = edges[:-1] == [start for start, _ in ranges]
        if not complete or edges[-1] != graph.type_of(ref).shape[axis]:
            text = f"did not make a split of slices {names}: they overlap or leave gaps"
            notes.did_not(ref.node, text, *(cut.node.name for cut in cuts))
            return
        origin = cuts[0].node.origin
        op = Split(axis, tuple(end - start for start, end in ranges))
        split = make_node(graph, f"{ref.node}_split", op, [ref], origin)
        graph.insert(split, before=cuts[0].node.name)
        for cut in cuts:
            graph.redirect(Ref(cut.node.name), Ref(split.name, ranges.index((cut.start, cut.end))))
            del graph.nodes[cut.node.name]
        notes.touch(split)
        text = f"made {split.name} of the slices {names}: together they take all of {ref.node}"
        notes.did(split.name, text, ref.node, *(cut.node.name for cut in cuts))


def _is_sequence(graph: Graph, ref: Ref) -> bool:
    """Whether a tensor holds the steps of a recurrent layer, perhaps moved and joined."""
    node = graph[ref.node]
    while node.op.keeps_record and node.op.role in ("", "move", "join") and node.inputs:
        if node.op.taken() is not None:
            return False
        node = graph.producer(node)
    return node.op.sequence_axis is not None


def _split_steps(graph: Graph, cut: _Cut, notes: Notes) -> None:
    """One slice of a sequence as a split, whose other parts have names and no reader."""
    node = cut.node
    extent = graph.type_of(node.inputs[0]).shape[cut.axis]
    edges = [0, cut.start, cut.end, extent]
    sizes = [end - start for start, end in pairwise(edges)]
    kept = 0 if sizes[0] == 0 else 1
    op = Split(cut.axis, tuple(size for size in sizes if size))
    split = make_node(graph, f"{node.name}_split", op, node.inputs, node.origin)
    split.name = node.name
    graph.redirect(Ref(node.name), Ref(node.name, kept))
    graph.replace_node(node.name, split)
    others = [index for index in range(len(op.sizes)) if index != kept]
    for number, index in enumerate(others):
        name = f"{node.name}_unused{number}"
        place = split.name
        unused = make_node(graph, name, Unused(), [Ref(split.name, index)], node.origin)
        graph.insert_after(unused, after=place)
    notes.touch(split)
    what = "another part" if len(others) == 1 else "two other parts"
    text = f"made slice {split.name} a split with {what} that nothing reads: nothing is copied"
    notes.did(split.name, text)


def _cut(graph: Graph, node: Node) -> _Cut | None:
    slices = node.op.taken()
    if slices is None or any(entry.step != 1 for entry in slices):
        return None
    shape = graph.type_of(node.inputs[0]).shape
    limits = [(entry.start, entry.stop) for entry in slices]
    axes = [axis for axis, extent in enumerate(shape) if limits[axis] != (0, extent)]
    return _Cut(node, axes[0], *limits[axes[0]]) if len(axes) == 1 else None
