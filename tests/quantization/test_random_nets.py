"""Random networks: they quantize, their integers stay close to float, again and again."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from nnshell.execution.float_engine import FloatEngine
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.execution.metrics import compare_arrays
from nnshell.ir.graph import Graph, Ref
from nnshell.ir.verify import verify
from nnshell.ir.work import Window
from nnshell.ops.add import Add
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.concat import Concat
from nnshell.ops.hard_sigmoid import HardSigmoid
from nnshell.ops.hard_swish import HardSwish
from nnshell.ops.leaky_relu import LeakyRelu
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.mul import Mul
from nnshell.ops.relu import Relu, Relu6
from nnshell.ops.sigmoid import Sigmoid
from nnshell.ops.sub import Sub
from nnshell.ops.tanh import Tanh
from nnshell.quantization import calibrate_graph, quantize_graph

from .nets import PADDED, Net, conv_op, samples

ACTIVATIONS = (
    *(Relu(), Relu6(), LeakyRelu(0.1), Tanh(), Sigmoid(), HardSwish()),
    HardSigmoid(float(np.float32(1 / 6)), 0.5),
)
# a padded max pool takes 0 at the border where float takes minus infinity
POOLS = (MaxPool(Window((1, 1))), AveragePool(Window((3, 3), pads=PADDED)))
LEAST_QSNR_DB = 10.0
SEEDS = range(40)


def random_net(random: Random) -> Graph:
    """Branches of two channels, joined by sums, products and concats, fused or not."""
    net = Net(2, 6, 6, seed=random.randint(0, 999))
    made = [net.x]
    for number in range(random.randint(3, 8)):
        x = random.choice(made[-3:])
        if random.random() < 0.6:
            made.append(layer(net, random, x, f"n{number}"))
        elif random.random() < 0.7:
            op = random.choice((Add(), Sub(), Mul()))
            made.append(net.node(f"n{number}", op, x, random.choice(made)))
        else:
            joined = net.node(f"j{number}", Concat(0), x, random.choice(made))
            made.append(net.conv(f"n{number}", joined, kernel=1, pads=(0, 0, 0, 0)))
    return net.output(*dict.fromkeys((made[-1], random.choice(made[1:]))))


def layer(net: Net, random: Random, x: Ref, name: str) -> Ref:
    padded = random.random() < 0.5
    op = conv_op(3, PADDED) if padded else conv_op(1, (0, 0, 0, 0))
    after = [(f"{name}_act", random.choice(ACTIVATIONS))]
    if random.random() < 0.3:
        after.insert(0, (f"{name}_pool", random.choice(POOLS)))
    if random.random() < 0.7:
        return net.fused(x, (name, op), *after)
    y = net.node(name, op, x, *net.parameters(name, op, net.graph.type_of(x), 2))
    for part_name, part in after:
        y = net.node(part_name, part, y)
    return y


@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks_quantize_and_stay_close_to_float(seed: int) -> None:
    graph = random_net(Random(seed))
    batch = samples(graph, 16, seed)
    statistics = calibrate_graph(graph, [batch])
    quantize_graph(graph, statistics)
    names = list(graph.nodes)
    quantize_graph(graph, calibrate_graph(graph, [batch], everything=False))
    assert list(graph.nodes) == names
    verify(graph)
    engine = IntegerEngine(graph)
    found, real = engine.run(batch), FloatEngine(graph, threads=1).run(batch)
    for node in graph.outputs:
        approximate = engine.record(node.name).dequantize(found[node.name])
        comparison = compare_arrays(real[node.name], approximate)
        assert comparison.qsnr_db > LEAST_QSNR_DB or comparison.largest < 1e-3, comparison
