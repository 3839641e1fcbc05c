"""Random networks as people publish them: sane weights, normalized layers, inputs around 0."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SAMPLES = 16
Array = NDArray[np.float32]


class Writer:
    """Writes nodes of an ONNX model, with random weights."""

    def __init__(self, shape: tuple[int, ...], seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.shape = shape
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: NDArray[np.generic]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, kind: str, inputs: list[str], **attributes: object) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, inputs, [name], f"n{len(self.nodes)}", **attributes)
        )
        return name

    def conv(
        self, x: str, given: int, made: int, kernel: int = 3, stride: int = 1, groups: int = 1
    ) -> str:
        """Convolution with batch norm folded into it: outputs of about unit size."""
        taps = given // groups * kernel * kernel
        weights = self.random.normal(0, np.sqrt(2 / taps), (made, given // groups, kernel, kernel))
        weights *= self.random.uniform(0.6, 1.6, (made, 1, 1, 1))
        bias = self.random.normal(0, 0.2, made)
        constants = [self.constant(v.astype(np.float32)) for v in (weights, bias)]
        half = kernel // 2
        return self.node("Conv", [x, *constants], kernel_shape=[kernel] * 2, strides=[stride] * 2,
                         pads=[half] * 4, group=groups)  # fmt: skip

    def dense(self, x: str, given: int, made: int) -> str:
        weights = self.random.normal(0, np.sqrt(2 / given), (made, given)).astype(np.float32)
        bias = self.random.normal(0, 0.1, made).astype(np.float32)
        return self.node("Gemm", [x, self.constant(weights), self.constant(bias)], transB=1)

    def model(self, output: str, made: int | tuple[int, ...]) -> onnx.ModelProto:
        shape = (1, made) if isinstance(made, int) else (1, *made)
        graph = helper.make_graph(
            self.nodes,
            "healthy",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, *self.shape))],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
            self.constants,
        )
        opset = [helper.make_opsetid("", 13)]
        return helper.make_model(graph, opset_imports=opset, ir_version=8)

    def samples(self) -> Array:
        """Smooth images in -1 to 1."""
        noise = self.random.normal(0, 0.5, (SAMPLES, *self.shape))
        return np.clip(noise, -1, 1).astype(np.float32)


def stack(seed: int) -> tuple[onnx.ModelProto, Array]:
    """Convolutions, relus, padded pools: a VGG or LeNet in small."""
    w = Writer((3, 16, 16), seed)
    widths = w.random.integers(4, 17, 3)
    x, given, size = "x", 3, 16
    for made in map(int, widths):
        x = w.node("Relu", [w.conv(x, given, made)])
        padded = bool(w.random.integers(2))
        pads = [1] * 4 if padded else [0] * 4
        kernel = [3, 3] if padded else [2, 2]
        x = w.node("MaxPool", [x], kernel_shape=kernel, strides=[2, 2], pads=pads)
        given, size = made, size // 2
    x = w.node("Flatten", [x])
    x = w.node("Relu", [w.dense(x, given * size * size, 20)])
    return w.model(w.node("Softmax", [w.dense(x, 20, 10)]), 10), w.samples()


def residual(seed: int) -> tuple[onnx.ModelProto, Array]:
    """Residual blocks, global average."""
    w = Writer((3, 12, 12), seed)
    width = int(w.random.integers(6, 17))
    x = w.node("Relu", [w.conv("x", 3, width)])
    for _ in range(2):
        y = w.node("Relu", [w.conv(x, width, width)])
        y = w.conv(y, width, width)
        x = w.node("Relu", [w.node("Add", [x, y])])
    x = w.node("Flatten", [w.node("GlobalAveragePool", [x])])
    return w.model(w.dense(x, width, 10), 10), w.samples()


def mobilenet(seed: int) -> tuple[onnx.ModelProto, Array]:
    """Inverted bottlenecks with depthwise layers and relu6."""
    w = Writer((3, 16, 16), seed)
    low, high = w.constant(np.float32(0)), w.constant(np.float32(6))
    width = int(w.random.integers(4, 9))
    relu6 = lambda value: w.node("Clip", [value, low, high])  # noqa: E731
    x = relu6(w.conv("x", 3, width, stride=2))
    for _ in range(2):
        y = relu6(w.conv(x, width, 4 * width, kernel=1))
        y = relu6(w.conv(y, 4 * width, 4 * width, groups=4 * width))
        x = w.node("Add", [x, w.conv(y, 4 * width, width, kernel=1)])
    x = relu6(w.conv(x, width, 32, kernel=1))
    x = w.node("Flatten", [w.node("GlobalAveragePool", [x])])
    return w.model(w.dense(x, 32, 5), 5), w.samples()


def spotter(seed: int) -> tuple[onnx.ModelProto, Array]:
    """Keywords: one channel of a spectrogram, a long first kernel, depthwise separable layers."""
    w = Writer((1, 24, 10), seed)
    width = int(w.random.integers(8, 17))
    x = w.node("Relu", [w.conv("x", 1, width, kernel=5, stride=2)])
    for _ in range(2):
        x = w.node("Relu", [w.conv(x, width, width, groups=width)])
        x = w.node("Relu", [w.conv(x, width, width, kernel=1)])
    x = w.node("AveragePool", [x], kernel_shape=[12, 5], strides=[1, 1])
    return w.model(w.node("Softmax", [w.dense(w.node("Flatten", [x]), width, 12)]), 12), w.samples()


def dense(seed: int) -> tuple[onnx.ModelProto, Array]:
    """A perceptron."""
    w = Writer((64,), seed)
    x, given = "x", 64
    for made in map(int, w.random.integers(10, 60, 3)):
        x, given = w.node(str(w.random.choice(["Relu", "Tanh"])), [w.dense(x, given, made)]), made
    return w.model(w.dense(x, given, 4), 4), w.samples()


def autoencoder(seed: int) -> tuple[onnx.ModelProto, Array]:
    """Down, up by nearest neighbours, a sigmoid at the end."""
    w = Writer((1, 12, 12), seed)
    width = int(w.random.integers(4, 13))
    x = w.node("Relu", [w.conv("x", 1, width)])
    x = w.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = w.node("Relu", [w.conv(x, width, width)])
    scales = w.constant(np.array([1, 1, 2, 2], np.float32))
    x = w.node("Resize", [x, "", scales], mode="nearest", nearest_mode="floor",
               coordinate_transformation_mode="asymmetric")  # fmt: skip
    return w.model(w.node("Sigmoid", [w.conv(x, width, 1)]), (1, 12, 12)), w.samples()


def inception(seed: int) -> tuple[onnx.ModelProto, Array]:
    """Branches that a concat joins, one of them a padded pool."""
    w = Writer((3, 12, 12), seed)
    width = int(w.random.integers(4, 13))
    x = w.node("Relu", [w.conv("x", 3, width)])
    pool = w.node("MaxPool", [x], kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)
    branches = [
        w.conv(x, width, 4, kernel=1),
        w.conv(x, width, 4),
        w.conv(pool, width, 4, kernel=1),
    ]
    x = w.node("Concat", [w.node("Relu", [b]) for b in branches], axis=1)
    x = w.node("Flatten", [w.node("GlobalAveragePool", [x])])
    return w.model(w.dense(x, 12, 6), 6), w.samples()


FAMILIES: tuple[Callable[[int], tuple[onnx.ModelProto, Array]], ...] = (
    stack,
    residual,
    mobilenet,
    spotter,
    dense,
    autoencoder,
    inception,
)


def write(folder: Path, number: int) -> tuple[Path, Array]:
    """Network ``number``, of the families in turn; its file and its samples."""
    model, samples = FAMILIES[number % len(FAMILIES)](number)
    onnx.checker.check_model(model)
    path = folder / f"healthy_{number}.onnx"
    onnx.save(model, path)
    return path, samples
