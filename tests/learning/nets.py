"""Small quantized graphs and pictures for the tests of learning."""

from __future__ import annotations

import numpy as np

from nnshell.inputs.input_set import Batch
from nnshell.ir.basic_operators import Output
from nnshell.ir.graph import Graph, Ref
from nnshell.ir.work import Window
from nnshell.ops.add import Add
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.relu import Relu
from nnshell.quantization import Basis, QuantizationOptions
from nnshell.quantization.ranges.calibration import calibrate_graph
from nnshell.session.project import Project
from tests.quantization.nets import Net

SHAPE = (4, 6, 6)
PADS = (1, 1, 1, 1)


def pictures(count: int, seed: int = 0) -> Batch:
    """Smooth feature maps, so that what taps read is correlated."""
    rough = np.random.default_rng(seed).normal(size=(count, *SHAPE))
    smooth = rough + np.roll(rough, 1, axis=3) + rough.mean(axis=1, keepdims=True) + 0.5
    return Batch((smooth.astype(np.float32),), tuple(map(str, range(count))), (None,) * count)


def conv(net: Net, name: str, x: Ref, filters: int = 4, groups: int = 1) -> Ref:
    op = Conv2D(Window((3, 3), pads=PADS), groups)
    return net.node(name, op, x, *net.parameters(name, op, net.graph.type_of(x), filters))


def residual() -> Graph:
    """conv, relu, then conv, relu, depthwise conv added to what went in, relu, linear."""
    net = Net(*SHAPE)
    stem = net.node("stem_relu", Relu(), conv(net, "stem", net.x))
    inner = net.node("first_relu", Relu(), conv(net, "first", stem))
    second = conv(net, "second", inner, groups=4)
    total = net.node("total_relu", Relu(), net.node("total", Add(), second, stem))
    net.node("output_1", Output(0), net.linear("head", total))
    return net.graph


def quantized(graph: Graph, bits: int = 4) -> Project:
    seen = calibrate_graph(graph, [pictures(32).arrays], clip_type="mse")
    options = QuantizationOptions(clip_type="mse", weight_bits=bits, act_bits=bits)
    project = Project(graph)
    project.quantize(Basis(seen, options))
    return project
