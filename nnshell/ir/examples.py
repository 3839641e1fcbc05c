"""An operator's example as a graph of its own, with random inputs: what conformance tests run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.basic_operators import Input, Output
from nnshell.ir.graph import Graph, Node, Ref, constant_node
from nnshell.ir.operator import Example
from nnshell.ir.requests import Range


def graph_of(example: Example) -> Graph:
    """Inputs and constants of the example, its operator as ``node``, an output per result."""
    graph = Graph("example")
    constants = example.constants or (None,) * len(example.inputs)
    edges = []
    for position, (argument, value) in enumerate(zip(example.inputs, constants, strict=True)):
        if value is None:
            index = len(graph.inputs)
            node = Node(f"input_{index + 1}", Input(argument, index), [], (argument,))
        else:
            node = constant_node(f"constant_{position}", value)
        edges.append(Ref(graph.add(node).name))
    results = example.op.infer([graph.type_of(edge) for edge in edges])
    graph.add(Node("node", example.op, edges, results))
    for index, result in enumerate(results):
        output = Output(index)
        graph.add(Node(f"output_{index + 1}", output, [Ref("node", index)], (result,)))
    return graph


def random_inputs(graph: Graph, samples: int, seed: int = 0) -> list[NDArray[Any]]:
    """One array per graph input, batch axis first: normal floats, or any integers of the type."""
    random = np.random.default_rng(seed)
    arrays: list[NDArray[Any]] = []
    for node in graph.inputs:
        shape = (samples, *node.type.shape)
        if np.dtype(node.type.dtype).kind == "f":
            values = random.normal(0, 2, shape)
            readers = graph.consumers(node.name)
            if readers and not readers[0][1]:
                values = _within(values, readers[0][0].op.domain)
            arrays.append(values.astype(node.type.dtype))
        else:
            limits = np.iinfo(node.type.dtype)
            arrays.append(random.integers(limits.min, limits.max + 1, shape, node.type.dtype))
    return arrays


def _within(values: NDArray[Any], domain: Range) -> NDArray[Any]:
    """Numbers of a domain made of any."""
    low, high = domain.minimum, domain.maximum
    if np.isfinite(low) and np.isfinite(high):
        return np.asarray(low + (high - low) * (0.5 + np.arctan(values) / np.pi))
    return np.asarray(low + np.abs(values)) if np.isfinite(low) else values
