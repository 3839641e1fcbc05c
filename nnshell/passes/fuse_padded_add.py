"""Sum of a feature map and one with fewer channels, which are padded with zeros.

    y = act(x0 + pad(x1))

The kernel adds where both have channels and copies the rest, so the padded tensor is never stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nnshell.ir.graph import Graph, Node
from nnshell.passes.activations import KernelSet, fusible
from nnshell.passes.base import Notes, Pass
from nnshell.passes.fusing import fuse_chain
from nnshell.passes.rewriting import is_constant, live_nodes, shared_by, sole_consumer


@dataclass(frozen=True)
class FusePaddedAdd(Pass):
    """Padding of channels, the sum after it and its activation, in one kernel."""

    name: ClassVar[str] = "fuse-padded-add"
    nntool_names: ClassVar[tuple[str, ...]] = ("fuse_padded_add",)
    kernels: KernelSet = "scale8"

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for node in live_nodes(graph):
            if node.op.role == "sum" and not any(is_constant(graph, r) for r in node.inputs):
                self._fuse(graph, node, notes)

    def _fuse(self, graph: Graph, node: Node, notes: Notes) -> None:
        padded = [graph[ref.node] for ref in node.inputs if _pads_channels(graph[ref.node])]
        if len(padded) != 1:
            return
        pad = padded[0]
        if sole_consumer(graph, pad) is not node:
            text = f"did not fuse {pad.name} with {node.name}: {shared_by(graph, pad)}"
            notes.did_not(node.name, text, pad.name)
            return
        chain, kind = [pad, node], "padded_add_fusion_pad_add"
        follower = sole_consumer(graph, node)
        if follower is not None and fusible(follower.op, self.kernels):
            chain, kind = [*chain, follower], f"{kind}_active"
        fuse_chain(graph, chain, kind, notes, filter_node=node)


def _pads_channels(node: Node) -> bool:
    border = node.op.border()
    return border is not None and border.value == 0 and border.channels is not None
