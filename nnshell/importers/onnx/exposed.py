"""An ONNX file whose inner tensors are outputs as well, to look at what it computes by itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import onnx

from nnshell.importers.onnx.file import read_whole
from nnshell.reading.registry import StoredTensor


def with_outputs(
    path: Path, tensors: Iterable[StoredTensor], first: str
) -> tuple[bytes, list[str]]:
    """The model with ``tensors`` as outputs after its own, and the names of those that it has.

    The tensor ``first``, a real one, comes before them all.

    Raises ModelError for a file that cannot be read.
    """
    model = read_whole(path)
    results = {name for node in model.graph.node for name in node.output if name}
    _put_first(model.graph, first, results)
    known = {output.name for output in model.graph.output}
    names = []
    for tensor in tensors:
        name = str(tensor.key)
        if name not in results or name in known or tensor.dtype.upper() not in ("INT8", "UINT8"):
            continue
        kind = onnx.TensorProto.DataType.Value(tensor.dtype.upper())
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, None))
        known.add(name)
        names.append(name)
    return model.SerializeToString(), names


def _put_first(graph: onnx.GraphProto, name: str, results: set[str]) -> None:
    outputs = list(graph.output)
    own = [output for output in outputs if output.name == name]
    if not own and name in results:
        own = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)]
    del graph.output[:]
    graph.output.extend([*own, *(output for output in outputs if output.name != name)])
