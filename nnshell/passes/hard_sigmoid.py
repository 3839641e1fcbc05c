"""Hard sigmoid and hard swish, which exporters write as several nodes.

    close    min(max(x + 3, 0), 6) * 1/6          = hard sigmoid(x), alpha 1/6, beta 1/2
    far      x * min(max(x + 3, 0), 6) * 1/6      = x * hard sigmoid(x)
    swish    x * hard sigmoid(x)                  = hard swish(x)

NNTool keeps the product of the last line apart, and so does the scale8 group: fused, the integers
differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.requests import Range
from nnshell.ops.hard_sigmoid import HardSigmoid
from nnshell.ops.hard_swish import HardSwish
from nnshell.passes.base import Notes, Pass
from nnshell.passes.rewriting import (
    bypass,
    constant_operand,
    live_nodes,
    make_node,
    shared_by,
    sole_consumer,
)

HARD_SIGMOID = HardSigmoid(1 / 6, 0.5)


@dataclass(frozen=True)
class MatchCloseHardSigmoid(Pass):
    """Hard sigmoid written as x + 3, relu6, times 1/6."""

    name: ClassVar[str] = "match-close-hard-sigmoid"
    nntool_names: ClassVar[tuple[str, ...]] = ("match_close_hsigmoid",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for clipped in live_nodes(graph):
            summed = _clipped_sum(graph, clipped)
            if summed is None:
                continue
            scaled = sole_consumer(graph, clipped)
            if scaled is None:
                _note_shared(graph, clipped, notes)
            elif _is_sixth(graph, scaled):
                ref = summed[1]
                node = make_node(graph, clipped.name, HARD_SIGMOID, [ref], clipped.origin)
                _replace(graph, clipped, node)
                bypass(graph, scaled, _data_position(graph, scaled))
                _note(node, [summed[0], clipped, scaled], notes)


@dataclass(frozen=True)
class MatchFarHardSigmoid(Pass):
    """Hard sigmoid written as x + 3, relu6, times x, times 1/6."""

    name: ClassVar[str] = "match-far-hard-sigmoid"
    nntool_names: ClassVar[tuple[str, ...]] = ("match_far_hsigmoid",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for clipped in live_nodes(graph):
            summed = _clipped_sum(graph, clipped)
            product = sole_consumer(graph, clipped) if summed else None
            if summed is None or product is None or product.op.role != "product":
                continue
            scaled = sole_consumer(graph, product)
            if scaled is not None and _is_sixth(graph, scaled):
                node = make_node(graph, clipped.name, HARD_SIGMOID, [summed[1]], clipped.origin)
                _replace(graph, clipped, node)
                bypass(graph, scaled, _data_position(graph, scaled))
                _note(node, [summed[0], clipped, scaled], notes)


@dataclass(frozen=True)
class FuseHardSwish(Pass):
    """Product of x and hard sigmoid(x) as hard swish; not part of scale8, NNTool keeps it apart."""

    name: ClassVar[str] = "fuse-hard-swish"

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for product in live_nodes(graph):
            if product.op.role == "product" and len(product.inputs) == 2:
                for gate_position in (0, 1):
                    if _fuse_swish(graph, product, gate_position, notes):
                        break


def _fuse_swish(graph: Graph, product: Node, position: int, notes: Notes) -> bool:
    gate = graph.producer(product, position)
    if not _is_hard_sigmoid(gate) or gate.inputs[0] != product.inputs[1 - position]:
        return False
    if sole_consumer(graph, gate) is not product:
        text = f"did not make {product.name} a hard swish: of {gate.name}, {shared_by(graph, gate)}"
        notes.did_not(product.name, text, gate.name)
        return False
    product.op = HardSwish()
    product.inputs = [gate.inputs[0]]
    notes.touch(product)
    text = f"made hard swish {product.name} of {gate.name} and {product.name}"
    notes.did(product.name, text, gate.name)
    return True


def _is_hard_sigmoid(node: Node) -> bool:
    op = node.op
    return (
        isinstance(op, HardSigmoid)
        and bool(np.isclose(op.alpha, 1 / 6, rtol=1e-6))
        and op.beta == 0.5
    )


def _clipped_sum(graph: Graph, node: Node) -> tuple[Node, Ref] | None:
    """(sum, x) when ``node`` is min(max(x + 3, 0), 6) and nobody else reads the sum."""
    if not _clips_to_six(node):
        return None
    summed = graph.producer(node)
    operand = constant_operand(graph, summed) if summed.op.role == "sum" else None
    if operand is None or not np.all(operand[1] == 3) or sole_consumer(graph, summed) is not node:
        return None
    ref = summed.inputs[1 - operand[0]]
    return (summed, ref) if graph.type_of(ref).shape == summed.type.shape else None


def _clips_to_six(node: Node) -> bool:
    return node.op.clips_to == Range(0.0, 6.0)


def _is_sixth(graph: Graph, node: Node) -> bool:
    """Whether ``node`` multiplies by 1/6 or divides by 6."""
    operand = constant_operand(graph, node)
    if operand is None or graph.type_of(node.inputs[1 - operand[0]]).shape != node.type.shape:
        return False
    if node.op.role == "product":
        return bool(np.allclose(operand[1], 1 / 6, rtol=1e-6, atol=0))
    return node.op.role == "quotient" and operand[0] == 1 and bool(np.all(operand[1] == 6))


def _data_position(graph: Graph, node: Node) -> int:
    operand = constant_operand(graph, node)
    assert operand is not None
    return 1 - operand[0]


def _replace(graph: Graph, old: Node, node: Node) -> None:
    node.name = old.name
    graph.replace_node(old.name, node)


def _note(node: Node, parts: list[Node], notes: Notes) -> None:
    notes.touch(node)
    names = ", ".join(part.name for part in parts)
    text = f"made hard sigmoid {node.name} of {names}"
    notes.did(node.name, text, *(part.name for part in parts))


def _note_shared(graph: Graph, clipped: Node, notes: Notes) -> None:
    text = f"did not make a hard sigmoid of {clipped.name}: {shared_by(graph, clipped)}"
    notes.did_not(clipped.name, text)
