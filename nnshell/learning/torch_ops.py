"""ONNX nodes in torch, so that gradients pass through them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F

from nnshell.ir.foreign import ForeignNode
from nnshell.learning.torch_functions import FUNCTION_ATTRIBUTES, FUNCTIONS
from nnshell.ops.resize import axis_positions, nearest_index
from nnshell.support.errors import GraphError

Tensor: TypeAlias = torch.Tensor
Values = Mapping[str, Any]


def run_node(node: ForeignNode, inputs: Sequence[Tensor]) -> Tensor:
    """The first output of a node; constants that are no activations are tensors as well."""
    return OPERATIONS[node.op](inputs, node.attributes)


def run_outputs(node: ForeignNode, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """All outputs of a node; an input that is left out is an empty tensor."""
    if node.op == "Split":
        return _split(inputs, node.attributes)
    return (run_node(node, inputs),)


def check_nodes(nodes: Sequence[ForeignNode], known: Sequence[str] = ()) -> None:
    """Raises GraphError for the first node that has no form here, or not with its attributes."""
    for node in nodes:
        if node.op in known:
            continue
        unread = sorted(set(node.attributes) - ATTRIBUTES.get(node.op, frozenset()))
        is_known = node.op in OPERATIONS
        if not is_known or unread:
            how = f" with {', '.join(unread)}" if is_known else ""
            raise GraphError(f"{node.op}{how} cannot be learned through", where=f"node {node.name}")


def _pads(values: Sequence[int]) -> list[int]:
    """ONNX's starts and ends as torch wants them, last axis first."""
    half = len(values) // 2
    results: list[int] = []
    for axis in reversed(range(half)):
        results += [int(values[axis]), int(values[half + axis])]
    return results


def _conv(inputs: Sequence[Tensor], at: Values) -> Tensor:
    data = F.pad(inputs[0], _pads(at["pads"])) if any(at["pads"]) else inputs[0]
    bias = inputs[2] if len(inputs) > 2 else None
    return F.conv2d(
        data,
        inputs[1],
        bias,
        tuple(at["strides"]),
        0,
        tuple(at["dilations"]),
        int(at["group"]),
    )


def _gemm(inputs: Sequence[Tensor], at: Values) -> Tensor:
    weights = inputs[1] if at.get("transB", 0) else inputs[1].T
    return F.linear(inputs[0], weights, inputs[2] if len(inputs) > 2 else None)


def _clip(inputs: Sequence[Tensor], at: Values) -> Tensor:
    return torch.minimum(torch.maximum(inputs[0], inputs[1]), inputs[2])


def _max_pool(inputs: Sequence[Tensor], at: Values) -> Tensor:
    data = inputs[0]
    if any(at["pads"]):
        data = F.pad(data, _pads(at["pads"]), value=-torch.inf)
    kernel, strides = tuple(at["kernel_shape"]), tuple(at["strides"])
    return F.max_pool2d(data, kernel, strides, 0, tuple(at.get("dilations", (1, 1))))


def _average_pool(inputs: Sequence[Tensor], at: Values) -> Tensor:
    kernel, strides = tuple(at["kernel_shape"]), tuple(at["strides"])
    pads = at.get("pads", (0, 0, 0, 0))
    if set(at.get("dilations", (1,))) != {1}:
        raise GraphError("a dilated average pool cannot be learned through")
    if not any(pads):
        return F.avg_pool2d(inputs[0], kernel, strides)
    mean = F.avg_pool2d(F.pad(inputs[0], _pads(pads)), kernel, strides)
    if at.get("count_include_pad"):
        return mean
    ones = torch.ones_like(inputs[0][:1, :1])
    return mean / F.avg_pool2d(F.pad(ones, _pads(pads)), kernel, strides)


def _pad(inputs: Sequence[Tensor], at: Values) -> Tensor:
    value = float(inputs[2]) if len(inputs) > 2 else 0.0
    return F.pad(inputs[0], _pads(inputs[1].tolist()), value=value)


def _slice(inputs: Sequence[Tensor], at: Values) -> Tensor:
    data = inputs[0]
    limits = [entry.tolist() for entry in inputs[1:]]
    if len(limits) < 3:
        limits.append(list(range(len(limits[0]))))
    if len(limits) < 4:
        limits.append([1] * len(limits[0]))
    for start, end, axis, step in zip(*limits, strict=True):
        places = range(data.shape[axis])[slice(start, _end(end, data.shape[axis]), step)]
        data = data.index_select(axis, torch.tensor(list(places), dtype=torch.int64))
    return data


def _end(end: int, extent: int) -> int | None:
    """ONNX says "before the first" by a number far below 0."""
    return None if end < -extent else end


def _reshape(inputs: Sequence[Tensor], at: Values) -> Tensor:
    """An extent of 0 is that of the input."""
    given = inputs[0].shape
    return inputs[0].reshape([int(n) or given[axis] for axis, n in enumerate(inputs[1])])


def _hard_sigmoid(inputs: Sequence[Tensor], at: Values) -> Tensor:
    scaled = inputs[0] * float(at.get("alpha", 0.2)) + float(at.get("beta", 0.5))
    return scaled.clamp(0, 1)


def _prelu(inputs: Sequence[Tensor], at: Values) -> Tensor:
    return torch.where(inputs[0] < 0, inputs[0] * inputs[1], inputs[0])


def _batch_norm(inputs: Sequence[Tensor], at: Values) -> Tensor:
    """With the statistics of the model: they are not measured again."""
    data, scale, offset, mean, variance = inputs
    return F.batch_norm(data, mean, variance, scale, offset, eps=float(at.get("epsilon", 1e-5)))


def _split(inputs: Sequence[Tensor], at: Values) -> tuple[Tensor, ...]:
    return tuple(torch.split(inputs[0], inputs[1].tolist(), int(at.get("axis", 0))))


def _shape(inputs: Sequence[Tensor], at: Values) -> Tensor:
    extents = list(inputs[0].shape)[int(at.get("start", 0)) : at.get("end")]
    return torch.tensor(extents, dtype=torch.int64)


def _unsqueeze(inputs: Sequence[Tensor], at: Values) -> Tensor:
    data = inputs[0]
    for axis in sorted(inputs[1].tolist()):
        data = data.unsqueeze(axis)
    return data


def _resize(inputs: Sequence[Tensor], at: Values) -> Tensor:
    """Axis by axis: an element, or a weighted mean of two, at the coordinates that ONNX says."""
    data = inputs[0]
    sizes = inputs[3].tolist() if len(inputs) > 3 else None
    for place, axis in enumerate(int(n) for n in at.get("axes", range(data.ndim))):
        if sizes is None and float(inputs[2][place]) == 1.0:
            continue
        extent = data.shape[axis]
        factor = float(inputs[2][place]) if sizes is None else sizes[place] / extent
        size = int(np.float32(extent) * np.float32(factor)) if sizes is None else sizes[place]
        positions = axis_positions(at["coordinate_transformation_mode"], extent, size, factor)
        data = _resized(data, axis, positions, at)
    return data


def _resized(data: Tensor, axis: int, positions: Any, at: Values) -> Tensor:
    extent = data.shape[axis]
    if at["mode"] == "nearest":
        chosen = nearest_index(at["nearest_mode"], positions, extent)
        return data.index_select(axis, torch.from_numpy(chosen).to(data.device))
    inside = np.clip(positions, 0, extent - 1)
    first = np.floor(inside).astype(np.int64)
    second = np.minimum(first + 1, extent - 1)
    share = torch.from_numpy((inside - first).astype(np.float32)).to(data.device)
    share = share.reshape([-1 if n == axis else 1 for n in range(data.ndim)])
    near, far = (
        data.index_select(axis, torch.from_numpy(n).to(data.device)) for n in (first, second)
    )
    return near * (1 - share) + far * share


OPERATIONS: dict[str, Callable[[Sequence[Tensor], Values], Tensor]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "Relu": lambda given, at: F.relu(given[0]),
    "Clip": _clip,
    "LeakyRelu": lambda given, at: F.leaky_relu(given[0], at.get("alpha", 0.01)),
    "PRelu": _prelu,
    "Sigmoid": lambda given, at: torch.sigmoid(given[0]),
    "Tanh": lambda given, at: torch.tanh(given[0]),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda given, at: F.hardswish(given[0]),
    "Softmax": lambda given, at: torch.softmax(given[0], int(at.get("axis", -1))),
    "Add": lambda given, at: given[0] + given[1],
    "Sub": lambda given, at: given[0] - given[1],
    "Mul": lambda given, at: given[0] * given[1],
    "Max": lambda given, at: torch.maximum(given[0], given[1]),
    "Min": lambda given, at: torch.minimum(given[0], given[1]),
    "Div": lambda given, at: given[0] / given[1],
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": lambda given, at: given[0].mean(dim=(2, 3), keepdim=True),
    "GlobalMaxPool": lambda given, at: given[0].amax(dim=(2, 3), keepdim=True),
    "Pad": _pad,
    "Slice": _slice,
    "Reshape": _reshape,
    "Transpose": lambda given, at: given[0].permute([int(n) for n in at["perm"]]),
    "Concat": lambda given, at: torch.cat(list(given), int(at["axis"])),
    "Identity": lambda given, at: given[0],
    "BatchNormalization": _batch_norm,
    "Exp": lambda given, at: torch.exp(given[0]),
    "Expand": lambda given, at: given[0].expand([int(n) for n in given[1]]),
    "MatMul": lambda given, at: given[0] @ given[1],
    "Resize": _resize,
    "Shape": _shape,
    "Split": lambda given, at: _split(given, at)[0],
    "Unsqueeze": _unsqueeze,
    **FUNCTIONS,
}


_WINDOW = frozenset({"kernel_shape", "strides", "dilations", "pads"})
# What each form reads; an attribute that it does not would change what the node means.
ATTRIBUTES: dict[str, frozenset[str]] = {
    **FUNCTION_ATTRIBUTES,
    "Conv": _WINDOW | {"group"},
    "Gemm": frozenset({"transB"}),
    "LeakyRelu": frozenset({"alpha"}),
    "HardSigmoid": frozenset({"alpha", "beta"}),
    "Softmax": frozenset({"axis"}),
    "MaxPool": _WINDOW,
    "AveragePool": _WINDOW | {"count_include_pad"},
    "Transpose": frozenset({"perm"}),
    "Concat": frozenset({"axis"}),
    "BatchNormalization": frozenset({"epsilon"}),
    "Resize": frozenset({"axes", "coordinate_transformation_mode", "mode", "nearest_mode"}),
    "Shape": frozenset({"start", "end"}),
    "Split": frozenset({"axis"}),
}


def tensor_of(value: Any) -> Tensor:
    """A constant of a model; real numbers as float32."""
    array = np.asarray(value)
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
    return torch.from_numpy(np.array(array))
