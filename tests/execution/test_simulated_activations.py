"""The simulated engine gives what kernels of activations and products make, not the function."""

from __future__ import annotations

import numpy as np
import pytest

from nnshell import flow
from nnshell.execution.engines import make_engine
from nnshell.ir.basic_operators import Input, Output
from nnshell.ir.graph import Graph, Node, Ref, constant_node
from nnshell.ir.operator import Operator
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Window
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.hard_sigmoid import HardSigmoid
from nnshell.ops.hard_swish import HardSwish
from nnshell.ops.leaky_relu import LeakyRelu
from nnshell.ops.mul import Mul
from nnshell.ops.relu import Relu6
from nnshell.ops.sigmoid import Sigmoid
from nnshell.ops.tanh import Tanh
from nnshell.quantization import quantize_graph
from nnshell.quantization.ranges.calibration import calibrate_graph
from nnshell.session.project import Project

ACTIVATIONS = {
    "sigmoid": Sigmoid(),
    "tanh": Tanh(),
    "hard sigmoid": HardSigmoid(),
    "hard swish": HardSwish(),
    "leaky": LeakyRelu(0.13),
    "relu6": Relu6(),
}


def gated(op: Operator) -> Graph:
    """x * f(conv(x))"""
    kind = TensorType((3, 6, 6), Layout.CHW)
    weights = np.random.default_rng(0).normal(size=(3, 3, 1, 1)).astype(np.float32)
    graph = Graph("gated")
    graph.add(Node("x", Input(kind, 0), [], (kind,)))
    for name, value in (("weights", weights), ("biases", np.ones(3, np.float32))):
        graph.add(constant_node(name, value))

    def add(name: str, op: Operator, *inputs: str) -> None:
        refs = [Ref(given) for given in inputs]
        types = [graph.type_of(ref) for ref in refs]
        graph.add(Node(name, op, refs, op.infer(types)))

    add("conv", Conv2D(Window((1, 1))), "x", "weights", "biases")
    add("f", op, "conv")
    add("product", Mul(), "x", "f")
    graph.add(Node("out", Output(), [Ref("product")], (kind,)))
    return graph


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("fused", [True, False])
def test_activations_and_products_are_those_of_the_kernels(name: str, fused: bool) -> None:
    graph = gated(ACTIVATIONS[name])
    if fused:
        flow.fuse(Project(graph), "scale8")
    x = np.random.default_rng(1).uniform(-4, 4, (64, 3, 6, 6)).astype(np.float32)
    quantize_graph(graph, calibrate_graph(graph, [[x]]))
    record = graph["product"].quantization.output  # type: ignore[union-attr]
    integers = make_engine(graph, "int8").run([x])["out"]
    simulated = make_engine(graph, "simulated").run([x])["out"] / record.first_scale
    equal = np.rint(simulated) + record.zero_point == integers
    assert equal.mean() > 0.999, f"{1 - equal.mean():.3%} differ"
