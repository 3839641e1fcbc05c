"""The models and files that the cases of options work on, written to a folder."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from PIL import Image

SAMPLES = 8
TUTORIAL = """\
# Two steps

A tutorial of one's own.

## First step

Why the first.

```nnshell
open $(MODEL)
```

After the first.

```check
steps == 16
```

## Second step

Why the second.

```nnshell
draw -f $(OUT)/g.dot
```

After the second.

```check
prints wrote
```
"""
ECHO = "import sys\nprint(sys.argv[1:])\n"
MOVE = "import os\nos.rename('gone.onnx', 'found.onnx')\n"


def write_files(folder: Path) -> None:
    """All of them; the same in every run."""
    (folder / "application").mkdir()
    (folder / "application/main.c").write_text("/* not to be overwritten without being asked */")
    for name, model in _models().items():
        onnx.checker.check_model(model)
        onnx.save(model, folder / f"{name}.onnx")
    _arrays(folder)
    _images(folder)
    texts = {
        "layers.json": '[{"quant_types": ["weight"], "quant_bits": 4, "op_types": ["default"]}]',
        "labels.txt": "0\n" * SAMPLES,
        "published.csv": "bits,accuracy\n8,52.5\n4,41",
        "numbers.txt": "0.5, -1 2\n0.1",
        "options.json": json.dumps({"quantized_dimension": "tensor"}),
        "tune.json": json.dumps({"*": {"quantized_dimension": "tensor"}}),
        "own.md": TUTORIAL.replace("$(MODEL)", str(folder / "data.onnx")),
        "words.py": ECHO,
        "move.py": MOVE,
        "own.mk": "X = 5\n",
        "lines.nns": "set_var LINES 1\n",
    }
    chip = (files("nnshell.chips.tables") / "chip.toml").read_text()
    texts["half.toml"] = chip.replace("fork_cycles = 110", "fork_cycles = 220")
    for name, text in texts.items():
        (folder / name).write_text(text)


def _arrays(folder: Path) -> None:
    draw = np.random.default_rng(5)
    labels = np.arange(SAMPLES) % 3
    for name, channels in (("data", 3), ("grey", 1), ("one", 3), ("relu6", 3), ("softened", 3)):
        values = draw.normal(0.3, 1.0, (SAMPLES, channels, 3, 3)).astype(np.float32)
        np.savez(folder / f"{name}.npz", x=values, labels=labels % 2 if name == "one" else labels)
    np.savez(folder / "kernel.npz", x=draw.normal(size=(2, 4, 3, 3)).astype(np.float32))
    cube = draw.normal(0.3, 1.0, (3, 3, 3)).astype(np.float32)
    np.save(folder / "cube.npy", cube)
    np.save(folder / "short.npy", cube[:, :, :2])
    np.save(folder / "whole.npy", draw.integers(-4, 5, (3, 3, 3), np.int16))
    (folder / "bytes.dat").write_bytes(draw.integers(0, 256, 27, np.uint8).tobytes())


def _images(folder: Path) -> None:
    draw = np.random.default_rng(7)
    for name, (height, width) in (("square", (3, 3)), ("tall", (5, 3)), ("wide", (3, 5))):
        (folder / name).mkdir()
        for number in range(4):
            pixels = draw.integers(0, 256, (height, width, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{name}{number}_{number % 3}.png")


def _models() -> dict[str, onnx.ModelProto]:
    return {
        "data": _classifier(3),
        "grey": _classifier(1),
        "one": _classifier(3, classes=1),
        "sizes": _classifier(3, size="SIZE"),
        "integers": _quantized(),
        "paired": _paired(3),
        "paired_grey": _paired(1),
        "gone": _classifier(3),
        "last": _channels_last(),
        "relu6": _limited(),
        "softened": _softened(),
        "kernel": _model([_node("Exp", ["x"], "y")], [], (1, 4, 3, 3), (1, 4, 3, 3)),
    }


def _quantized() -> onnx.ModelProto:
    """A rectifier between two pairs that quantize and dequantize."""
    scale = numpy_helper.from_array(np.float32(0.05), "scale")
    zero = numpy_helper.from_array(np.int8(3), "zero")
    nodes = []
    for given, made in (("x", "a"), ("b", "y")):
        nodes.append(_node("QuantizeLinear", [given, "scale", "zero"], f"{made}_q"))
        nodes.append(_node("DequantizeLinear", [f"{made}_q", "scale", "zero"], made))
    nodes.insert(2, _node("Relu", ["a"], "b"))
    return _model(nodes, [scale, zero], (1, 3, 3, 3), (1, 3, 3, 3))


def _paired(channels: int) -> onnx.ModelProto:
    """A convolution between such pairs: what rounds differently in each runtime."""
    draw = np.random.default_rng(13)
    weights = numpy_helper.from_array(
        draw.normal(0, 1, (5, channels, 3, 3)).astype(np.float32), "w"
    )
    model = _quantized()
    relu = model.graph.node[2]
    convolution = _node("Conv", ["a", "w"], "b", pads=[1, 1, 1, 1])
    relu.CopyFrom(convolution)
    model.graph.initializer.append(weights)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = channels
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 5
    for tensor in model.graph.initializer:
        if tensor.name == "scale":
            tensor.CopyFrom(numpy_helper.from_array(np.float32(0.2), "scale"))
    return model


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], f"{kind.lower()}_{output}", **attributes)


class _Constants:
    """Weights by name, drawn in their order."""

    def __init__(self) -> None:
        self.tensors: list[onnx.TensorProto] = []
        self._draw = np.random.default_rng(0)

    def add(self, name: str, values: NDArray[Any]) -> str:
        self.tensors.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def normal(self, name: str, *shape: int) -> str:
        return self.add(name, self._draw.normal(0, 0.5, shape))

    def positive(self, name: str, *shape: int) -> str:
        return self.add(name, self._draw.uniform(0.5, 4.0, shape))


def _classifier(channels: int, classes: int = 3, size: str | int = 3) -> onnx.ModelProto:
    """conv, batch norm, relu, conv, relu, pool, linear and, for several classes, softmax."""
    c = _Constants()
    norm = [c.positive("gain", 4), c.normal("shift", 4), c.normal("mean", 4), c.positive("var", 4)]
    same = {"pads": [1, 1, 1, 1]}
    nodes = [
        _node("Conv", ["x", c.normal("w1", 4, channels, 3, 3), c.normal("b1", 4)], "c1", **same),
        _node("BatchNormalization", ["c1", *norm], "n1"),
        _node("Relu", ["n1"], "r1"),
        _node("Conv", ["r1", c.normal("w2", 4, 4, 3, 3), c.normal("b2", 4)], "c2", **same),
        _node("Relu", ["c2"], "r2"),
        _node("GlobalMaxPool", ["r2"], "p2"),
        _node("Flatten", ["p2"], "f2"),
        _node("Gemm", ["f2", c.normal("w3", classes, 4), c.normal("b3", classes)], "g3", transB=1),
    ]
    if classes > 1:
        nodes.append(_node("Softmax", ["g3"], "y", axis=1))
    shape = (1, channels, size, size)
    return _model(nodes, c.tensors, shape, (1, classes), "y" if classes > 1 else "g3")


def _channels_last() -> onnx.ModelProto:
    """Three convolutions, and between them activations with channels last."""
    c = _Constants()
    nodes, name = [], "x"
    for number in range(3):
        weights = [c.normal(f"w{number}", 3, 3, 1, 1), c.normal(f"b{number}", 3)]
        nodes.append(_node("Conv", [name, *weights], f"c{number}"))
        nodes.append(_node("Transpose", [f"c{number}"], f"l{number}", perm=[0, 2, 3, 1]))
        nodes.append(_node("Relu", [f"l{number}"], f"r{number}"))
        nodes.append(_node("Softmax", [f"r{number}"], f"s{number}", axis=1))
        nodes.append(_node("Transpose", [f"s{number}"], f"f{number}", perm=[0, 3, 1, 2]))
        name = f"f{number}"
    return _model(nodes, c.tensors, (1, 3, 3, 3), (1, 3, 3, 3), name)


def _limited() -> onnx.ModelProto:
    """A convolution whose results stay far below the 6 that its activation ends at."""
    c = _Constants()
    ends = [c.add("low", np.array(0.0)), c.add("high", np.array(6.0))]
    weights = [c.add("w", np.full((2, 3, 1, 1), 0.1)), c.add("b", np.zeros(2))]
    nodes = [_node("Conv", ["x", *weights], "c"), _node("Clip", ["c", *ends], "y")]
    return _model(nodes, c.tensors, (1, 3, 3, 3), (1, 2, 3, 3))


def _softened() -> onnx.ModelProto:
    """A result that goes through a sigmoid as well, which wants it in units of its own."""
    c = _Constants()
    nodes = [
        _node("Conv", ["x", c.normal("w", 3, 3, 1, 1), c.normal("b", 3)], "c"),
        _node("Sigmoid", ["c"], "y"),
        _node("Relu", ["c"], "r"),
    ]
    model = _model(nodes, c.tensors, (1, 3, 3, 3), (1, 3, 3, 3))
    for name in ("c", "r"):
        value = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (1, 3, 3, 3))
        model.graph.output.append(value)
    return model


def _model(
    nodes: list[onnx.NodeProto],
    constants: list[onnx.TensorProto],
    shape: tuple[int | str, ...],
    result: tuple[int, ...],
    output: str = "y",
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, result)],
        constants,
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 13)])
