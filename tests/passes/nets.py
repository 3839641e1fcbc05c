"""Small graphs for the tests of passes: a builder, and random graphs."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from nnshell.exporters.onnx import export_onnx
from nnshell.ir.basic_operators import Constant, Fusion, Input, Output, Reshape
from nnshell.ir.graph import Graph, Node, Ref, all_nodes, constant_node
from nnshell.ir.operator import Operator
from nnshell.ir.types import Layout, Origin, TensorType
from nnshell.ir.work import Window
from nnshell.ops.add import Add
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.batch_norm import BatchNorm
from nnshell.ops.clip import Clip
from nnshell.ops.concat import Concat
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.copy import Copy
from nnshell.ops.div import Div
from nnshell.ops.global_pool import GlobalAveragePool, GlobalMaxPool
from nnshell.ops.hard_sigmoid import HardSigmoid
from nnshell.ops.hard_swish import HardSwish
from nnshell.ops.leaky_relu import LeakyRelu
from nnshell.ops.linear import Linear
from nnshell.ops.matmul import MatMul
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.mul import Mul
from nnshell.ops.pad import Pad
from nnshell.ops.prelu import PRelu
from nnshell.ops.relu import Relu, Relu6, ReluN
from nnshell.ops.sigmoid import Sigmoid
from nnshell.ops.softmax import Softmax
from nnshell.ops.split import Split
from nnshell.ops.strided_slice import StridedSlice
from nnshell.ops.sub import Sub
from nnshell.ops.tanh import Tanh
from nnshell.ops.transpose import Transpose
from nnshell.passes import manager
from nnshell.passes.base import Pass
from nnshell.passes.inputs import turned
from nnshell.passes.manager import Check, PassRecord


class Net:
    """Builds a graph node by node; every method returns a reference to the new node's output."""

    def __init__(self, *shape: int, seed: int = 0) -> None:
        self.graph = Graph("net")
        self.random = np.random.default_rng(seed)
        self.x = self.input(*shape) if shape else Ref("")

    def input(self, *shape: int) -> Ref:
        index = len(self.graph.inputs)
        given = TensorType(shape, Layout.CHW if len(shape) == 3 else Layout.NONE)
        return self.node(f"input_{index + 1}", Input(given, index))

    def output(self, *refs: Ref) -> Graph:
        for ref in refs:
            index = len(self.graph.outputs)
            self.node(f"output_{index + 1}", Output(index), ref)
        return self.graph

    def node(self, name: str, op: Operator, *inputs: Ref) -> Ref:
        name = self.graph.unique_name(name)
        types = tuple(self.graph.type_of(ref) for ref in inputs)
        self.graph.add(Node(name, op, list(inputs), op.infer(types), Origin(name)))
        return Ref(name)

    def constant(self, name: str, value: Any) -> Ref:
        node = constant_node(self.graph.unique_name(name), np.asarray(value, np.float32))
        return Ref(self.graph.add(node).name)

    def shape(self, ref: Ref) -> tuple[int, ...]:
        return self.graph.type_of(ref).shape

    def normal(self, *shape: int) -> NDArray[np.float32]:
        return self.random.normal(size=shape).astype(np.float32)

    def conv(
        self,
        x: Ref,
        filters: int,
        kernel: int | tuple[int, int] = 3,
        *,
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        strides: tuple[int, int] = (1, 1),
        dilations: tuple[int, int] = (1, 1),
        groups: int = 1,
        name: str = "conv",
    ) -> Ref:
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        channels = self.shape(x)[0]
        fan_in = channels // groups * kernel[0] * kernel[1]
        name = self.graph.unique_name(name)
        weights = self.normal(filters, channels // groups, *kernel) / np.sqrt(fan_in)
        w = self.constant(f"{name}_weights", weights)
        b = self.constant(f"{name}_biases", self.normal(filters))
        op = Conv2D(Window(kernel, strides, dilations, pads), groups)
        return self.node(name, op, x, w, b)

    def linear(self, x: Ref, out: int, name: str = "linear") -> Ref:
        size = self.graph.type_of(x).size
        name = self.graph.unique_name(name)
        w = self.constant(f"{name}_weights", self.normal(out, size) / np.sqrt(size))
        b = self.constant(f"{name}_biases", self.normal(out))
        return self.node(name, Linear(), x, w, b)

    def batch_norm(self, x: Ref, name: str = "bn") -> Ref:
        count = self.shape(x)[0]
        name = self.graph.unique_name(name)
        values = [self.normal(count), self.normal(count), self.normal(count)]
        values.append(self.random.uniform(0.5, 2, count))
        words = ("scale", "bias", "mean", "variance")
        refs = [self.constant(f"{name}_{word}", v) for word, v in zip(words, values, strict=True)]
        return self.node(name, BatchNorm(1e-3), x, *refs)


def text(graph: Graph) -> str:
    """One line for each node that is not a constant, in step order; the body of a fusion below."""
    return "\n".join(_line(graph, node) for node in graph.steps() if node.kind != "constant")


def _line(graph: Graph, node: Node) -> str:
    refs = [ref for ref in node.inputs if graph.constant(ref) is None]
    inputs = " ".join(ref.node + (f".{ref.index}" if ref.index else "") for ref in refs)
    body = ""
    if node.body is not None:
        body = " {" + " ".join(n.name for n in node.body.steps() if not n.op.boundary) + "}"
    kind = node.op.name if isinstance(node.op, Fusion) else node.kind
    shape = " ".join(str(given) for given in node.outputs)
    return " ".join(f"{node.name} = {kind}{body} {inputs} : {shape}".split())


def lines(expected: str) -> str:
    """An expected text without its indentation."""
    return "\n".join(line.strip() for line in expected.strip().splitlines())


def sample(graph: Graph, seed: int = 0, count: int = 2) -> list[NDArray[np.float32]]:
    """Random inputs for ``graph``, ``count`` of each."""
    random = np.random.default_rng(seed)
    return [
        random.normal(0, 2, size=(count, *node.type.shape)).astype(np.float32)
        for node in graph.inputs
    ]


class FloatCheck:
    """Float outputs on a fixed sample; follows inputs that `adjust` turned to channels first.

    ONNX Runtime's own graph optimizations are off: they fail on some of the random graphs.
    """

    def __init__(self, graph: Graph, seed: int = 0) -> None:
        self.batch = sample(graph, seed)

    def __call__(self, graph: Graph) -> dict[str, NDArray[Any]]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(
            export_onnx(graph).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        outputs = [node.name for node in graph.outputs]
        feeds = {}
        for array, node in zip(self.batch, graph.inputs, strict=True):
            feeds[node.name] = array.transpose(0, 3, 1, 2) if turned(node) else array
        return dict(zip(outputs, session.run(outputs, feeds), strict=True))


# -- random graphs -------------------------------------------------------------------------

_ACTIVATIONS: tuple[Operator, ...] = (
    Relu(),
    Relu(),
    Relu6(),
    ReluN(2.0),
    LeakyRelu(0.1),
    LeakyRelu(-0.5),
    Sigmoid(),
    Tanh(),
    HardSigmoid(1 / 6, 0.5),
    HardSwish(),
    Clip(-1.0, 1.5),
    Clip(0.0, 6.0),
)


class RandomNet:
    """Grows a graph by random steps; tensors that nobody reads become outputs."""

    def __init__(self, random: Random) -> None:
        self.random = random
        channels, height, width = (random.randint(1, 4), random.randint(1, 7), random.randint(1, 7))
        self.net = Net(channels, height, width, seed=random.randint(0, 1000))
        self.tensors = [self.net.x]

    def build(self, steps: int) -> Graph:
        makers = [getattr(self, name) for name in dir(self) if name.startswith("add_")]
        for _ in range(steps):
            made = self.random.choice(makers)(self.pick())
            self.tensors.extend(made if isinstance(made, list) else [made] if made else [])
        graph = self.net.graph
        read = {ref for node in graph for ref in node.inputs}
        ends = [ref for ref in self.tensors if ref not in read]
        extra = [ref for ref in self.tensors if ref in read and self.random.random() < 0.1]
        self.net.output(*ends, *extra)
        return graph

    def pick(self) -> Ref:
        """A tensor: mostly one that nobody reads yet, the last one most often."""
        read = {ref for node in self.net.graph for ref in node.inputs}
        unread = [ref for ref in self.tensors if ref not in read]
        if not unread or self.chance(0.15):
            return self.random.choice(self.tensors)
        return unread[-1] if self.chance(0.7) else self.random.choice(unread)

    def rank(self, ref: Ref) -> int:
        return len(self.net.shape(ref))

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    # each step takes a tensor and returns a reference, several, or None when it does not fit

    def add_conv(self, x: Ref) -> Ref | None:
        if self.rank(x) != 3:
            return None
        channels, height, width = self.net.shape(x)
        pads = tuple(self.random.choice((0, 0, 1, 2)) for _ in range(4))
        kernel = (self.random.randint(1, 3), self.random.randint(1, 3))
        dilations = (self.random.choice((1, 1, 2)), self.random.choice((1, 1, 2)))
        if height + pads[0] + pads[2] <= dilations[0] * (kernel[0] - 1):
            return None
        if width + pads[1] + pads[3] <= dilations[1] * (kernel[1] - 1):
            return None
        groups = self.random.choice((1, 1, channels))
        strides = (self.random.randint(1, 2), self.random.randint(1, 2))
        filters = groups * self.random.randint(1, 3)
        return self.net.conv(
            x,
            filters,
            kernel,
            pads=pads,  # type: ignore[arg-type]
            strides=strides,
            dilations=dilations,
            groups=groups,
        )

    def add_activation(self, x: Ref) -> Ref:
        return self.net.node("act", self.random.choice(_ACTIVATIONS), x)

    def add_layer(self, x: Ref) -> Ref | None:
        """A filter with some of batch norm, pool, activation, pad after it."""
        y = self.add_conv(x) if self.rank(x) == 3 else self.net.linear(x, 4)
        for maker, probability in (
            (self.add_batch_norm, 0.3),
            (self.add_pool, 0.3),
            (self.add_constant_operand, 0.2),
            (self.add_reshape, 0.1),
            (self.add_transpose, 0.1),
            (self.add_activation, 0.7),
            (self.add_pool, 0.4),
            (self.add_pad, 0.3),
        ):
            if y is not None and self.chance(probability):
                y = maker(y) or y
        return y

    add_layer_again = add_layer
    add_layer_once_more = add_layer

    def add_prelu(self, x: Ref) -> Ref | None:
        if self.rank(x) < 1:
            return None
        shape = self.net.shape(x)
        slope = self.net.constant("slope", self.net.normal(shape[0], *(1 for _ in shape[1:])))
        return self.net.node("prelu", PRelu(), x, slope)

    def add_pool(self, x: Ref) -> Ref | None:
        if self.rank(x) != 3 or min(self.net.shape(x)[1:]) < 2:
            return None
        pads = self.random.choice(((0, 0, 0, 0), (0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 1, 0)))
        strides = (self.random.randint(1, 2), self.random.randint(1, 2))
        window = Window((2, 2), strides, (1, 1), pads)
        ops = (MaxPool(window), AveragePool(window), AveragePool(window, count_include_pad=True))
        return self.net.node("pool", self.random.choice(ops), x)

    def add_global_pool(self, x: Ref) -> Ref | None:
        if self.rank(x) != 3 or not self.chance(0.3):
            return None
        op = self.random.choice((GlobalAveragePool(), GlobalMaxPool()))
        return self.net.node("global_pool", op, x)

    def add_linear(self, x: Ref) -> Ref | None:
        return self.net.linear(x, self.random.randint(1, 5)) if self.chance(0.5) else None

    def add_batch_norm(self, x: Ref) -> Ref | None:
        return self.net.batch_norm(x) if self.rank(x) >= 1 else None

    def add_sum(self, x: Ref) -> Ref:
        same = [ref for ref in self.tensors if self.net.shape(ref) == self.net.shape(x)]
        op = self.random.choice((Add(), Add(), Sub(), Mul()))
        operands = [x, self.random.choice([*same, x])]
        self.random.shuffle(operands)
        return self.net.node(op.kind, op, *operands)

    def add_constant_operand(self, x: Ref) -> Ref:
        shape = self.net.shape(x)
        per_channel = (shape[0], *(1 for _ in shape[1:])) if shape else ()
        forms = [(), (1,) * len(shape), per_channel, shape, shape[-1:]]
        value = np.abs(self.net.normal(*self.random.choice(forms))) + np.float32(0.5)
        value = self.random.choice((value, np.float32(2.0), np.float32(1.0), value))
        constant = self.net.constant("operand", value)
        op = self.random.choice((Add(), Sub(), Mul(), Div(), Add()))
        operands = (x, constant) if self.chance(0.8) else (constant, x)
        if op == Div():
            operands = (x, constant)
        return self.net.node(op.kind, op, *operands)

    def add_shared_constant(self, x: Ref) -> Ref:
        constant = self.net.constant("shared", np.float32(3.0))
        first = self.net.node("add", Add(), x, constant)
        return self.net.node("add", Add(), first, constant)

    def add_hard_sigmoid(self, x: Ref) -> Ref:
        three = self.net.constant("three", np.float32(3))
        gate = self.net.node("clip", Relu6(), self.net.node("plus", Add(), x, three))
        if self.chance(0.5):
            gate = self.net.node("gated", Mul(), x, gate)
        if self.chance(0.5):
            return self.net.node("sixth", Mul(), gate, self.net.constant("c", np.float32(1 / 6)))
        return self.net.node("sixth", Div(), gate, self.net.constant("c", np.float32(6)))

    def add_concat(self, x: Ref) -> Ref | None:
        shape = self.net.shape(x)
        if not shape:
            return None
        axis = self.random.randrange(len(shape))
        fitting = [
            ref
            for ref in self.tensors
            if self.rank(ref) == len(shape)
            and all(
                a == b
                for i, (a, b) in enumerate(zip(self.net.shape(ref), shape, strict=True))
                if i != axis
            )
        ]
        fitting = [*fitting, x]
        parts = [x, *(self.random.choice(fitting) for _ in range(self.random.randint(1, 4)))]
        if self.chance(0.2):
            parts.append(self.net.constant("part", self.net.normal(*shape)))
        return self.net.node("concat", Concat(axis), *parts)

    def add_concat_of_concat(self, x: Ref) -> Ref | None:
        inner = self.add_concat(x)
        return self.add_concat(inner) if inner is not None else None

    def add_concat_and_split(self, x: Ref) -> list[Ref] | None:
        shape = self.net.shape(x)
        if not shape:
            return None
        other = self.net.node("act", self.random.choice(_ACTIVATIONS), x)
        joined = self.net.node("concat", Concat(0), x, other)
        sizes = (shape[0], shape[0]) if self.chance(0.7) else (1, 2 * shape[0] - 1)
        name = self.net.node("split", Split(0, sizes), joined).node
        return [Ref(name, 0), Ref(name, 1)] if self.chance(0.7) else [Ref(name, 1)]

    def add_padded_sum(self, x: Ref) -> Ref | None:
        if self.rank(x) != 3:
            return None
        channels = self.net.shape(x)[0]
        wide = self.net.conv(x, channels + 2, 1)
        padded = self.net.node("pad", Pad(((1, 1), (0, 0), (0, 0))), x)
        operands = [wide, padded]
        self.random.shuffle(operands)
        total = self.net.node("add", Add(), *operands)
        return self.net.node("act", Relu(), total) if self.chance(0.6) else total

    def add_split(self, x: Ref) -> list[Ref] | None:
        axes = [axis for axis, extent in enumerate(self.net.shape(x)) if extent > 1]
        if not axes:
            return None
        axis = self.random.choice(axes)
        extent = self.net.shape(x)[axis]
        first = self.random.randint(1, extent - 1)
        if self.chance(0.5):
            name = self.net.node("split", Split(axis, (first, extent - first)), x).node
            return [Ref(name, 0), Ref(name, 1)]
        return [self._slice(x, axis, 0, first), self._slice(x, axis, first, extent)]

    def _slice(self, x: Ref, axis: int, start: int, end: int, stride: int = 1) -> Ref:
        shape = self.net.shape(x)
        starts, ends, strides = [0] * len(shape), list(shape), [1] * len(shape)
        starts[axis], ends[axis], strides[axis] = start, end, stride
        return self.net.node("slice", StridedSlice(tuple(starts), tuple(ends), tuple(strides)), x)

    def add_slice(self, x: Ref) -> Ref | None:
        shape = self.net.shape(x)
        if not shape:
            return None
        axis = self.random.randrange(len(shape))
        start = self.random.randrange(shape[axis])
        if self.chance(0.2):
            return self._slice(x, axis, start, -1, -1)
        return self._slice(x, axis, start, shape[axis], self.random.randint(1, 2))

    def add_split_and_join(self, x: Ref) -> Ref | None:
        parts = self.add_split(x)
        if parts is None:
            return None
        if self.chance(0.5):
            op = self.random.choice(_ACTIVATIONS)
            parts = [self.net.node("act", op, part) for part in parts]
        shapes = [self.net.shape(part) for part in parts]
        axis = next((i for i in range(len(shapes[0])) if shapes[0][i] != shapes[1][i]), 0)
        return self.net.node("concat", Concat(axis), *parts)

    def add_pad(self, x: Ref) -> Ref | None:
        rank = self.rank(x)
        if not rank:
            return None
        limits = (0, 0, 1) if rank == 3 else (0, 1)
        pads = [(self.random.choice(limits), self.random.choice(limits)) for _ in range(rank)]
        if rank == 3 and self.chance(0.7):
            pads[0] = (0, 0)
        value = self.random.choice((0.0, 0.0, -1.0, 0.5))
        return self.net.node("pad", Pad(tuple(pads), value), x)

    def add_transpose(self, x: Ref) -> Ref | None:
        rank = self.rank(x)
        if rank < 2:
            return None
        perm = list(range(rank))
        self.random.shuffle(perm)
        return self.net.node("transpose", Transpose(tuple(perm)), x)

    def add_sandwich(self, x: Ref) -> Ref | None:
        """Channels last, something, channels first, as TensorFlow's exporters write."""
        if self.rank(x) != 3:
            return None
        y = self.net.node("to_last", Transpose((1, 2, 0)), x)
        for _ in range(self.random.randint(0, 3)):
            maker = self.random.choice(
                (self.add_activation, self.add_sum, self.add_constant_operand, self.add_concat)
            )
            y = maker(y) or y
        return self.net.node("to_first", Transpose((2, 0, 1)), y) if self.rank(y) == 3 else y

    def add_reshape(self, x: Ref) -> Ref:
        size, shape = self.net.graph.type_of(x).size, []
        for _ in range(self.random.randint(0, 3)):
            factors = [n for n in range(1, size + 1) if size % n == 0]
            shape.append(self.random.choice(factors))
            size //= shape[-1]
        if size != 1 or not shape:
            shape.append(size)
        return self.net.node("reshape", Reshape(tuple(shape)), x)

    def add_flatten_behind_transpose(self, x: Ref) -> Ref | None:
        transposed = self.add_transpose(x)
        if transposed is None:
            return None
        size = self.net.graph.type_of(x).size
        flat = self.net.node("flatten", Reshape((size,)), transposed)
        return self.net.linear(flat, 3)

    def add_copy(self, x: Ref) -> Ref:
        return self.net.node("copy", Copy(), x)

    def add_softmax(self, x: Ref) -> Ref | None:
        if not self.rank(x):
            return None
        return self.net.node("softmax", Softmax(self.random.randrange(self.rank(x))), x)

    def add_matmul(self, x: Ref) -> Ref | None:
        shape = self.net.shape(x)
        if len(shape) < 2:
            return None
        if self.chance(0.5):
            matrix = self.net.constant("matrix", self.net.normal(shape[-1], 3))
            return self.net.node("matmul", MatMul(), x, matrix)
        perm = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
        other = self.net.node("transpose", Transpose(perm), x)
        return self.net.node("matmul", MatMul(), x, other)


def random_graph(random: Random, steps: int = 12) -> Graph:
    return RandomNet(random).build(steps)


_RECORDS: WeakKeyDictionary[Graph, list[PassRecord]] = WeakKeyDictionary()


def run_passes(
    graph: Graph, passes: Iterable[Pass], *, check: Check | None = None
) -> list[PassRecord]:
    """As the manager's; the records of all runs on a graph are kept for ``records_of``."""
    records = manager.run_passes(graph, passes, check=check)
    _RECORDS.setdefault(graph, []).extend(records)
    return records


def records_of(graph: Graph) -> list[PassRecord]:
    return _RECORDS.get(graph, [])


def stretched(graph: Graph, random: Random) -> None:
    """Weights and biases far apart in size, some channels nearly dead."""
    for _, node, _ in all_nodes(graph):
        if not isinstance(node.op, Constant) or random.random() < 0.5 or not node.op.value.ndim:
            continue
        value = node.op.value
        factors = np.array([10.0 ** random.uniform(-9, 1.5) for _ in range(len(value))])
        rows = (-1, *(1 for _ in value.shape[1:]))
        node.op = Constant((value * factors.reshape(rows)).astype(np.float32))
