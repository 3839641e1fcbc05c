"""Concat and split: what is joined and cut again, or joined in two goes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ops.strided_slice import slicing
from nnshell.passes.base import Notes, Pass
from nnshell.passes.rewriting import is_constant, live_nodes, make_node, shared_by, sole_consumer


@dataclass(frozen=True)
class CombineConcats(Pass):
    """Concat of a concat along the same axis, as one concat."""

    name: ClassVar[str] = "combine-concats"
    nntool_names: ClassVar[tuple[str, ...]] = ("combine_concats",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for outer in live_nodes(graph):
            if outer.op.joined_axis is not None:
                _inline(graph, outer, notes)


def _inline(graph: Graph, outer: Node, notes: Notes) -> None:
    inputs: list[Ref] = []
    for ref in outer.inputs:
        inner = graph[ref.node]
        if inner.op != outer.op:
            inputs.append(ref)
        elif sole_consumer(graph, inner) is outer:
            inputs.extend(inner.inputs)
            notes.touch(outer)
            notes.did(outer.name, f"joined concat {inner.name} with {outer.name}", inner.name)
        else:
            inputs.append(ref)
            text = f"did not join concat {inner.name} with {outer.name}: {shared_by(graph, inner)}"
            notes.did_not(outer.name, text, inner.name)
    outer.inputs = inputs


@dataclass(frozen=True)
class RemoveConcatSplit(Pass):
    """Split of a concat into the same parts: readers take the parts."""

    name: ClassVar[str] = "remove-concat-split"
    nntool_names: ClassVar[tuple[str, ...]] = ("concat_split",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for split in live_nodes(graph):
            if split.op.cut_axis is not None:
                self._remove(graph, split, notes)

    def _remove(self, graph: Graph, split: Node, notes: Notes) -> None:
        concat, axis = graph.producer(split), split.op.cut_axis
        if axis is None or concat.op.joined_axis != axis:
            return
        parts = (graph.input_types(concat), split.outputs)
        if len({tuple(t.shape[axis] for t in types) for types in parts}) > 1:
            text = f"left split {split.name} of concat {concat.name}: they cut at other places"
            notes.did_not(split.name, text, concat.name)
            return
        if any(is_constant(graph, ref) for ref in concat.inputs):
            text = f"left split {split.name} of concat {concat.name}: a part of it is constant"
            notes.did_not(split.name, text, concat.name)
            return
        for index, ref in enumerate(concat.inputs):
            graph.redirect(Ref(split.name, index), ref)
        del graph.nodes[split.name]
        notes.did(split.name, f"removed split {split.name} of concat {concat.name}", concat.name)


@dataclass(frozen=True)
class RemoveSplitConcat(Pass):
    """Concat of all parts of a split in their order: readers take what was split."""

    name: ClassVar[str] = "remove-split-concat"
    nntool_names: ClassVar[tuple[str, ...]] = ("split_concat",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for concat in live_nodes(graph):
            if concat.op.joined_axis is None or not concat.inputs:
                continue
            split = graph.producer(concat)
            parts = [Ref(split.name, index) for index in range(len(split.outputs))]
            if split.op.cut_axis == concat.op.joined_axis and concat.inputs == parts:
                graph.redirect(Ref(concat.name), split.inputs[0])
                del graph.nodes[concat.name]
                text = f"removed concat {concat.name} of all parts of split {split.name}"
                notes.did(concat.name, text, split.name)


@dataclass(frozen=True)
class SliceInsteadOfConcat(Pass):
    """Slice of a concat that lies in one of its parts, as a slice of that part."""

    name: ClassVar[str] = "slice-instead-of-concat"
    nntool_names: ClassVar[tuple[str, ...]] = ("concat_slice",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for node in live_nodes(graph):
            slices = node.op.taken()
            if slices is not None:
                self._move(graph, node, slices, notes)

    def _move(self, graph: Graph, node: Node, slices: tuple[slice, ...], notes: Notes) -> None:
        concat = graph.producer(node)
        axis = concat.op.joined_axis
        if axis is None or slices[axis].step < 1:
            return
        sizes = [t.shape[axis] for t in graph.input_types(concat)]
        starts = [0, *accumulate(sizes)]
        along = slices[axis]
        for ref, size, start in zip(concat.inputs, sizes, starts, strict=False):
            inside = start <= along.start and along.stop <= start + size
            if inside and not is_constant(graph, ref):
                node.inputs[0] = ref
                shifted = slice(along.start - start, along.stop - start, along.step)
                node.op = slicing((*slices[:axis], shifted, *slices[axis + 1 :]))
                notes.touch(node)
                text = f"{node.name} takes its slice of {ref.node} instead of {concat.name}"
                notes.did(node.name, text, concat.name)
                return


@dataclass(frozen=True)
class SplitToSlice(Pass):
    """Split of which one part is read, as a slice."""

    name: ClassVar[str] = "split-to-slice"
    nntool_names: ClassVar[tuple[str, ...]] = ("split_to_slice",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for split in live_nodes(graph):
            used = {c.inputs[p].index for c, p in graph.consumers(split.name)}
            axis = split.op.cut_axis
            if axis is not None and len(split.outputs) > 1 and len(used) == 1:
                _slice(graph, split, axis, used.pop(), notes)


def _slice(graph: Graph, split: Node, axis: int, index: int, notes: Notes) -> None:
    slices = [slice(0, extent, 1) for extent in graph.type_of(split.inputs[0]).shape]
    sizes = [part.shape[axis] for part in split.outputs]
    start = sum(sizes[:index])
    slices[axis] = slice(start, start + sizes[index], 1)
    part = make_node(graph, f"{split.name}_slice", slicing(slices), split.inputs, split.origin)
    part.name = split.name
    graph.redirect(Ref(split.name, index), Ref(split.name, 0))
    graph.replace_node(split.name, part)
    notes.touch(part)
    notes.did(split.name, f"made split {split.name} a slice: only part {index} is read")
