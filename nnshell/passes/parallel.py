"""Readers of one tensor that do the same, or convolve it alike.

    f(x), f(x)                    ->  one f(x)
    conv(x, w1), conv(x, w2)      ->  split(conv(x, [w1; w2]))

One convolution reads its input once where two read it twice; what follows takes its part of the
result.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from nnshell.ir.facts import Role
from nnshell.ir.graph import Graph, Node, Ref, constant_node
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.leaky_relu import LeakyRelu
from nnshell.ops.split import Split
from nnshell.passes.base import Notes, Pass
from nnshell.passes.rewriting import live_nodes, make_node, place_after, retype

_COMMUTATIVE: tuple[Role, ...] = ("sum", "product")
_ORDERED: tuple[Role, ...] = ("difference", "quotient")


@dataclass(frozen=True)
class MergeEqualOperations(Pass):
    """Rectifiers, moves and sums of the same tensors, once instead of twice."""

    name: ClassVar[str] = "merge-equal-operations"
    nntool_names: ClassVar[tuple[str, ...]] = ("duplicate_operations",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        order = cache(graph.reading_order)  # of what is there: nodes that are added have one reader
        for node in live_nodes(graph):
            for readers in _readers_by_output(graph, node, order):
                self._merge(graph, readers, notes)

    def _merge(self, graph: Graph, readers: list[Node], notes: Notes) -> None:
        first: dict[Hashable, Node] = {}
        for reader in readers:
            key = _what_it_computes(reader)
            if key is None or first.setdefault(key, reader) is reader:
                continue
            kept = first[key]
            graph.redirect(Ref(reader.name), Ref(kept.name))
            del graph.nodes[reader.name]
            notes.touch(kept)
            notes.did(kept.name, f"removed {reader.name}: {kept.name} does the same", reader.name)


def _what_it_computes(node: Node) -> Hashable | None:
    """Operator and operands of what may be merged; None of everything else."""
    op, operands = node.op, tuple(node.inputs)
    if op.role in _COMMUTATIVE:
        return op, frozenset(operands), len(operands)
    rectifies = op.clips_to is not None or isinstance(op, LeakyRelu)
    moves = op.role == "move" and len(node.outputs) == 1 and not op.copies
    return (op, operands) if rectifies or moves or op.reshapes or op.role in _ORDERED else None


def _readers_by_output(
    graph: Graph, node: Node, order: Callable[[], dict[str, tuple[int, int, int]]]
) -> Iterator[list[Node]]:
    """Of each output with several: its readers, each once, as the model file has them."""
    edges = graph.consumers(node.name)
    if len(edges) < 2:
        return
    for index in range(len(node.outputs)):
        readers = {n.name: n for n, p in edges if n.inputs[p] == Ref(node.name, index)}
        if len(readers) > 1:
            yield sorted(readers.values(), key=lambda reader: order()[reader.name])


@dataclass(frozen=True)
class MergeParallelConvolutions(Pass):
    """Convolutions of one tensor with equal windows and channels, as one, and its result cut."""

    name: ClassVar[str] = "merge-parallel-convolutions"

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        order = cache(graph.reading_order)  # of what is there: nodes that are added have one reader
        for node in live_nodes(graph):
            for readers in _readers_by_output(graph, node, order):
                alike: dict[Hashable, list[Node]] = {}
                for reader in readers:
                    key = _shape_of_convolution(graph, reader)
                    if key is not None:
                        alike.setdefault(key, []).append(reader)
                for convolutions in alike.values():
                    if len(convolutions) > 1:
                        _join(graph, convolutions, notes)


def _shape_of_convolution(graph: Graph, node: Node) -> Hashable | None:
    """What must be equal; None where the node is no plain convolution with constants."""
    op = node.op
    if not isinstance(op, Conv2D) or op.groups > 1:
        return None
    weights, bias = (graph.constant(ref) for ref in node.inputs[1:])
    return None if weights is None or bias is None else (op, weights.shape, weights.dtype)


def _join(graph: Graph, convolutions: list[Node], notes: Notes) -> None:
    first, others = convolutions[0], convolutions[1:]
    for position in (1, 2):
        parts = [graph.constant(node.inputs[position]) for node in convolutions]
        value = np.concatenate([part for part in parts if part is not None])
        old = graph[first.inputs[position].node]
        new = constant_node(old.name, value, old.origin)
        if graph.consumer_count(old.name) == 1:
            graph.replace_node(old.name, new)
        else:
            new.name = graph.unique_name(old.name)
            graph.insert(new, before=first.name)
            first.inputs[position] = Ref(new.name)
    sizes = tuple(node.type.shape[0] for node in convolutions)
    retype(graph, first)
    split = make_node(
        graph, f"{first.name}_split", Split(0, sizes), [Ref(first.name)], first.origin
    )
    for index, node in enumerate(convolutions):
        graph.redirect(Ref(node.name), Ref(split.name, index))
    place_after(graph, first.name, split)
    for node in others:
        del graph.nodes[node.name]
    notes.touch(first, split)
    names = ", ".join(node.name for node in others)
    text = f"merged {names} into {first.name}, whose result {split.name} cuts"
    notes.did(first.name, text, *(node.name for node in others))
