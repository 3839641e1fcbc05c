"""The networks whose cycles on GAP8 are published, and the figures: what the simulator is held
against.

Layers and totals: ``tests/chips/published_layers.csv`` and ``published_totals.csv``, each with
its source. MobileNets are built here; the DS-CNNs are chains of their published layers.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path

from nnshell.chips import Layer, Network, Parameters
from nnshell.ir.work import Window, Work, WorkKind

DATA = Path(__file__).resolve().parent.parent / "tests" / "chips"
KINDS: dict[str, WorkKind] = {
    "conv2d": "conv",
    "pointwise": "conv",
    "depthwise": "depthwise",
    "linear": "linear",
    "global_avgpool": "global_pool",
    "add": "elementwise",
    "softmax": "softmax",
}
SQ8 = Parameters(l2_size=350_000)  # as the publisher set; its L1 is not stated
DORY = Parameters(kernels="pulp-nn", cl_freq=100e6)
POW2_NETWORK = "mobilenet_v1_1.0_224_pow2"  # board of 2020-04; its L1 is what tiles may take
POW2 = Parameters(
    kernels="autotiler-pow2",
    l1_size=50_000 + DORY.stack_bytes,
    l2_size=350_000,
    cl_freq=150e6,
    fc_freq=50e6,
)
CHANNEL_BYTES, INFOS_BYTES = 6, 13  # bias, multiplier and shift of a channel; infos of a kernel

Shape = tuple[int, int, int]
Row = dict[str, str]


def layer_rows() -> list[Row]:
    return list(csv.DictReader((DATA / "published_layers.csv").open()))


def total_rows() -> list[Row]:
    return list(csv.DictReader((DATA / "published_totals.csv").open()))


def numbers(text: str, separator: str = "x") -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(separator))


def make_layer(
    name: str, op: str, inputs: tuple[str, ...], given: Shape, made: Shape, window: Window
) -> Layer:
    """A layer from its operator and shapes; int8 but for softmax, which writes int16."""
    kind = KINDS[op]
    depth = {"conv": given[0], "depthwise": 1, "linear": math.prod(given)}.get(kind, 0)
    weights = made[0] * depth * math.prod(window.kernel)
    work = Work(
        kind=kind,
        inputs=(given,) * len(inputs),
        output=made,
        filter_output=made,
        window=window,
        groups=made[0] if kind == "depthwise" else 1,
        macs=weights * made[1] * made[2],
        input_bytes=(math.prod(given),) * len(inputs),
        output_bytes=math.prod(made) * (2 if kind == "softmax" else 1),
        weight_bytes=weights,
        constant_bytes=CHANNEL_BYTES * made[0] + INFOS_BYTES if weights else INFOS_BYTES,
    )
    return Layer(name, op, work, inputs, name)


def row_layer(row: Row, inputs: tuple[str, ...] | None = None) -> Layer:
    """The layer of a published row."""
    given, made = numbers(row["input"]), numbers(row["output"])
    window = Window()
    if KINDS[row["op"]] in ("conv", "depthwise"):
        kernel, stride = numbers(row["kernel"]), numbers(row["stride"])
        window = Window(kernel, stride, (1, 1), numbers(row["pads"], " "))  # type: ignore[arg-type]
    if inputs is None:
        inputs = ("a", "b") if row["op"] == "add" else ("a",)
    return make_layer(row["layer"], row["op"], inputs, given, made, window)  # type: ignore[arg-type]


def single(row: Row) -> Network:
    """A published layer alone."""
    layer = row_layer(row)
    return Network(row["network"], (layer,), layer.inputs, (layer.output,))


def network(name: str) -> Network:
    """A published network by name: ``mobilenet_v2_1.0_128`` or a chain of published layers."""
    family, _, rest = name.partition("_v")
    if family == "mobilenet" and name != POW2_NETWORK:
        version, alpha, resolution = rest.split("_")
        build = {"1": mobilenet_v1, "2": mobilenet_v2}[version]
        return build(name, float(alpha), int(resolution))
    layers: list[Layer] = []
    for row in layer_rows():
        if row["network"] == name:
            source = layers[-1].output if layers else "input"
            layers.append(row_layer(row, (source,)))
    return Network(name, tuple(layers), ("input",), (layers[-1].output,))


@dataclass(slots=True)
class _Builder:
    """Layers so far; TensorFlow's SAME padding, which is uneven for strides of 2."""

    shape: Shape
    last: str = "input"
    layers: list[Layer] = field(default_factory=list)

    def add(self, name: str, op: str, made: Shape, window: Window, *others: str) -> None:
        inputs = (self.last, *others)
        self.layers.append(make_layer(name, op, inputs, self.shape, made, window))
        self.last, self.shape = name, made

    def filter(self, name: str, op: str, channels: int, size: int, stride: int = 1) -> None:
        _, height, width = self.shape
        rows, columns = -(-height // stride), -(-width // stride)
        down = max(0, (rows - 1) * stride + size - height)
        right = max(0, (columns - 1) * stride + size - width)
        pads = (down // 2, right // 2, down - down // 2, right - right // 2)
        window = Window((size, size), (stride, stride), (1, 1), pads)
        self.add(name, op, (channels, rows, columns), window)

    def classifier(self, name: str) -> Network:
        self.add("gap", "global_avgpool", (self.shape[0], 1, 1), Window())
        self.filter("fc", "pointwise", 1001, 1)
        self.add("softmax", "softmax", self.shape, Window())
        return Network(name, tuple(self.layers), ("input",), (self.last,))


def mobilenet_v1(name: str, alpha: float, resolution: int) -> Network:
    """Howard et al. 2017, table 1."""
    net = _Builder((3, resolution, resolution))
    net.filter("conv1", "conv2d", int(32 * alpha), 3, 2)
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
    blocks += [(512, 1)] * 5 + [(1024, 2), (1024, 1)]
    for number, (channels, stride) in enumerate(blocks, start=1):
        net.filter(f"block{number}_dw", "depthwise", net.shape[0], 3, stride)
        net.filter(f"block{number}_pw", "pointwise", int(channels * alpha), 1)
    return net.classifier(name)


def mobilenet_v2(name: str, alpha: float, resolution: int) -> Network:
    """Sandler et al. 2018, table 2: expansion, channels, repeats, stride."""
    net = _Builder((3, resolution, resolution))
    net.filter("conv1", "conv2d", _divisible(32 * alpha), 3, 2)
    number = 0
    for expansion, channels, repeats, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
        (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        for repeat in range(repeats):
            number += 1
            block = f"block{number}"
            _bottleneck(
                net, block, expansion, _divisible(channels * alpha), stride if not repeat else 1
            )
    net.filter("conv_last", "pointwise", _divisible(1280 * max(1.0, alpha)), 1)
    return net.classifier(name)


def _bottleneck(net: _Builder, block: str, expansion: int, channels: int, stride: int) -> None:
    source, given = net.last, net.shape
    if expansion > 1:
        net.filter(f"{block}_expand", "pointwise", given[0] * expansion, 1)
    net.filter(f"{block}_dw", "depthwise", net.shape[0], 3, stride)
    net.filter(f"{block}_project", "pointwise", channels, 1)
    if net.shape == given:
        net.add(f"{block}_add", "add", given, Window(), source)


def _divisible(channels: float) -> int:
    """Rounded to a multiple of 8, not more than a tenth down."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
