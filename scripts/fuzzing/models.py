"""Small valid ONNX models to start from: every operator the importer knows, old and new opsets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Shape = tuple[int, ...]


class Builder:
    """A model, node by node; the current tensor is ``x``, without its batch axis ``shape``."""

    def __init__(self, shape: Shape, opset: int, random: Random, batch: int | str = 1) -> None:
        self.opset, self.random = opset, random
        self.generator = np.random.default_rng(random.getrandbits(32))
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.inputs: dict[str, Sequence[int | str]] = {}
        self.outputs: list[str] = []
        self.batch = batch
        self.earlier: list[tuple[str, Shape]] = []
        self.x, self.shape = self.input(shape), shape

    def input(self, shape: Shape) -> str:
        name = f"in{len(self.inputs)}"
        self.inputs[name] = [self.batch, *shape]
        return name

    def normal(self, *shape: int) -> str:
        return self.constant(self.generator.normal(0, 0.4, shape).astype(np.float32))

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def node(self, op: str, *inputs: str, count: int = 1, **attributes: Any) -> str:
        """Add a node; the name of its first output."""
        index = len(self.nodes)
        names = [f"t{index}" + (f"_{i}" if i else "") for i in range(count)]
        self.nodes.append(helper.make_node(op, list(inputs), names, f"/{op}_{index}", **attributes))
        return names[0]

    def on(self, op: str, *others: str, shape: Shape | None = None, **attributes: Any) -> None:
        """Add a node that reads the current tensor and makes the next one."""
        self.earlier.append((self.x, self.shape))
        self.x = self.node(op, self.x, *others, **attributes)
        self.shape = self.shape if shape is None else shape

    def model(self) -> onnx.ModelProto:
        info = helper.make_tensor_value_info
        kind = onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            "fuzz",
            [info(name, kind, list(shape)) for name, shape in self.inputs.items()],
            [info(name, kind, None) for name in self.outputs or [self.x]],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        ids = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=ids, ir_version=min(10, 3 + self.opset // 3))


# -- layers --------------------------------------------------------------------------------


def conv(b: Builder, filters: int = 4, kernel: int = 3, stride: int = 1, pad: int = 1) -> None:
    channels, height, width = b.shape
    size = tuple((n + 2 * pad - kernel) // stride + 1 for n in (height, width))
    depthwise = filters == channels and b.random.random() < 0.5
    groups = channels if depthwise else 1
    weights = b.normal(filters, channels // groups, kernel, kernel)
    bias = (b.normal(filters),) if b.random.random() < 0.7 else ()
    b.on("Conv", weights, *bias, shape=(filters, *size), group=groups, strides=[stride, stride],
         pads=[pad] * 4, kernel_shape=[kernel, kernel])  # fmt: skip


def batch_norm(b: Builder) -> None:
    count = b.shape[0]
    variance = b.constant(b.generator.uniform(0.5, 2, count).astype(np.float32))
    b.on("BatchNormalization", b.normal(count), b.normal(count), b.normal(count), variance)


def pool(b: Builder, op: str, kernel: int = 2, stride: int = 2, **attributes: Any) -> None:
    channels, height, width = b.shape
    size = tuple((n - kernel) // stride + 1 for n in (height, width))
    b.on(op, shape=(channels, *size), kernel_shape=[kernel] * 2, strides=[stride] * 2, **attributes)


def clip(b: Builder, low: float = 0.0, high: float = 6.0) -> None:
    if b.opset < 11:
        b.on("Clip", min=low, max=high)
    else:
        b.on("Clip", b.constant(np.float32(low)), b.constant(np.float32(high)))


def flatten(b: Builder) -> None:
    b.on("Flatten", shape=(int(np.prod(b.shape)),), axis=1)


def gemm(b: Builder, out: int = 5) -> None:
    weights = b.normal(out, b.shape[0])
    b.on("Gemm", weights, b.normal(out), shape=(out,), transB=1)


def matmul(b: Builder, out: int = 5) -> None:
    b.on("MatMul", b.normal(b.shape[-1], out), shape=(*b.shape[:-1], out))
    b.on("Add", b.normal(out))


def reshape(b: Builder, shape: Shape) -> None:
    b.on("Reshape", b.constant(np.array([1, *shape], np.int64)), shape=shape)


def residual(b: Builder, op: str = "Add") -> None:
    same = [name for name, shape in b.earlier if shape == b.shape]
    if same:
        b.on(op, b.random.choice(same))


# -- fixed models --------------------------------------------------------------------------


def _lenet(random: Random) -> Builder:
    b = Builder((3, 12, 12), 13, random)
    for filters in (4, 6):
        conv(b, filters)
        b.on("Relu")
        pool(b, "MaxPool")
    flatten(b)
    gemm(b, 8)
    b.on("Relu")
    gemm(b)
    b.on("Softmax", axis=1)
    return b


def _residual(random: Random) -> Builder:
    b = Builder((3, 8, 8), 11, random, batch="N")
    conv(b)
    batch_norm(b)
    b.on("Relu")
    conv(b)
    batch_norm(b)
    b.on("Add", b.earlier[3][0])
    b.on("Relu")
    b.on("GlobalAveragePool", shape=(4, 1, 1))
    flatten(b)
    gemm(b)
    return b


def _mobilenet(random: Random) -> Builder:
    b = Builder((3, 8, 8), 12, random)
    conv(b, 6, stride=2)
    clip(b)
    conv(b, 6)
    b.on("HardSigmoid", alpha=0.2, beta=0.5)
    conv(b, 4, kernel=1, pad=0)
    pool(b, "AveragePool", count_include_pad=1)
    reshape(b, (16,))
    matmul(b)
    return b


def _activations(random: Random) -> Builder:
    b = Builder((4, 6, 6), 14, random)
    for op, attributes in (
        ("LeakyRelu", {"alpha": 0.1}),
        ("Sigmoid", {}),
        ("Tanh", {}),
        ("HardSigmoid", {}),
        ("HardSwish", {}),
        ("Exp", {}),
    ):
        conv(b)
        b.on(op, **attributes)
    b.on("PRelu", b.normal(4, 1, 1))
    b.on("Softmax", axis=1)
    return b


def _shapes(random: Random) -> Builder:
    b = Builder((4, 6, 6), 18, random)
    b.on("Transpose", perm=[0, 2, 3, 1], shape=(6, 6, 4))
    b.on("Transpose", perm=[0, 3, 1, 2], shape=(4, 6, 6))
    b.on("Pad", b.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])), shape=(4, 8, 8))
    b.on("Slice", *(b.constant(np.array(v)) for v in ([0], [6], [2], [1])), shape=(4, 6, 8))
    half = b.node("Split", b.x, b.constant(np.array([1, 3])), count=2, axis=1)
    b.x = b.node("Concat", f"{half}_1", half, axis=1)
    scales = b.constant(np.array([1, 1, 2, 2], np.float32))
    b.on("Resize", "", scales, mode="nearest", shape=(4, 12, 16))
    b.on("Unsqueeze", b.constant(np.array([2])))
    b.on("Squeeze", b.constant(np.array([2])))
    b.on("ReduceMean", b.constant(np.array([2, 3])), shape=(4, 1, 1))
    b.on("Identity")
    flatten(b)
    gemm(b)
    return b


def _old(random: Random) -> Builder:
    b = Builder((3, 8, 8), 7, random)
    conv(b)
    b.on("BatchNormalization", *(b.normal(4) for _ in range(3)), b.constant(np.ones(4, np.float32)))
    clip(b)
    b.on("Upsample", mode="nearest", scales=[1.0, 1.0, 2.0, 2.0], shape=(4, 16, 16))
    b.on("Pad", pads=[0, 0, 1, 1, 0, 0, 1, 1], shape=(4, 18, 18))
    b.on("Slice", starts=[1, 1], ends=[9, 9], axes=[2, 3], shape=(4, 8, 8))
    b.on("Dropout", ratio=0.5)
    b.on("ReduceMean", axes=[2, 3], keepdims=1, shape=(4, 1, 1))
    b.on("Squeeze", axes=[2, 3], shape=(4,))
    b.on("Unsqueeze", axes=[2], shape=(4, 1))
    b.on("Reshape", b.constant(np.array([1, -1])), shape=(4,))
    gemm(b)
    return b


def _shape_arithmetic(random: Random) -> Builder:
    b = Builder((4, 4, 4), 13, random, batch="batch")
    conv(b)
    extents = b.node("Shape", b.x)
    first = b.node("Gather", extents, b.constant(np.array(0)), axis=0)
    first = b.node("Unsqueeze", first, b.constant(np.array([0])))
    last = b.node("Constant", value=numpy_helper.from_array(np.array([-1])))
    wanted = b.node("Concat", first, b.node("Cast", last, to=onnx.TensorProto.INT64), axis=0)
    b.on("Reshape", wanted, shape=(64,))
    counted = b.node("Range", *(b.constant(np.int64(n)) for n in (0, 64, 1)))
    weights = b.node("Mul", b.node("Cast", counted, to=1), b.constant(np.float32(0.01)))
    b.on("Mul", weights)
    b.on("Sum", b.node("Expand", b.constant(np.float32(1)), b.constant(np.array([64]))))
    matmul(b)
    return b


def _arithmetic(random: Random) -> Builder:
    b = Builder((3, 6, 6), 17, random)
    second = b.input((3, 6, 6))
    b.on("Sub", b.constant(np.float32(0.5)))
    b.on("Div", b.constant(np.full((3, 1, 1), 2, np.float32)))
    b.on("Add", second)
    b.on("Mul", b.normal(3, 1, 1))
    conv(b, 3)
    b.on("Sub", b.earlier[3][0])
    b.on("Mul", b.node("Sigmoid", b.x))
    b.outputs.append(b.x)
    b.on("GlobalMaxPool", shape=(3, 1, 1))
    flatten(b)
    gemm(b)
    b.outputs.append(b.x)
    return b


def _vectors(random: Random) -> Builder:
    b = Builder((10,), 15, random)
    gemm(b, 6)
    b.on("Tanh")
    matmul(b, 4)
    b.on("Gather", b.constant(np.array([2])), shape=(1,), axis=1)
    return b


def _rows(random: Random) -> Builder:
    b = Builder((5, 8), 20, random)
    matmul(b, 8)
    b.on("MatMul", b.node("Transpose", b.x, perm=[0, 2, 1]), shape=(5, 5))
    b.on("ReduceMax", b.constant(np.array([2])), shape=(5, 1))
    b.on("Softmax", axis=1)
    return b


FIXED: dict[str, Callable[[Random], Builder]] = {
    function.__name__.strip("_"): function
    for function in (
        *(_lenet, _residual, _mobilenet, _activations, _shapes, _old, _shape_arithmetic),
        *(_arithmetic, _vectors, _rows),
    )
}


# -- random models -------------------------------------------------------------------------


def random_model(random: Random, layers: int = 8) -> onnx.ModelProto:
    """A chain of layers with branches; valid, and of any kind that the importer knows."""
    size = random.choice((4, 6, 8, 9))
    b = Builder((random.choice((1, 3, 4)), size, size), random.choice((14, 16, 18, 21)), random)
    for _ in range(random.randint(1, layers)):
        random.choice(_LAYERS)(b)
    if random.random() < 0.6:
        flatten(b)
        gemm(b, random.randint(1, 8))
        if random.random() < 0.3:
            b.on("Softmax", axis=1)
    elif len(b.nodes) == 0:
        b.on("Relu")
    return b.model()


def _random_conv(b: Builder) -> None:
    kernel = min(b.random.choice((1, 2, 3, 5)), b.shape[1], b.shape[2])
    pad = b.random.choice((0, kernel // 2))
    conv(b, b.random.choice((b.shape[0], 2, 4, 6)), kernel, b.random.choice((1, 1, 2)), pad)


def _random_pool(b: Builder) -> None:
    if min(b.shape[1:]) >= 2:
        pool(b, b.random.choice(("MaxPool", "AveragePool")), 2, b.random.choice((1, 2)))


def _random_activation(b: Builder) -> None:
    names = ("Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Identity")
    b.on(b.random.choice((*names, "Relu")))


def _random_constant(b: Builder) -> None:
    shape = b.random.choice(((), (b.shape[0], 1, 1), (1, b.shape[0], 1, 1)))
    value = b.generator.uniform(0.5, 2, shape).astype(np.float32)
    b.on(b.random.choice(("Add", "Sub", "Mul", "Div")), b.constant(value))


def _random_concat(b: Builder) -> None:
    others = [(name, shape) for name, shape in b.earlier if shape[1:] == b.shape[1:]]
    if others:
        name, shape = b.random.choice(others)
        b.on("Concat", name, axis=1, shape=(b.shape[0] + shape[0], *b.shape[1:]))


def _random_pad(b: Builder) -> None:
    top, left, bottom, right = (b.random.randint(0, 2) for _ in range(4))
    pads = b.constant(np.array([0, 0, top, left, 0, 0, bottom, right]))
    channels, height, width = b.shape
    b.on("Pad", pads, shape=(channels, height + top + bottom, width + left + right))


def _random_split(b: Builder) -> None:
    if b.shape[0] < 2:
        return
    count = b.random.randint(1, b.shape[0] - 1)
    sizes = b.constant(np.array([count, b.shape[0] - count]))
    half = b.node("Split", b.x, sizes, count=2, axis=1)
    if b.random.random() < 0.5:
        b.x = b.node("Concat", f"{half}_1", half, axis=1)
    else:
        b.x, b.shape = half, (count, *b.shape[1:])


def _random_resize(b: Builder) -> None:
    if b.shape[1] < 10:
        mode = b.random.choice(("nearest", "linear"))
        scales = b.constant(np.array([1, 1, 2, 2], np.float32))
        b.on("Resize", "", scales, mode=mode, shape=(b.shape[0], *(2 * n for n in b.shape[1:])))


def _random_turn(b: Builder) -> None:
    channels, height, width = b.shape
    b.on("Transpose", perm=[0, 2, 3, 1], shape=(height, width, channels))
    if b.random.random() < 0.5:
        b.on("Relu")
    b.on("Transpose", perm=[0, 3, 1, 2], shape=(channels, height, width))


_LAYERS: tuple[Callable[[Builder], None], ...] = (
    *(_random_conv, _random_conv, _random_conv, _random_pool, _random_activation),
    *(_random_activation, clip, batch_norm, _random_constant, _random_concat, _random_pad),
    *(_random_split, _random_resize, _random_turn, residual),
    lambda b: residual(b, b.random.choice(("Mul", "Sub"))),
    lambda b: b.on("PRelu", b.normal(b.shape[0], 1, 1)),
)
