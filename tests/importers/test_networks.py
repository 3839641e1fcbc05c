"""Networks as people train them, from an ONNX file to int8 and cycles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnshell import flow
from nnshell.execution.fast_engine import FastEngine
from nnshell.execution.integer_engine import IntegerEngine

from .parts import Parts, ints, node, numbers

Save = Callable[..., Path]


def _weights(*shape: int, seed: int) -> Any:
    fan_in = np.prod(shape[1:])
    return numbers(*shape, seed=seed) / np.float32(np.sqrt(fan_in))


def segmentation() -> Parts:
    """An encoder, a decoder of transposed convolutions, logarithms of probabilities by pixel."""
    nodes = [
        node("Pad", "x", "p", outputs=("a",), mode="reflect"),
        node("Conv", "a", "w1", outputs=("b",), strides=[2, 2]),
        node("Elu", "b", outputs=("c",)),
        node("ConvTranspose", "c", "w2", outputs=("d",), strides=[2, 2]),
        node("InstanceNormalization", "d", "s", "t", outputs=("e",)),
        node("Conv", "e", "w3", outputs=("f",)),
        node("LogSoftmax", "f", axis=1),
    ]
    constants = {
        "p": ints(0, 0, 1, 1, 0, 0, 1, 1),
        "w1": _weights(8, 3, 3, 3, seed=1),
        "w2": _weights(8, 6, 2, 2, seed=2),
        "s": np.ones(6, np.float32),
        "t": np.zeros(6, np.float32),
        "w3": _weights(4, 6, 1, 1, seed=3),
    }
    return {"nodes": nodes, "inputs": {"x": ["N", 3, 8, 8]}, "constants": constants, "opset": 21}


def super_resolution() -> Parts:
    """Features at a quarter of the pixels, copied and put back in their places."""
    nodes = [
        node("SpaceToDepth", "x", outputs=("a",), blocksize=2),
        node("Conv", "a", "w1", outputs=("b",), pads=[1, 1, 1, 1]),
        node("Gelu", "b", outputs=("c",)),
        node("Tile", "c", "r", outputs=("d",)),
        node("Conv", "d", "w2", outputs=("e",)),
        node("DepthToSpace", "e", outputs=("f",), blocksize=2, mode="CRD"),
        node("Tanh", "f"),
    ]
    constants = {
        "w1": _weights(8, 12, 3, 3, seed=1),
        "r": ints(1, 2, 1, 1),
        "w2": _weights(12, 16, 1, 1, seed=2),
    }
    return {"nodes": nodes, "inputs": {"x": ["N", 3, 8, 8]}, "constants": constants, "opset": 21}


@pytest.mark.parametrize("network", [segmentation, super_resolution])
def test_a_network_runs_in_int8_as_in_float(network: Callable[[], Parts], save: Save) -> None:
    project = flow.open_graph(save(**network()))
    flow.adjust(project)
    flow.fuse(project, "scale8")
    samples = [np.random.default_rng(0).uniform(-1, 1, (32, 3, 8, 8)).astype(np.float32)]
    expected = flow.run(project, samples)["output_1"]
    flow.quantize(project, flow.calibrate(project, samples))
    integers = IntegerEngine(project.graph).run(samples)
    fast = FastEngine(project.graph, list(integers)).run(samples)
    for key, values in integers.items():
        np.testing.assert_array_equal(fast[key], values, key)
    record = project["output_1"].quantization
    assert record is not None
    real = record.output.dequantize(integers["output_1"])
    noise = float(np.mean((real - expected) ** 2) / np.var(expected))
    assert noise < 0.01, f"{-10 * np.log10(noise):.1f} dB"
    assert flow.simulate(project).total_cycles > 0
