"""How an operator looks when its tensors are in another order of axes.

    op'(transpose(x, p)) = transpose(op(x), q)

An operator that has such a form does not care about the order of axes: transposes can move past
it. ``reorder`` gives op', and p or q for every other tensor of the node when one is known.
"""

from __future__ import annotations

from dataclasses import dataclass

from nnshell.ir.facts import Turned
from nnshell.ir.graph import Graph, Node
from nnshell.ir.operator import Operator
from nnshell.ir.permutations import Perm, permuted
from nnshell.passes.kernel_axes import axis_fits


@dataclass(frozen=True, slots=True)
class Reordered:
    """The operator in the new order, and the order of each tensor; None leaves a tensor alone."""

    op: Operator
    inputs: tuple[Perm | None, ...]
    outputs: tuple[Perm, ...]


def reorder(graph: Graph, node: Node, perm: Perm, *, output: bool) -> Reordered | None:
    """``node`` with input 0 (or output 0) in order ``perm``; None when it needs its own order."""
    types = graph.input_types(node)
    form = node.op.reordered(perm, types, node.outputs, of_output=output)
    if form is None or not _has_kernel(graph, node, form):
        return None
    inputs = tuple(_operand_order(graph, node, i, form.given) for i in range(len(node.inputs)))
    if any(order is None and not _scalar(graph, node, i) for i, order in enumerate(inputs)):
        return None
    return Reordered(form.op, inputs, (form.made,) * len(node.outputs))


def _has_kernel(graph: Graph, node: Node, form: Turned) -> bool:
    """Whether a kernel works along the new axis, or none worked along the old one either."""
    before, after = node.op.works_along, form.op.works_along
    if before is None or after is None:
        return True
    shape = (node.type if node.op.role != "cut" else graph.type_of(node.inputs[0])).shape
    order = form.made if node.op.role != "cut" else form.given
    parts = max(len(node.inputs), len(node.outputs))
    fits = axis_fits(node.op.role, permuted(shape, order), after, parts)
    return fits or not axis_fits(node.op.role, shape, before, parts)


def _operand_order(graph: Graph, node: Node, index: int, perm: Perm) -> Perm | None:
    """An operand of lower rank only fits when it is a constant, which is given all axes first."""
    ref = node.inputs[index]
    same_rank = len(graph.type_of(ref).shape) == len(perm)
    return perm if same_rank or graph.constant(ref) is not None else None


def _scalar(graph: Graph, node: Node, index: int) -> bool:
    return graph.type_of(node.inputs[index]).size == 1
