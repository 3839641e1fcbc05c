"""How an operator looks when its tensors are in another order of axes.

    op'(transpose(x, p)) = transpose(op(x), q)

An operator that has such a form does not care about the order of axes: transposes can move past
it. ``reorder`` gives op', and p or q for every other tensor of the node when one is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from nnshell.ir.basic_operators import Reshape
from nnshell.ir.graph import Graph, Node
from nnshell.ir.operator import Operator
from nnshell.ir.permutations import Perm, permuted, through_reshape
from nnshell.ops.concat import Concat
from nnshell.ops.copy import Copy
from nnshell.ops.families.activation import Activation
from nnshell.ops.families.arithmetic import Arithmetic
from nnshell.ops.pad import Pad
from nnshell.ops.prelu import PRelu
from nnshell.ops.quantize import Quantize
from nnshell.ops.softmax import Softmax
from nnshell.ops.split import Split
from nnshell.ops.strided_slice import StridedSlice
from nnshell.passes.kernel_axes import concat_axis_fits, softmax_axis_fits


@dataclass(frozen=True, slots=True)
class Reordered:
    """The operator in the new order, and the order of each tensor; None leaves a tensor alone."""

    op: Operator
    inputs: tuple[Perm | None, ...]
    outputs: tuple[Perm, ...]


def reorder(graph: Graph, node: Node, perm: Perm, *, output: bool) -> Reordered | None:
    """``node`` with input 0 (or output 0) in order ``perm``; None when it needs its own order."""
    if isinstance(node.op, Reshape):
        return _reshape(graph, node, perm, output)
    rule = next((rule for kinds, rule in _RULES if isinstance(node.op, kinds)), None)
    op = rule(graph, node, perm) if rule and len(perm) == len(node.type.shape) else None
    if op is None:
        return None
    inputs = tuple(_operand_order(graph, node, index, perm) for index in range(len(node.inputs)))
    if any(order is None and not _scalar(graph, node, i) for i, order in enumerate(inputs)):
        return None
    return Reordered(op, inputs, (perm,) * len(node.outputs))


def _operand_order(graph: Graph, node: Node, index: int, perm: Perm) -> Perm | None:
    """An operand of lower rank only fits when it is a constant, which is given all axes first."""
    ref = node.inputs[index]
    same_rank = len(graph.type_of(ref).shape) == len(perm)
    return perm if same_rank or graph.constant(ref) is not None else None


def _scalar(graph: Graph, node: Node, index: int) -> bool:
    return graph.type_of(node.inputs[index]).size == 1


def _reshape(graph: Graph, node: Node, perm: Perm, output: bool) -> Reordered | None:
    before, behind = graph.type_of(node.inputs[0]).shape, node.type.shape
    inputs: Perm | None = through_reshape(behind, before, perm) if output else perm
    outputs: Perm | None = perm if output else through_reshape(before, behind, perm)
    if inputs is None or outputs is None:
        return None
    return Reordered(Reshape(permuted(behind, outputs)), (inputs,), (outputs,))


Rule = Callable[[Graph, Node, Perm], Operator | None]


def _same(graph: Graph, node: Node, perm: Perm) -> Operator | None:
    return node.op


def _softmax(graph: Graph, node: Node, perm: Perm) -> Operator | None:
    assert isinstance(node.op, Softmax)
    shape, axis = permuted(node.type.shape, perm), perm.index(node.op.axis)
    if softmax_axis_fits(shape, axis) or not softmax_axis_fits(node.type.shape, node.op.axis):
        return Softmax(axis)
    return None


def _concat(graph: Graph, node: Node, perm: Perm) -> Operator | None:
    assert isinstance(node.op, Concat)
    shape, axis, parts = node.type.shape, perm.index(node.op.axis), len(node.inputs)
    fits = concat_axis_fits(permuted(shape, perm), axis, parts)
    return Concat(axis) if fits or not concat_axis_fits(shape, node.op.axis, parts) else None


def _split(graph: Graph, node: Node, perm: Perm) -> Operator | None:
    assert isinstance(node.op, Split)
    shape, parts = graph.type_of(node.inputs[0]).shape, len(node.outputs)
    axis = perm.index(node.op.axis)
    fits = concat_axis_fits(permuted(shape, perm), axis, parts)
    if fits or not concat_axis_fits(shape, node.op.axis, parts):
        return replace(node.op, axis=axis)
    return None


def _pad(graph: Graph, node: Node, perm: Perm) -> Operator | None:
    assert isinstance(node.op, Pad)
    return replace(node.op, pads=tuple(node.op.pads[axis] for axis in perm))


def _slice(graph: Graph, node: Node, perm: Perm) -> Operator | None:
    op = node.op
    assert isinstance(op, StridedSlice)
    return StridedSlice(
        permuted(op.starts, perm), permuted(op.ends, perm), permuted(op.strides, perm)
    )


_RULES: tuple[tuple[type[Operator] | tuple[type[Operator], ...], Rule], ...] = (
    ((Activation, Arithmetic, PRelu, Copy, Quantize), _same),
    (Softmax, _softmax),
    (Concat, _concat),
    (Split, _split),
    (Pad, _pad),
    (StridedSlice, _slice),
)
