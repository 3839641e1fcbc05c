"""Small graphs with given ranges for the tests of quantization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.basic_operators import Fusion, FusionInput, FusionOutput, Input, Output
from nnshell.ir.graph import Graph, Node, Ref, all_nodes, constant_node
from nnshell.ir.operator import Operator
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Window
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.linear import Linear
from nnshell.quantization import QuantizationOptions, Statistics, TensorStatistics, quantize_graph

PADDED = (1, 1, 1, 1)


class Net:
    """Builds a graph node by node; every method returns a reference to what it made."""

    def __init__(self, *shape: int, seed: int = 0) -> None:
        self.graph = Graph("net")
        self.random = np.random.default_rng(seed)
        given = TensorType(shape, Layout.CHW if len(shape) == 3 else Layout.NONE)
        self.x = self.node("input_1", Input(given, 0))

    def node(self, name: str, op: Operator, *inputs: Ref, body: Graph | None = None) -> Ref:
        types = tuple(self.graph.type_of(ref) for ref in inputs)
        self.graph.add(Node(name, op, list(inputs), op.infer(types, body), body=body))
        return Ref(name)

    def constant(self, name: str, value: Any) -> Ref:
        return Ref(self.graph.add(constant_node(name, np.asarray(value, np.float32))).name)

    def parameters(self, name: str, op: Operator, given: TensorType, filters: int) -> list[Ref]:
        if isinstance(op, Conv2D):
            shape: tuple[int, ...] = (filters, given.shape[0] // op.groups, *op.window.kernel)
        else:
            shape = (filters, given.size)
        weights = self.random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        bias = self.random.normal(size=filters)
        return [self.constant(f"{name}_weights", weights), self.constant(f"{name}_biases", bias)]

    def conv(self, name: str, x: Ref, *, kernel: int = 3, pads: tuple[int, ...] = PADDED) -> Ref:
        op = conv_op(kernel, pads)
        return self.node(name, op, x, *self.parameters(name, op, self.graph.type_of(x), 2))

    def linear(self, name: str, x: Ref, filters: int = 4) -> Ref:
        op = Linear()
        return self.node(name, op, x, *self.parameters(name, op, self.graph.type_of(x), filters))

    def fused(self, x: Ref, first: tuple[str, Operator], *others: tuple[str, Operator]) -> Ref:
        """A filter and what runs after it, as one node called ``<filter>_fusion``."""
        name, op = first
        given = self.graph.type_of(x)
        edges = [x, *self.parameters(name, op, given, 2)]
        return self.fusion(f"{name}_fusion", edges, [(name, op, list(range(3))), *others])

    def fusion(self, name: str, edges: list[Ref], nodes: list[Any]) -> Ref:
        """``nodes`` are (name, operator) in a row; the first may list which inputs it takes."""
        body = Graph(name)
        for index, edge in enumerate(edges):
            op = FusionInput(self.graph.type_of(edge), index)
            body.add(Node(f"{name}_in_{index}", op, [], op.infer(())))
        before: list[Ref] = []
        for entry in nodes:
            if len(entry) == 3:
                before = [Ref(f"{name}_in_{index}") for index in entry[2]]
            types = tuple(body.type_of(ref) for ref in before)
            body.add(Node(entry[0], entry[1], before, entry[1].infer(types)))
            before = [Ref(entry[0])]
        out = FusionOutput(0)
        body.add(Node(f"{name}_out_0", out, before, (body.type_of(before[0]),)))
        return self.node(name, Fusion(), *edges, body=body)

    def output(self, *refs: Ref) -> Graph:
        for ref in refs:
            index = len(self.graph.outputs)
            self.node(f"output_{index + 1}", Output(index), ref)
        return self.graph


def conv_op(kernel: int = 3, pads: tuple[int, ...] = PADDED) -> Conv2D:
    return Conv2D(Window((kernel, kernel), pads=(pads[0], pads[1], pads[2], pads[3])))


def ranges(**given: tuple[float, float]) -> Statistics:
    """Statistics by node name; ``__`` stands for the slash after a fusion's name."""
    return Statistics(
        {name.replace("__", "/"): TensorStatistics(*bounds) for name, bounds in given.items()}
    )


def quantized(
    graph: Graph, statistics: Statistics, options: Mapping[str, Any] | None = None
) -> dict[str, NodeQuantization]:
    """What quantization decided, by key."""
    quantize_graph(graph, statistics, QuantizationOptions.from_mapping(options or {}))
    found = {}
    for key, node, _ in all_nodes(graph):
        assert node.quantization is not None, f"{key} is not quantized"
        found[key] = node.quantization
    return found


def record(made: Mapping[str, NodeQuantization], key: str) -> QParams:
    return made[key].outputs[0]


def meaning(entry: QParams) -> tuple[float, int]:
    """Scale and zero point."""
    return entry.first_scale, entry.zero_point


def samples(graph: Graph, count: int = 8, seed: int = 0) -> list[NDArray[Any]]:
    random = np.random.default_rng(seed)
    return [
        random.normal(size=(count, *node.type.shape)).astype(np.float32) for node in graph.inputs
    ]
