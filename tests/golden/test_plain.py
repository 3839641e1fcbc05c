"""Networks with every activation and pool, tensor by tensor against plain Python arithmetic.

The networks are those forms whose stored results are not at hand: leaky relu, hard sigmoid, tanh
and sigmoid after filters (int32 inside), a gate beside its own input (quantize nodes), concats
of different records, average pools and a residual sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nnshell import flow
from nnshell.execution.engines import Engine, make_engine
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.ir.graph import Graph
from nnshell.quantization import Statistics
from nnshell.quantization.ranges.calibration import calibrate_graph

from . import plain

SHAPE = (3, 12, 10)
SIXTH = 1 / 6


@dataclass
class Model:
    """An ONNX model under construction, and its weights by layer."""

    random: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = field(
        default_factory=dict
    )

    def node(self, op: str, name: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [f"{name}_y"], name=name, **attributes))
        return f"{name}_y"

    def filter(self, op: str, name: str, x: str, shape: tuple[int, ...], **attributes: Any) -> str:
        weights = self.random.normal(size=shape) * 1.5 / np.sqrt(np.prod(shape[1:]))
        bias = self.random.normal(size=shape[0]) / 3
        self.weights[name] = weights.astype(np.float32), bias.astype(np.float32)
        return self.node(op, name, x, f"{name}.w", f"{name}.b", **attributes)

    def conv(self, name: str, x: str, shape: tuple[int, ...], pad: int = 0) -> str:
        return self.filter("Conv", name, x, shape, pads=[pad] * 4)

    def gemm(self, name: str, x: str, shape: tuple[int, ...]) -> str:
        return self.filter("Gemm", name, x, shape, transB=1)

    def quantized(self, path: Path, output: str, samples: Any) -> tuple[Graph, Statistics]:
        constants = [
            numpy_helper.from_array(value, f"{name}.{kind}")
            for name, pair in self.weights.items()
            for kind, value in zip("wb", pair, strict=True)
        ]
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (("x", [1, *SHAPE]), (output, None))
        ]
        body = helper.make_graph(self.nodes, "net", ends[:1], ends[1:], constants)
        opsets = [helper.make_opsetid("", 13)]
        onnx.save(helper.make_model(body, opset_imports=opsets, ir_version=8), path)
        project = flow.open_graph(path)
        flow.adjust(project)
        flow.fuse(project, "scale8")
        statistics = calibrate_graph(project.graph, [[samples]], everything=True)
        flow.quantize(project, statistics)
        return project.graph, statistics


def bounds(statistics: Statistics, key: str) -> tuple[float, float]:
    return statistics[key].minimum, statistics[key].maximum


def differences(graph: Graph, sample: Any, expected: Mapping[str, Any]) -> dict[str, int]:
    """How many values differ, by engine and key, where any do."""
    engines: dict[str, Engine] = {
        "reference": IntegerEngine(graph),
        "fast": make_engine(graph, "int8", keys=list(expected)),
    }
    found = {}
    for name, engine in engines.items():
        made = engine.run([sample[np.newaxis]])
        for key, value in expected.items():
            wrong = int(np.count_nonzero(made[key][0].reshape(value.shape) != value))
            found[f"{name} {key}"] = wrong
    return {key: wrong for key, wrong in found.items() if wrong}


@pytest.fixture
def images() -> Any:
    pixels = np.random.default_rng(7).integers(0, 256, (4, *SHAPE))
    return (pixels / 128 - 1).astype(np.float32)


def stem(model: Model) -> str:
    x = model.conv("c1", "x", (6, 3, 3, 3), pad=1)
    return model.node("LeakyRelu", "leaky", x, alpha=0.1)


def branches(model: Model, x: str, a: str, **pool: list[int]) -> str:
    """Average pool of a filter without activation, joined with filter, max pool and relu."""
    a = model.conv("a2", a, (5, 8, 1, 1))
    a = model.node("AveragePool", "mean", a, kernel_shape=[2, 2], strides=[2, 2])
    b = model.conv("b1", x, (4, 6, 1, 1))
    b = model.node("Relu", "relu", model.conv("b2", b, (5, 4, 3, 3), pad=1))
    b = model.node("MaxPool", "pool", b, **pool, strides=[2, 2])
    return model.node("Concat", "join", a, b, axis=1)


def head(model: Model, x: str) -> str:
    x = model.node("Tanh", "tanh", model.conv("c3", x, (5, 10, 3, 3)))
    x = model.node("MaxPool", "pool3", x, kernel_shape=[2, 2])
    x = model.node("Flatten", "flat", x)
    x = model.node("LeakyRelu", "leaky2", model.gemm("fc1", x, (7, 30)), alpha=0.01)
    return model.node("Sigmoid", "gate", model.gemm("fc2", x, (4, 7)))


@dataclass
class Expected:
    """What plain arithmetic makes of one image, by the engine's keys."""

    model: Model
    seen: Statistics
    found: dict[str, Any] = field(default_factory=dict)

    def symmetric(self, key: str) -> plain.Record:
        return plain.symmetric(*bounds(self.seen, key))

    def filter(
        self, key: str, x: Any, given: plain.Record, wanted: plain.Record, **options: Any
    ) -> Any:
        weights, bias = self.model.weights[key.rpartition("/")[2]]
        return self.keep(key, plain.filtered(x, given, wanted, weights, bias, **options))

    def keep(self, key: str, value: Any) -> Any:
        self.found[key] = value
        return value

    def stem(self, image: Any) -> Any:
        given, wanted = self.symmetric("input_1"), self.symmetric("c1_fusion")
        x = self.keep("input_1", plain.quantized(image, given))
        x = self.filter("c1_fusion/c1", x, given, wanted, pad=1, wide=True)
        return self.keep("c1_fusion", plain.leaky(x, 0.1))

    def branches(
        self, x: Any, a: Any, given: plain.Record, join: plain.Record, size: int, pad: int
    ) -> Any:
        flat = self.symmetric("b1")
        a = self.filter("a2_fusion/a2", a, given, join)
        a = self.keep("a2_fusion", plain.pooled(a, 2, 2, plain.mean))
        b = self.filter("b1", x, self.symmetric("c1_fusion"), flat)
        b = self.filter("b2_fusion/b2", b, flat, join, pad=1)
        b = self.keep("b2_fusion/pool", plain.pooled(b, size, 2, np.max, pad, join[1]))
        b = self.keep("b2_fusion", np.maximum(b, join[1]))
        return self.keep("join", np.concatenate([a, b]))

    def head(self, x: Any, given: plain.Record) -> None:
        fc1 = self.symmetric("fc1_fusion")
        x = self.filter("c3_fusion/c3", x, given, plain.Q12, wide=True)
        x = self.keep("c3_fusion/tanh", plain.tanh(x))
        x = self.keep("c3_fusion", plain.pooled(x, 2, 1, np.max))
        x = self.filter("fc1_fusion/fc1", x, plain.UNIT, fc1, wide=True)
        x = self.keep("fc1_fusion", plain.leaky(x, 0.01))
        x = self.filter("fc2_fusion/fc2", x, fc1, plain.Q12, wide=True)
        self.keep("output_1", plain.sigmoid(x))


def test_wide_activations_and_a_concat_that_a_padded_pool_makes_symmetric(
    tmp_path: Path, images: Any
) -> None:
    model = Model(np.random.default_rng(1))
    x = stem(model)
    gate = model.node("HardSigmoid", "hard", model.conv("a1", x, (8, 6, 1, 1)), alpha=SIXTH)
    joined = branches(model, x, gate, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    graph, seen = model.quantized(tmp_path / "net.onnx", head(model, joined), images)
    mean = plain.asymmetric(*bounds(seen, "a2_fusion/a2"))
    join = max(mean, plain.symmetric(*bounds(seen, "b2_fusion")))
    assert join[1] == 0, "the padded branch was meant to win"
    hard = plain.hard_sigmoid_input(SIXTH)
    for image in images[:2]:
        expected = Expected(model, seen)
        x0 = expected.stem(image)
        wide = expected.filter("a1_fusion/a1", x0, expected.symmetric("c1_fusion"), hard, wide=True)
        a1 = expected.keep("a1_fusion", plain.hard_sigmoid(wide, SIXTH, 0.5))
        expected.head(expected.branches(x0, a1, plain.UNIT, join, 3, 1), join)
        assert differences(graph, image, expected.found) == {}


def test_a_gate_beside_its_input_and_an_asymmetric_concat(tmp_path: Path, images: Any) -> None:
    model = Model(np.random.default_rng(2))
    x = stem(model)
    a1 = model.conv("a1", x, (8, 6, 1, 1))
    product = model.node("Mul", "times", a1, model.node("HardSigmoid", "hard", a1, alpha=SIXTH))
    joined = branches(model, x, product, kernel_shape=[2, 2])
    graph, seen = model.quantized(tmp_path / "net.onnx", head(model, joined), images)
    mean = plain.asymmetric(*bounds(seen, "a2_fusion/a2"))
    join = max(mean, plain.asymmetric(*bounds(seen, "b2_fusion")))
    assert join[1] not in (0, -128), "the branch with both signs was meant to win"
    own, hard = plain.asymmetric(*bounds(seen, "a1")), plain.hard_sigmoid_input(SIXTH)
    for image in images[:2]:
        expected = Expected(model, seen)
        even, times = expected.symmetric("a1"), expected.symmetric("times")
        x0 = expected.stem(image)
        a = expected.filter("a1", x0, expected.symmetric("c1_fusion"), own)
        gate = expected.keep("hard_qin0", plain.requantized(a, own, hard))
        gate = expected.keep("hard", plain.hard_sigmoid(gate, SIXTH, 0.5))
        a = expected.keep("times_qin0", plain.requantized(a, own, even))
        a = plain.product(a, gate, even[0] * plain.UNIT[0] / times[0])
        expected.keep("times", a)
        expected.head(expected.branches(x0, a, times, join, 2, 0), join)
        assert differences(graph, image, expected.found) == {}


def test_a_residual_sum_of_relus_before_an_average_pool(tmp_path: Path, images: Any) -> None:
    model = Model(np.random.default_rng(3))
    first = model.node("Relu", "relu", model.conv("c1", "x", (6, 3, 3, 3), pad=1))
    second = model.conv("c2", first, (6, 6, 3, 3), pad=1)
    total = model.node("Relu", "relu2", model.node("Add", "sum", second, first))
    mean = model.node("AveragePool", "mean", total, kernel_shape=[4, 4], strides=[4, 4])
    y = model.gemm("fc", model.node("Flatten", "flat", mean), (4, 36))
    graph, seen = model.quantized(tmp_path / "net.onnx", y, images)
    for image in images[:2]:
        expected = Expected(model, seen)
        given, c1, c2, out, fc = (
            expected.symmetric(key) for key in ("input_1", "c1_fusion", "c2", "sum_fusion", "fc")
        )
        x = expected.keep("input_1", plain.quantized(image, given))
        x = expected.filter("c1_fusion/c1", x, given, c1, pad=1)
        x = expected.keep("c1_fusion", np.maximum(x, 0))
        z = expected.filter("c2", x, c1, c2, pad=1)
        z = expected.keep("sum_fusion/sum", plain.total(z, x, (c2[0], c1[0]), out[0]))
        z = expected.keep("sum_fusion", np.maximum(z, 0))
        z = expected.keep("mean", plain.pooled(z, 4, 4, plain.mean))
        expected.filter("fc", z, out, fc)
        assert differences(graph, image, expected.found) == {}
