"""Convolution, pooling and activation as one kernel.

    y = act(pool(conv(x)))      conv_fusion_conv_pool_active, conv_fusion_conv_pool
    y = pool(act(conv(x)))      conv_fusion_conv_active_pool
    y = act(conv(x))            conv_fusion_conv_active

The kernel computes a tile of the convolution in L1 and pools and clips it there, so neither the
convolution's result nor the pool's travels to L2. After an activation only a max pool can
follow. This needs the convolution's result to be read by nobody else: it is never stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nnshell.ir.facts import POOLS
from nnshell.ir.graph import Graph, Node
from nnshell.ir.operator import Operator
from nnshell.ops.conv2d import Conv2D
from nnshell.passes.activations import KernelSet, fusible, why_not_fusible
from nnshell.passes.base import Notes, Pass
from nnshell.passes.fusing import fuse_chain
from nnshell.passes.rewriting import live_nodes, readers, shared_by, sole_consumer


@dataclass(frozen=True)
class FuseConvPoolActivation(Pass):
    """Convolution with the pool and the activation after it, in one kernel."""

    name: ClassVar[str] = "fuse-conv-pool-activation"
    nntool_names: ClassVar[tuple[str, ...]] = ("fuse_gap_convs",)
    kernels: KernelSet = "scale8"

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for conv in live_nodes(graph):
            if isinstance(conv.op, Conv2D):
                self._fuse(graph, conv, notes)

    def _fuse(self, graph: Graph, conv: Node, notes: Notes) -> None:
        chain = [conv]
        while (follower := self._next(graph, chain, notes)) is not None:
            chain.append(follower)
        parts = ["pool" if n.op.role in POOLS else "active" for n in chain[1:]]
        if parts:
            fuse_chain(graph, chain, "_".join(["conv_fusion_conv", *parts]), notes)
        else:
            _note_alone(graph, conv, notes)

    def _next(self, graph: Graph, chain: list[Node], notes: Notes) -> Node | None:
        """The node after the chain when the kernel can run it too; otherwise a note says why."""
        last = chain[-1]
        follower = sole_consumer(graph, last)
        if follower is None:
            self._note_shared(graph, chain, notes)
            return None
        reason = self._refusal(chain, follower)
        if reason == "":
            return follower
        if reason is not None:
            _note_refusal(chain, follower, reason, notes)
        return None

    def _refusal(self, chain: list[Node], follower: Node) -> str | None:
        """ "" to fuse, a reason not to, or None when ``follower`` is no candidate at all."""
        pooled = any(n.op.role in POOLS for n in chain)
        activated = any(n.op.role == "activation" for n in chain)
        if follower.op.role in POOLS:
            if pooled:
                return "the kernel pools once"
            if activated and follower.op.role == "mean_pool":
                return "after an activation the kernel only runs a max pool"
            return _dilation_refusal(follower.op)
        if fusible(follower.op, self.kernels):
            return "the kernel runs one activation" if activated else ""
        return why_not_fusible(follower.op) or None

    def _note_shared(self, graph: Graph, chain: list[Node], notes: Notes) -> None:
        last = chain[-1]
        for reader in readers(graph, last):
            if self._refusal(chain, reader) == "":
                _note_refusal(chain, reader, shared_by(graph, last), notes)


def _dilation_refusal(op: Operator) -> str:
    window = op.sliding_window()
    plain = window is not None and window.dilations == (1, 1)
    return "" if plain else "the kernel's pool has no dilation"


def _note_alone(graph: Graph, conv: Node, notes: Notes) -> None:
    """Why a convolution with one reader that is no candidate stays alone."""
    follower = sole_consumer(graph, conv)
    if follower is None or follower.op.role in (*POOLS, "activation"):
        return
    reason = f"{follower.name} after it is {follower.kind}, neither pool nor activation"
    notes.did_not(conv.name, f"left {conv.name} alone: {reason}", follower.name)


def _note_refusal(chain: list[Node], follower: Node, reason: str, notes: Notes) -> None:
    last = chain[-1].name
    others = [node.name for node in chain if node.name != last]
    notes.did_not(
        last, f"did not fuse {last} with {follower.name}: {reason}", follower.name, *others
    )
