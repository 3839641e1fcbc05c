"""What a tensor's values are bound by, from the operators that make it."""

from __future__ import annotations

from math import inf

import numpy as np

from nnshell.ir.basic_operators import Constant, Reshape
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.clip import Clip
from nnshell.ops.concat import Concat
from nnshell.ops.copy import Copy
from nnshell.ops.exp import Exp
from nnshell.ops.global_pool import GlobalPool
from nnshell.ops.hard_sigmoid import HardSigmoid
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.pad import Pad
from nnshell.ops.relu import Relu, Relu6, ReluN
from nnshell.ops.resize import Resizer
from nnshell.ops.sigmoid import Sigmoid
from nnshell.ops.softmax import Softmax
from nnshell.ops.split import Split
from nnshell.ops.strided_slice import StridedSlice
from nnshell.ops.tanh import Tanh
from nnshell.ops.transpose import Transpose

Bounds = tuple[float, float]

_KEEPERS = (
    Reshape,
    Transpose,
    Copy,
    Split,
    StridedSlice,
    MaxPool,
    GlobalPool,
    Resizer,
)
_DEPTH = 16  # nodes looked through
_UNIT = (Sigmoid, HardSigmoid, Softmax)


def known_range(graph: Graph, ref: Ref) -> Bounds:
    """(lowest, highest) value that the tensor can take; infinite where nothing bounds it."""
    return _range_of(graph, graph[ref.node], _DEPTH, {})


def _range_of(graph: Graph, node: Node, depth: int, found: dict[str, Bounds]) -> Bounds:
    """``found`` keeps what is known of nodes that are reached on several ways."""
    if node.name not in found:
        found[node.name] = _derived(graph, node, depth, found)
    return found[node.name]


def _derived(graph: Graph, node: Node, depth: int, found: dict[str, Bounds]) -> Bounds:
    if depth == 0 or not isinstance(node.op, (*_KEEPERS, AveragePool, Concat, Pad)):
        return _own_range(node)
    given = [_range_of(graph, graph[ref.node], depth - 1, found) for ref in node.inputs]
    low, high = min(bounds[0] for bounds in given), max(bounds[1] for bounds in given)
    if isinstance(node.op, Pad):
        return min(low, node.op.value), max(high, node.op.value)
    if isinstance(node.op, AveragePool) and node.op.window.padded:
        return min(low, 0.0), max(high, 0.0)
    return low, high


def _own_range(node: Node) -> Bounds:
    op = node.op
    if isinstance(op, (Relu, Exp)):
        return 0.0, inf
    if isinstance(op, Relu6):
        return 0.0, 6.0
    if isinstance(op, ReluN):
        return 0.0, op.upper
    if isinstance(op, Clip):
        return op.minimum, op.maximum
    if isinstance(op, _UNIT):
        return 0.0, 1.0
    if isinstance(op, Tanh):
        return -1.0, 1.0
    if isinstance(op, Constant) and op.value.size and np.isfinite(op.value).all():
        return float(op.value.min()), float(op.value.max())
    return -inf, inf
