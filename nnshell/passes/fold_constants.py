"""A constant sum or product after a filter, into its bias or weights.

    filter(x) + c = filter with bias b + c
    filter(x) * s = filter with weights s * w and bias s * b      (s, c one number per channel)
    a @ W, W constant, a one row = linear layer with weights W^T

The product is folded where no product of weight and factor is rounded (a power of two, say), so
that the float result stays the same to the bit; ``rounding`` folds it in any case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.basic_operators import Reshape
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ops.linear import Linear
from nnshell.ops.matmul import MatMul
from nnshell.passes.base import Notes, Pass
from nnshell.passes.rewriting import (
    add_constant,
    bypass,
    constant_operand,
    insert_after,
    is_constant,
    live_nodes,
    make_node,
    per_channel,
    retype,
    set_constant,
    shape_text,
    shared_by,
    sole_consumer,
)


@dataclass(frozen=True)
class FoldBias(Pass):
    """Sum with a constant after a convolution or linear layer, into its bias."""

    name: ClassVar[str] = "fold-bias"
    nntool_names: ClassVar[tuple[str, ...]] = ("fuse_external_bias", "fuse_external_bias_matmul")

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for node in live_nodes(graph):
            if isinstance(node.op, MatMul):
                _make_linear(graph, node, node.op.transpose_b, notes)
        for node in live_nodes(graph):
            if node.op.role in ("sum", "difference"):
                _move_before_reshape(graph, node)
                _fold_sum(graph, node, notes)


def _make_linear(graph: Graph, node: Node, transposed: bool, notes: Notes) -> None:
    """A row times a constant matrix is a linear layer."""
    matrix = graph.constant(node.inputs[1])
    rows = graph.type_of(node.inputs[0])
    if matrix is None or matrix.ndim != 2 or graph.constant(node.inputs[0]) is not None:
        return
    if rows.size != rows.shape[-1]:
        shape = shape_text(rows.shape)
        notes.did_not(
            node.name,
            f"left {node.name} a matrix product: its input {shape} has more than one row",
        )
        return
    shape_before = node.type.shape
    weights = matrix if transposed else matrix.T
    node.op = Linear()
    node.inputs = [
        node.inputs[0],
        add_constant(graph, f"{node.name}_weights", weights, node.name, node.origin),
        add_constant(
            graph, f"{node.name}_biases", np.zeros(len(weights), np.float32), node.name, node.origin
        ),
    ]
    _keep_shape(graph, node, shape_before)
    notes.touch(node)
    notes.did(node.name, f"made {node.name} a linear layer: one row times a constant matrix")


def _keep_shape(graph: Graph, node: Node, shape: tuple[int, ...]) -> None:
    """Readers of a product that became a linear layer still see its leading axes."""
    retype(graph, node)
    if node.type.shape != shape:
        reshape = make_node(
            graph, f"{node.name}_reshape", Reshape(shape), [Ref(node.name)], node.origin
        )
        insert_after(graph, node, reshape)


def _move_before_reshape(graph: Graph, node: Node) -> None:
    """``linear -> reshape to one row -> sum`` becomes ``linear -> sum -> reshape``."""
    operand = constant_operand(graph, node)
    if operand is None or (operand[0] == 0 and node.op.role == "difference"):
        return
    position, value = operand
    reshape = graph.producer(node, 1 - position)
    shape = reshape.type.shape
    if not reshape.op.reshapes or sole_consumer(graph, reshape) is not node:
        return
    linear = graph.producer(reshape)
    one_row = shape[-1:] == linear.type.shape and node.type.shape == shape
    if (
        linear.op.role != "filter"
        or not linear.op.reads_flat
        or sole_consumer(graph, linear) is not reshape
    ):
        return
    if one_row and is_constant(graph, linear.inputs[2]):
        set_constant(graph, node, position, np.broadcast_to(value, shape).reshape(-1))
        node.inputs[1 - position] = Ref(linear.name)
        graph.redirect(Ref(node.name), Ref(reshape.name))
        reshape.inputs = [Ref(node.name)]
        retype(graph, node)


def _fold_sum(graph: Graph, node: Node, notes: Notes) -> None:
    result = _operand(graph, node, notes)
    if result is None:
        return
    before, position, value = result
    if position == 0 and node.op.role == "difference":
        return  # constant minus filter would need the weights negated
    bias = graph.constant(before.inputs[2])
    if bias is None:
        return
    sign = np.float32(-1 if node.op.role == "difference" else 1)
    set_constant(graph, before, 2, bias.astype(np.float32) + sign * value)
    bypass(graph, node, 1 - position)
    notes.touch(before)
    text = f"folded the constant of {node.name} into the bias of {before.name}"
    notes.did(before.name, text, node.name)


@dataclass(frozen=True)
class FoldScale(Pass):
    """Product with a constant after a convolution or linear layer, into its weights."""

    name: ClassVar[str] = "fold-scale"
    rounding: bool = False

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for node in live_nodes(graph):
            if node.op.role in ("product", "quotient"):
                self._fold_product(graph, node, notes)

    def _fold_product(self, graph: Graph, node: Node, notes: Notes) -> None:
        result = _operand(graph, node, notes)
        if result is None or (result[1] == 0 and node.op.role == "quotient"):
            return
        before, position, value = result
        weights, bias = graph.constant(before.inputs[1]), graph.constant(before.inputs[2])
        if weights is None or bias is None:
            return
        divide = node.op.role == "quotient"
        new_weights, exact_weights = _scaled(weights, value, divide)
        new_bias, exact_bias = _scaled(bias, value, divide)
        if not (self.rounding or (exact_weights and exact_bias)):
            text = (
                f"did not fold {node.name} into {before.name}: the scaled weights would be "
                "rounded; `fusions -a fold_scale_rounded` does it"
            )
            notes.did_not(node.name, text, before.name)
            return
        set_constant(graph, before, 1, new_weights)
        set_constant(graph, before, 2, new_bias)
        bypass(graph, node, 1 - position)
        notes.touch(before)
        text = f"folded the factor of {node.name} into the weights and bias of {before.name}"
        notes.did(before.name, text, node.name)


def _scaled(
    values: NDArray[Any], factor: NDArray[np.float32], divide: bool
) -> tuple[NDArray[np.float32], bool]:
    """``values`` times ``factor`` per row in float32, and whether nothing was rounded."""
    wide = factor.astype(np.float64).reshape(-1, *(1 for _ in values.shape[1:]))
    with np.errstate(all="ignore"):
        exact = values.astype(np.float64) / wide if divide else values.astype(np.float64) * wide
        rounded = exact.astype(np.float32)
        back = rounded.astype(np.float64) * wide if divide else exact
    same = np.array_equal(back, values.astype(np.float64) if divide else rounded)
    return rounded, bool(same and np.isfinite(rounded).all())


def _operand(
    graph: Graph, node: Node, notes: Notes
) -> tuple[Node, int, NDArray[np.float32]] | None:
    """(filter, position of the constant, its value per channel) before ``node``."""
    constant = constant_operand(graph, node)
    if constant is None:
        return None
    position, value = constant
    before = graph.producer(node, 1 - position)
    if before.op.role != "filter":
        return None
    channels = per_channel(value, before.type) if node.type.shape == before.type.shape else None
    if sole_consumer(graph, before) is not node:
        reason = shared_by(graph, before).replace("its", f"{before.name}'s", 1)
    elif channels is None:
        shape = shape_text(value.shape)
        reason = f"its constant of shape {shape} is not one number per channel"
    else:
        return before, position, channels
    notes.did_not(node.name, f"did not fold {node.name} into {before.name}: {reason}", before.name)
    return None
