"""The padding of a max pool as a border of its own, which never is the maximum.

max pool with pads p of x  =  max pool without pads of pad(x, p, lowest)

Its kernel pads with 0, which wins over negative values; the border's integer is the smallest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from nnshell.ir.graph import Graph, Node
from nnshell.ops.pad import LOWEST, Pad
from nnshell.passes.base import Notes, Pass
from nnshell.passes.rewriting import insert_on_edge, live_nodes, make_node, retype


@dataclass(frozen=True)
class ExpandPoolPadding(Pass):
    """Padding of max pools into borders of the smallest value, where it could be the maximum."""

    name: ClassVar[str] = "expand-pool-padding"

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for pool in live_nodes(graph):
            if pool.op.role == "max_pool" and pool.body is None:
                _expand(graph, pool, notes)


def _expand(graph: Graph, pool: Node, notes: Notes) -> None:
    window = pool.op.sliding_window()
    if window is None or not window.padded:
        return
    top, left, bottom, right = window.pads
    border = Pad(((0, 0), (top, bottom), (left, right)), LOWEST)
    pad = make_node(graph, f"{pool.name}_border", border, [pool.inputs[0]], pool.origin)
    insert_on_edge(graph, pool, 0, pad)
    pool.op = pool.op.with_window(replace(window, pads=(0, 0, 0, 0)))
    retype(graph, pool)
    notes.touch(pool)
    notes.did(pool.name, f"put the padding of {pool.name} into a border of the smallest value")
