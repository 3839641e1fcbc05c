"""Batch normalization disappears into the filter before it.

    y = (filter(x) - mean) / sqrt(variance + epsilon) * scale + bias

is again a filter, with (all in float32, in this order; ``ops/batch_norm.py``)

    r = sqrt(variance + epsilon);  w' = w * (scale / r);  b' = ((b - mean) * scale) / r + bias

Where there is no filter before, it is one product and one sum per channel,

    y = factor * x + offset,  factor = scale / r,  offset = (-mean * scale) / r + bias

which on a feature map is a depthwise 1x1 convolution: that has a kernel with a scale per channel,
and pools and activations fuse with it. NNTool writes a product and a sum with constants instead,
for which the AutoTiler has no kernel unless the constants are as large as the feature map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.work import Window
from nnshell.ops.add import Add
from nnshell.ops.batch_norm import BatchNorm, Normalization, folded
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.mul import Mul
from nnshell.passes.base import Notes, Pass
from nnshell.passes.rewriting import (
    add_constant,
    bypass,
    live_nodes,
    make_node,
    set_constant,
    shared_by,
    sole_consumer,
)


@dataclass(frozen=True)
class FoldBatchNorm(Pass):
    """Batch normalization after a convolution or linear layer, into its weights and bias."""

    name: ClassVar[str] = "fold-batch-norm"
    nntool_names: ClassVar[tuple[str, ...]] = ("fuse_batchnorm",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for node in live_nodes(graph):
            if node.op.role == "normalization":
                _fold(graph, node, notes)


def _fold(graph: Graph, node: Node, notes: Notes) -> None:
    before = graph.producer(node)
    if before.op.role != "filter":
        text = f"did not fold {node.name}: before it is {before.kind}, not a filter"
        notes.did_not(node.name, text, before.name)
        return
    reason = _refusal(graph, before, node)
    norm = normalization(graph, node)
    weights, bias = graph.constant(before.inputs[1]), graph.constant(before.inputs[2])
    if reason or norm is None or weights is None or bias is None:
        text = f"did not fold {node.name} into {before.name}: {reason or 'it is not constant'}"
        notes.did_not(node.name, text, before.name)
        return
    new_weights, new_bias = folded(weights, bias, norm)
    set_constant(graph, before, 1, new_weights)
    set_constant(graph, before, 2, new_bias)
    bypass(graph, node)
    notes.touch(before)
    text = f"folded batch norm {node.name} into the weights and bias of {before.name}"
    notes.did(before.name, text, node.name)


def _refusal(graph: Graph, before: Node, node: Node) -> str:
    if sole_consumer(graph, before) is not node:
        return shared_by(graph, before).replace("its", f"{before.name}'s", 1)
    return ""


def normalization(graph: Graph, node: Node) -> Normalization | None:
    """The constants of a batch norm node, or None when one of them is computed."""
    if not isinstance(node.op, BatchNorm):
        return None
    values = [graph.constant(ref) for ref in node.inputs[1:]]
    if any(value is None for value in values):
        return None
    scale, bias, mean, variance = (np.asarray(value, np.float32) for value in values)
    return Normalization(scale, bias, mean, variance, node.op.epsilon)


@dataclass(frozen=True)
class BatchNormToConv(Pass):
    """Batch normalization that could not be folded becomes a depthwise 1x1 convolution."""

    name: ClassVar[str] = "batch-norm-to-conv"

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for node in live_nodes(graph):
            norm = normalization(graph, node)
            if norm is not None and len(node.type.shape) == 3:
                _to_conv(graph, node, norm, notes)


def _to_conv(graph: Graph, node: Node, norm: Normalization, notes: Notes) -> None:
    factor, offset = norm.factor_and_offset()
    weights = factor.reshape(-1, 1, 1, 1)
    node.inputs = [
        node.inputs[0],
        add_constant(graph, f"{node.name}_weights", weights, node.name, node.origin),
        add_constant(graph, f"{node.name}_biases", offset, node.name, node.origin),
    ]
    node.op = Conv2D(Window(), groups=len(weights))
    notes.touch(node)
    notes.did(
        node.name,
        f"made batch norm {node.name} a depthwise 1x1 convolution: there is no filter before",
    )


@dataclass(frozen=True)
class SplitBatchNorm(Pass):
    """Batch normalization that could not be folded becomes a product and a sum."""

    name: ClassVar[str] = "split-batch-norm"
    nntool_names: ClassVar[tuple[str, ...]] = ("batchnorm_to_discrete_ops",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for node in live_nodes(graph):
            norm = normalization(graph, node)
            if norm is not None:
                _split(graph, node, norm, notes)


def _split(graph: Graph, node: Node, norm: Normalization, notes: Notes) -> None:
    per_channel = (-1, *(1 for _ in node.type.shape[1:]))
    factor, offset = (value.reshape(per_channel) for value in norm.factor_and_offset())
    factor_ref = add_constant(graph, f"{node.name}_factor", factor, node.name, node.origin)
    inputs = [node.inputs[0], factor_ref]
    product = make_node(graph, f"{node.name}_mul", Mul(), inputs, node.origin)
    graph.insert(product, before=node.name)
    offset_ref = add_constant(graph, f"{node.name}_offset", offset, node.name, node.origin)
    node.op = Add()
    node.inputs = [Ref(product.name), offset_ref]
    notes.touch(product, node)
    notes.did(
        node.name,
        f"made {product.name} and {node.name} (a product and a sum) of batch norm {node.name}",
        product.name,
    )
