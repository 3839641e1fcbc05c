"""Large tensors of a model file, set aside while native code looks at the rest.

What decides whether a model is valid, and what its other shapes are, is names, shapes and small
tensors. Large ones are taken out of the model as they are, without a copy, and stand in it as
graph inputs of their shape and type while the checker, the converter and shape inference run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import onnx

LARGE_BYTES = 1 << 14  # a tensor that may decide a shape is far smaller

_DIGITS = 19  # of more bytes than any file has

Weights = Mapping[str, onnx.TensorProto]


def take_weights(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Remove large initializers and large constants from the model; returns them by name.

    Only the first of a name is taken: a second one stays, for the checker to refuse.
    """
    graph = model.graph
    weights: dict[str, onnx.TensorProto] = {}
    small = []
    for tensor in graph.initializer:
        if tensor.name and tensor.name not in weights and _is_large(tensor):
            weights[tensor.name] = tensor
        else:
            small.append(tensor)
    if weights:
        del graph.initializer[:]
        graph.initializer.extend(small)
    nodes = []
    for node in graph.node:
        tensor = _constant(node)
        if tensor is not None and node.output[0] not in weights:
            weights[node.output[0]] = tensor
        else:
            nodes.append(node)
    if len(nodes) < len(graph.node):
        del graph.node[:]
        graph.node.extend(nodes)
    return weights


@contextmanager
def standing_in(model: onnx.ModelProto, weights: Weights) -> Iterator[None]:
    """In the block the model has a graph input for each of the weights."""
    count = len(model.graph.input)
    for name, tensor in weights.items():
        stand_in = model.graph.input.add()
        stand_in.name = name
        stand_in.type.tensor_type.elem_type = tensor.data_type
        stand_in.type.tensor_type.shape.SetInParent()
        for extent in tensor.dims:
            axis = stand_in.type.tensor_type.shape.dim.add()
            if extent >= 0:
                axis.dim_value = extent
    try:
        yield
    finally:
        del model.graph.input[count:]


def without_stand_ins(model: onnx.ModelProto, weights: Weights) -> onnx.ModelProto:
    """What native code made of a model with stand-ins, without them."""
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    return model


def reference(tensor: onnx.TensorProto) -> dict[str, str]:
    """Where a tensor's data lie outside the model: location, offset, length."""
    return {entry.key: entry.value for entry in tensor.external_data}


def is_whole(text: str) -> bool:
    """Whether a text is a number of bytes that a file can have."""
    return text.isdecimal() and len(text) < _DIGITS


def _is_large(tensor: onnx.TensorProto) -> bool:
    """Whether its numbers, in the model or outside of it, are many."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        length = reference(tensor).get("length", "")
        if is_whole(length):
            return int(length) > LARGE_BYTES
        return math.prod(max(int(extent), 0) for extent in tensor.dims) > LARGE_BYTES
    return bool(tensor.ByteSize() > LARGE_BYTES)


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """The tensor of a ``Constant`` node, when it is large."""
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx") or len(node.output) != 1:
        return None
    if len(node.attribute) != 1 or node.attribute[0].name != "value":
        return None
    tensor = node.attribute[0].t
    return tensor if _is_large(tensor) else None
