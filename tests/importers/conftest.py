"""Builds small ONNX models and compares what is imported with ONNX Runtime on the file itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from nnshell.execution.float_engine import FloatEngine
from nnshell.importers.onnx.importer import import_onnx
from nnshell.ir.graph import Graph
from nnshell.ir.verify import verify


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Write a model, given as ``make_model`` takes it or as a proto, to a file of its own."""

    def write(model: onnx.ModelProto | None = None, **parts: Any) -> Path:
        proto = model if model is not None else make_model(**parts)
        path = tmp_path / f"model_{len(list(tmp_path.iterdir()))}.onnx"
        path.write_bytes(proto.SerializeToString())
        return path

    return write


@pytest.fixture
def compare(save: Callable[..., Path]) -> Callable[..., Graph]:
    """Import a model and check that it computes what ONNX Runtime makes of the file."""

    def run(
        *,
        samples: int = 2,
        tolerance: float = 1e-5,
        options: Mapping[str, Any] | None = None,
        **parts: Any,
    ) -> Graph:
        path = save(**parts)
        graph = import_onnx(path, **(options or {})).graph
        verify(graph)
        session = runtime(path)
        feeds = {
            given.name: random_input(given, samples, seed)
            for seed, given in enumerate(session.get_inputs())
        }
        expected = session.run(None, feeds)
        batch = [
            array if array.shape[1:] == node.type.shape else array[np.newaxis]
            for array, node in zip(feeds.values(), graph.inputs, strict=True)
        ]
        found = FloatEngine(graph, threads=1).run(batch)
        assert list(found) == [f"output_{i + 1}" for i in range(len(expected))]
        for wanted, given in zip(expected, found.values(), strict=True):
            assert given.size == wanted.size
            np.testing.assert_allclose(
                given.reshape(wanted.shape), wanted, rtol=tolerance, atol=tolerance
            )
        return graph

    return run


def make_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Sequence[str] = ("y",),
    constants: Mapping[str, NDArray[Any]] | None = None,
    opset: int = 21,
    input_type: int = onnx.TensorProto.FLOAT,
    output_type: int = onnx.TensorProto.FLOAT,
) -> onnx.ModelProto:
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        list(nodes),
        "test",
        [info(name, input_type, list(shape)) for name, shape in inputs.items()],
        [info(name, output_type, None) for name in outputs],
        [onnx.numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    ids = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_model(graph, opset_imports=ids, ir_version=8)


def runtime(path: Path) -> onnxruntime.InferenceSession:
    """ONNX Runtime on the file; one of its optimizers takes borders of zeros for padding."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"], disabled_optimizers=["Pad_Fusion"]
    )


def random_input(given: onnxruntime.NodeArg, samples: int, seed: int) -> NDArray[Any]:
    """Normal floats, or integers from 0 to 99; open extents become the number of samples."""
    extents = [n if isinstance(n, int) else samples for n in given.shape]
    random = np.random.default_rng(seed)
    kind = given.type.removeprefix("tensor(").removesuffix(")")
    dtype = np.dtype({"float": "float32", "double": "float64"}.get(kind, kind))
    if dtype.kind in "ui":
        return random.integers(0, 100, extents).astype(dtype)
    return random.normal(0, 2, extents).astype(dtype)
