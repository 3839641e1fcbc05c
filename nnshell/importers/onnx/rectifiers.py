"""Rectifiers that a quantized model leaves to saturation.

A quantizer drops a rectifier before integers that reach down to exactly 0: they saturate there
by themselves. With other integers they would not, so the rectifier is put back.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.operator import Operator
from nnshell.ir.requests import Range
from nnshell.ops.families.rectifier import Rectifier
from nnshell.ops.relu import Relu, Relu6

_SATURATING = ("add", "conv2d", "linear", "matmul")


def complete_ranges(graph: Graph, ranges: MutableMapping[str, Range]) -> None:
    """Ranges of nodes that pass on or cut off what comes from one with a range; in place."""
    for node in graph.steps():
        value = ranges.get(node.inputs[0].node) if node.inputs else None
        if node.name in ranges or value is None:
            continue
        result = node.op.output_range(value) if node.op.pushes_range else None
        if node.op.keeps_record or result is not None:
            ranges[node.name] = result or value


def insert_implied_rectifiers(graph: Graph, ranges: MutableMapping[str, Range]) -> None:
    """A rectifier after each node whose integers end at 0, where none follows; in place."""
    for node in list(graph):
        limits = ranges.get(node.name)
        if limits is None or limits.minimum != 0 or node.kind not in _SATURATING:
            continue
        readers = graph.consumers(node.name)
        if readers and all(isinstance(reader.op, Rectifier) for reader, _ in readers):
            continue
        op: Operator = Relu6() if round(limits.maximum) == 6 else Relu()
        name = graph.unique_name(f"{node.name}_activation")
        graph.add(Node(name, op, [], node.outputs, node.origin))
        graph.redirect(Ref(node.name), Ref(name))
        graph[name].inputs = [Ref(node.name)]
        ranges[name] = limits
