"""A graph exported so that it reports on its tensors instead of giving them: extremes, moments.

Only a few numbers per tensor leave ONNX Runtime, which is most of what calibration costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nnshell.exporters.onnx import GraphWriter, Port, foreign_to_bytes
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.graph import Graph
from nnshell.ir.types import TensorType

_PER_BATCH = {"min": "ReduceMin", "max": "ReduceMax"}


def reduction_name(key: str, reduction: str) -> str:
    """Name of the output that holds a reduction of the tensor ``key``."""
    return f"{reduction}:{key}"


def export_reductions(graph: Graph, wanted: Mapping[str, Sequence[str]]) -> bytes:
    """The float graph as a serialized ONNX model with one output per tensor and reduction.

    ``wanted`` has reductions by tensor key (``NODE``, ``NODE[1]``, ``FUSION/NODE``): "min" and
    "max" over all samples, or for each sample "mean", "std", "b" (the mean absolute deviation) and
    "values" (the tensor itself). Raises GraphError for a key that does not exist.
    """
    writer = GraphWriter(graph, inner=True)
    tensors = writer.tensors_of(list(wanted))
    ports = []
    for key, reductions in wanted.items():
        kind = writer.types.get(key, TensorType(()))  # of a tensor within an operator: extremes
        for reduction in reductions:
            name = reduction_name(key, reduction)
            _reduce(writer.build, tensors[key], reduction, len(kind.shape), name)
            result = kind if reduction == "values" else TensorType(())
            ports.append(Port(name, result, reduction not in _PER_BATCH))
    return foreign_to_bytes(writer.build, writer.input_ports, ports, graph.name)


def _reduce(build: ForeignGraph, tensor: str, reduction: str, rank: int, output: str) -> None:
    if reduction in _PER_BATCH:
        build.node(_PER_BATCH[reduction], [tensor], {"keepdims": 0}, output=output)
    elif reduction == "values":
        build.node("Identity", [tensor], output=output)
    else:
        _moment(build, tensor, reduction, rank, output)


def _moment(build: ForeignGraph, tensor: str, reduction: str, rank: int, output: str) -> None:
    axes = build.constant(np.arange(1, rank + 1, dtype=np.int64), "axes")
    empty = {"noop_with_empty_axes": 1}  # samples of one number
    if reduction == "mean":
        build.node("ReduceMean", [tensor, axes], {"keepdims": 0, **empty}, output=output)
        return
    mean = build.node("ReduceMean", [tensor, axes], {"keepdims": 1, **empty})
    distance = build.node("Sub", [tensor, mean])
    if reduction == "b":
        size = build.node("Abs", [distance])
        build.node("ReduceMean", [size, axes], {"keepdims": 0, **empty}, output=output)
        return
    square = build.node("Mul", [distance, distance])
    variance = build.node("ReduceMean", [square, axes], {"keepdims": 0, **empty})
    build.node("Sqrt", [variance], output=output)
