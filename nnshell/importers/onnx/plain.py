"""Operators behind the arithmetic that simulates their kernels, in files of `export --form qdq`.

Such a file computes some kernels step by step (a sigmoid is read from a table, a mean is truncated)
and says in its metadata which operator each of them stands for. Read again, it has the operators.
"""

from __future__ import annotations

import base64
import json

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from nnshell.support.errors import ModelError

KEY = "nnshell.plain"
_SIMULATED = "__simulated"  # the end of a name that goes to the operator


def restore_plain(model: onnx.ModelProto, file_name: str) -> None:
    """Put operators in place of what simulates them. Raises ModelError for damaged metadata."""
    text = next((entry.value for entry in model.metadata_props if entry.key == KEY), None)
    if text is None:
        return
    graph = onnx.GraphProto()
    try:
        content = json.loads(text)
        graph.ParseFromString(base64.b64decode(content["graph"], validate=True))
        tensors = {str(simulated): str(plain) for simulated, plain in content["tensors"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, DecodeError) as error:
        raise ModelError(
            f"its metadata '{KEY}' is damaged",
            where=file_name,
            hint="export it again, or remove the metadata",
        ) from error
    known = {tensor.name for tensor in model.graph.initializer}
    model.graph.initializer.extend(t for t in graph.initializer if t.name not in known)
    model.graph.node.extend(graph.node)
    _take_places(model.graph, tensors)


def _take_places(graph: onnx.GraphProto, tensors: dict[str, str]) -> None:
    """The operators' results get the names of those that simulate them, which get others."""
    made = {name for node in graph.node for name in node.output}
    pairs = {e: p for e, p in tensors.items() if e in made and p in made}
    new = {plain: simulated for simulated, plain in pairs.items()}
    results = {**{name: f"{name}{_SIMULATED}" for name in pairs}, **new}
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = new.get(name, name)
        for index, name in enumerate(node.output):
            node.output[index] = results.get(name, name)
