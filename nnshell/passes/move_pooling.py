"""Max pools before rectifiers.

    max(f(a), f(b)) = f(max(a, b))   for every f that never decreases

so ``conv, relu, max pool`` is ``conv, max pool, relu``: a quarter of the values to rectify, and
the order in which the fused kernel works. After tanh, sigmoid, their hard forms and leaky
rectifiers the pool stays where it is: those change the scale of the integers, and the kernel pools
after them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nnshell.ir.graph import Graph, Node
from nnshell.passes.base import Notes, Pass
from nnshell.passes.rewriting import live_nodes, shared_by, sole_consumer, swap_with_consumer


@dataclass(frozen=True)
class MovePoolingUp(Pass):
    """Max pool moves before the rectifier between it and its convolution."""

    name: ClassVar[str] = "move-pooling-up"
    nntool_names: ClassVar[tuple[str, ...]] = ("move_pooling_scale8",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for pool in live_nodes(graph):
            if pool.op.role == "max_pool":
                self._move(graph, pool, notes)

    def _move(self, graph: Graph, pool: Node, notes: Notes) -> None:
        active = graph.producer(pool)
        if active.op.role != "activation":
            return
        conv = graph.producer(active)
        if (
            conv.op.role != "filter"
            or conv.op.sliding_window() is None
            or sole_consumer(graph, conv) is not active
        ):
            return
        reason = self._refusal(graph, active, pool)
        if reason:
            text = f"left {pool.name} after {active.name}: {reason}"
            notes.did_not(pool.name, text, active.name, conv.name)
            return
        swap_with_consumer(graph, active, pool)
        notes.touch(active, pool)
        text = f"moved {pool.name} before {active.name}: the same result on fewer values"
        notes.did(pool.name, text, active.name, conv.name)

    def _refusal(self, graph: Graph, active: Node, pool: Node) -> str:
        if sole_consumer(graph, active) is not pool:
            return shared_by(graph, active).replace("its", f"{active.name}'s", 1)
        if not active.op.commutes_with_max or active.op.needs_wide_input:
            return f"{active.kind} stays next to its convolution"
        return ""
