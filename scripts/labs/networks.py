"""Networks that the labs train from nothing, as ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PIXELS, HIDDEN, LATENT = 784, 400, 20


class _Writer:
    """Nodes and initializers of a model of linear layers."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)

    def node(self, op: str, inputs: list[str], name: str) -> str:
        self.nodes.append(helper.make_node(op, inputs, [name], name=name))
        return name

    def linear(self, source: str, inputs: int, outputs: int, name: str) -> str:
        """Uniform within 1 / sqrt(inputs), as torch begins."""
        reach = 1 / np.sqrt(inputs)
        for part, shape in (("w", (outputs, inputs)), ("b", (outputs,))):
            value = self._random.uniform(-reach, reach, shape).astype(np.float32)
            self.initializers.append(numpy_helper.from_array(value, f"{name}.{part}"))
        operands = [source, f"{name}.w", f"{name}.b"]
        self.nodes.append(helper.make_node("Gemm", operands, [name], name=name, transB=1))
        return name


def variational_autoencoder(path: Path) -> Path:
    """784-400-20-400-784 with its noise inside; gives reconstruction, mean and log variance."""
    writer = _Writer()
    writer.initializers.append(numpy_helper.from_array(np.float32(0.5), "half"))
    hidden = writer.linear(writer.node("Flatten", ["x"], "flat"), PIXELS, HIDDEN, "fc1")
    hidden = writer.node("Relu", [hidden], "relu1")
    mean = writer.linear(hidden, HIDDEN, LATENT, "mean")
    variance = writer.linear(hidden, HIDDEN, LATENT, "log_variance")
    noise = writer.node("RandomNormalLike", [mean], "noise")
    half = writer.node("Mul", [variance, "half"], "half_log")
    deviation = writer.node("Exp", [half], "deviation")
    drawn = writer.node("Add", [mean, writer.node("Mul", [noise, deviation], "moved")], "latent")
    made = writer.node("Relu", [writer.linear(drawn, LATENT, HIDDEN, "fc3")], "relu3")
    writer.node("Sigmoid", [writer.linear(made, HIDDEN, PIXELS, "fc4")], "reconstruction")
    ends = (("reconstruction", PIXELS), ("mean", LATENT), ("log_variance", LATENT))
    graph = helper.make_graph(
        writer.nodes,
        "vae",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 28, 28])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", k]) for n, k in ends],
        writer.initializers,
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path
