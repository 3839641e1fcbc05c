"""Whoever stands beside whom: what a kernel assumes about its tensors is what their records say.

All pairs of operators that read one tensor, and many triples in a row and side by side.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from random import Random

import numpy as np
import pytest

from nnshell.execution.integer_engine import IntegerEngine
from nnshell.ir.flat import Item, flatten
from nnshell.ir.graph import Graph, Ref
from nnshell.ir.operator import Operator
from nnshell.ir.qparams import QParams
from nnshell.ir.verify import verify
from nnshell.ir.work import Window
from nnshell.ops.add import Add
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.clip import Clip
from nnshell.ops.concat import Concat
from nnshell.ops.copy import Copy
from nnshell.ops.exp import Exp
from nnshell.ops.global_pool import GlobalAveragePool, GlobalMaxPool
from nnshell.ops.hard_sigmoid import HardSigmoid
from nnshell.ops.hard_swish import HardSwish
from nnshell.ops.leaky_relu import LeakyRelu
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.mul import Mul
from nnshell.ops.pad import Pad
from nnshell.ops.relu import Relu, Relu6
from nnshell.ops.resize import BilinearResizer, NearestNeighborResizer
from nnshell.ops.sigmoid import Sigmoid
from nnshell.ops.softmax import Softmax
from nnshell.ops.split import Split
from nnshell.ops.sub import Sub
from nnshell.ops.tanh import Tanh
from nnshell.ops.transpose import Transpose
from nnshell.quantization import calibrate_graph, quantize_graph

from .nets import PADDED, Net, conv_op, samples

NONE = (0, 0, 0, 0)
SAME = Window((3, 3), pads=PADDED)
Part = Callable[[Net, str, Ref], Ref]  # of a map of 2x6x6, to one of 2x6x6


def _single(op: Operator) -> Part:
    return lambda net, name, x: net.node(name, op, x)


def _with_itself(op: Operator) -> Part:
    return lambda net, name, x: net.node(name, op, x, x)


def _spread(op: Operator) -> Part:
    """Of one value per channel, brought back to a map."""
    return lambda net, name, x: net.node(
        f"{name}_map", NearestNeighborResizer((6, 6)), net.node(name, op, x)
    )


def _joined(net: Net, name: str, x: Ref) -> Ref:
    return net.conv(f"{name}_conv", net.node(name, Concat(0), x, x), kernel=1, pads=NONE)


def _parted(net: Net, name: str, x: Ref) -> Ref:
    parts = net.node(name, Split(0, (1, 1)), x).node
    return net.node(f"{name}_back", Concat(0), Ref(parts, 1), Ref(parts, 0))


PARTS: dict[str, Part] = {
    "relu": _single(Relu()),
    "relu6": _single(Relu6()),
    "clip": _single(Clip(-0.5, 0.75)),
    "leaky": _single(LeakyRelu(0.1)),
    "sigmoid": _single(Sigmoid()),
    "tanh": _single(Tanh()),
    "hard sigmoid": _single(HardSigmoid(float(np.float32(1 / 6)), 0.5)),
    "hard swish": _single(HardSwish()),
    "exp": _single(Exp()),
    "softmax": _single(Softmax(0)),
    "max pool": _single(MaxPool(SAME)),
    "max pool unpadded": _single(MaxPool(Window((1, 1)))),
    "average pool": _single(AveragePool(SAME, True)),
    "global average": _spread(GlobalAveragePool()),
    "global max": _spread(GlobalMaxPool()),
    "nearest": _single(NearestNeighborResizer((6, 6))),
    "bilinear": _single(BilinearResizer((6, 6))),
    "transpose": _single(Transpose((0, 2, 1))),
    "copy": _single(Copy()),
    "pad": lambda net, name, x: net.conv(
        name, net.node(f"{name}_pad", Pad(((0, 0), (1, 1), (1, 1))), x), pads=NONE
    ),
    "add": _with_itself(Add()),
    "sub": _with_itself(Sub()),
    "mul": _with_itself(Mul()),
    "concat": _joined,
    "split": _parted,
    "conv": lambda net, name, x: net.conv(name, x),
    "pointwise": lambda net, name, x: net.conv(name, x, kernel=1, pads=NONE),
    "conv relu": lambda net, name, x: net.fused(x, (name, conv_op()), (f"{name}_act", Relu())),
    "conv tanh": lambda net, name, x: net.fused(x, (name, conv_op()), (f"{name}_act", Tanh())),
}


def pair(first: str, second: str) -> Graph:
    """Two operators that read the same convolution."""
    net = Net(2, 6, 6)
    x = net.conv("c", net.x)
    return net.output(PARTS[first](net, "a", x), PARTS[second](net, "b", x))


def triple(first: str, second: str, third: str) -> Graph:
    """The second after the first, the third beside it, and both joined."""
    net = Net(2, 6, 6)
    y = PARTS[first](net, "a", net.conv("c", net.x))
    z, w = PARTS[second](net, "b", y), PARTS[third](net, "d", y)
    return net.output(net.node("join", Concat(0), z, w), net.node("total", Add(), y, z))


def _same(one: QParams, other: QParams) -> bool:
    scales = np.allclose(one.scale, other.scale, 1e-5, 1e-8)
    return one.dtype == other.dtype and one.zero_point == other.zero_point and bool(scales)


def _faults(item: Item) -> list[str]:
    """Where an operator's kernel assumes something else than its records say."""
    op, made = item.node.op, item.node.quantization
    assert made is not None
    faults = []
    fixed = op.input_record(0) if item.inputs and made.input.dtype != "int32" else None
    if fixed is not None and not _same(fixed, made.input):
        faults.append("its table is read at another scale")
    moved = op.keeps_record and not item.node.op.boundary
    if moved and not all(_same(r, made.outputs[0]) for r in (*made.inputs, *made.outputs)):
        faults.append("it moves integers between two records")
    if isinstance(op, Softmax) and math.frexp(made.input.first_scale)[0] != 0.5:
        faults.append("its input's scale is no power of two")
    padded = getattr(getattr(op, "window", None), "padded", False) and "conv" in op.kind
    if padded and made.input.zero_point != 0:
        faults.append("its padding is not 0")
    return faults


def check(graph: Graph) -> None:
    batch = samples(graph, 6, 1)
    quantize_graph(graph, calibrate_graph(graph, [batch]))
    verify(graph)
    flat = flatten(graph)
    for item in flat.items:
        made = item.node.quantization
        assert made is not None
        assert _faults(item) == [], item.path
        for tensor, record in zip(item.inputs, made.inputs, strict=True):
            maker = flat.maker(tensor).node.quantization
            assert maker is not None
            if record.scale.size == 1 == maker.outputs[tensor.index].scale.size:
                assert _same(record, maker.outputs[tensor.index]), f"{item.path} reads another"
    IntegerEngine(graph).run(batch)


@pytest.mark.parametrize("first", PARTS)
def test_pairs_of_readers(first: str) -> None:
    names = list(PARTS)
    for second in names[names.index(first) :]:
        check(pair(first, second))


@pytest.mark.parametrize("seed", range(8))
def test_triples(seed: int) -> None:
    every = list(itertools.product(PARTS, repeat=3))
    for names in Random(seed).sample(every, 20):
        check(triple(*names))
