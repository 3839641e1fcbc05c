"""An activation after a linear layer, a pool, a sum or a matrix product, in its kernel.

    y = act(op(x))

The kernel applies the activation to each value before it writes it, so the values before
the activation are never stored: nobody else may read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from nnshell.ir.graph import Graph, Node
from nnshell.ir.operator import Operator
from nnshell.ops.add import Add
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.global_pool import GlobalPool
from nnshell.ops.linear import Linear
from nnshell.ops.matmul import MatMul
from nnshell.ops.max_pool import MaxPool
from nnshell.passes.activations import KernelSet, fusible, why_not_fusible
from nnshell.passes.base import Notes, Pass
from nnshell.passes.fusing import fuse_chain
from nnshell.passes.rewriting import live_nodes, readers, shared_by, sole_consumer

KINDS: dict[type[Operator], str] = {
    Linear: "linear_fusion_linear_active",
    MaxPool: "activation_fusion_pool_active",
    AveragePool: "activation_fusion_pool_active",
    GlobalPool: "activation_fusion_global_pool_active",
    Add: "broadcastable_activation_fusion_add_active",
    MatMul: "matmul_fusion_matmul_active",
}
ALONE = ("difference", "product", "quotient")  # roles whose kernels run no activation


@dataclass(frozen=True)
class FuseLinearActivation(Pass):
    """Fully connected layer with the activation after it, in one kernel."""

    name: ClassVar[str] = "fuse-linear-activation"
    nntool_names: ClassVar[tuple[str, ...]] = ("fuse_gap_linear",)
    kernels: KernelSet = "scale8"

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        _fuse_all(graph, (Linear,), self.kernels, notes)


@dataclass(frozen=True)
class FusePoolActivation(Pass):
    """Pool over a window or over all of the feature map with the activation after it."""

    name: ClassVar[str] = "fuse-pool-activation"
    nntool_names: ClassVar[tuple[str, ...]] = ("fuse_gap_pool",)
    kernels: KernelSet = "scale8"

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        _fuse_all(graph, (MaxPool, AveragePool, GlobalPool), self.kernels, notes)


@dataclass(frozen=True)
class FuseOperatorActivation(Pass):
    """Sum, matrix product or pool with the activation after it, in one kernel."""

    name: ClassVar[str] = "fuse-operator-activation"
    nntool_names: ClassVar[tuple[str, ...]] = (
        "fuse_op_activation_scale8",
        "fuse_op_activation_pow2",
    )
    kernels: KernelSet = "scale8"

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        _fuse_all(graph, (Add, MatMul, MaxPool, AveragePool, GlobalPool), self.kernels, notes)
        for node in live_nodes(graph):
            follower = sole_consumer(graph, node) if node.op.role in ALONE else None
            if follower is not None and fusible(follower.op, self.kernels):
                _note(node, follower, f"the {node.kind} kernel runs no activation", notes)


def _fuse_all(
    graph: Graph, kinds: tuple[type[Operator], ...], kernels: KernelSet, notes: Notes
) -> None:
    for node in live_nodes(graph):
        if isinstance(node.op, kinds):
            _fuse(graph, node, kernels, notes)


def _fuse(graph: Graph, node: Node, kernels: KernelSet, notes: Notes) -> None:
    follower = sole_consumer(graph, node)
    if follower is None:
        for reader in readers(graph, node):
            if fusible(reader.op, kernels):
                _note(node, reader, shared_by(graph, node), notes)
    elif fusible(follower.op, kernels):
        fuse_chain(graph, [node, follower], _kind(node.op, KINDS), notes)
    elif follower.op.role == "activation":
        _note(node, follower, why_not_fusible(follower.op), notes)


def _kind(op: Operator, kinds: Mapping[type[Operator], str]) -> str:
    return next(kind for cls, kind in kinds.items() if isinstance(op, cls))


def _note(node: Node, follower: Node, reason: str, notes: Notes) -> None:
    notes.did_not(
        node.name, f"did not fuse {node.name} with {follower.name}: {reason}", follower.name
    )
