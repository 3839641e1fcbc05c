"""How many samples ONNX Runtime is given at a time: as many as a core's cache has room for."""

from __future__ import annotations

from nnshell.ir.flat import FlatGraph, flatten
from nnshell.ir.graph import Graph

_ELEMENTS = 1 << 17  # of a mean feature map: what stays in a core's cache; measured best


def samples_per_chunk(graph: Graph | FlatGraph) -> int:
    """At least one; all results of a chunk are those of its samples alone."""
    flat = flatten(graph) if isinstance(graph, Graph) else graph
    items = [item.node for item in flat.items if item.node.op.role != "constant"]
    sizes = [tensor.size for node in items for tensor in node.outputs]
    return max(1, _ELEMENTS * len(sizes) // max(sum(sizes), 1))
