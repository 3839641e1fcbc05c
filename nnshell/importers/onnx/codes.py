"""Operators between QuantizeLinear and DequantizeLinear, which see integers and not real numbers.

The importer reads such integers as the real numbers that they stand for. What moves them stays
what it is; a Clip (fewer bits: Brevitas writes QuantizeLinear, Clip, DequantizeLinear) becomes the
limits of its pair, the value of a Pad a real one. Anything else would compute something else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from nnshell.importers.problems import Problem, report
from nnshell.reading.registry import IMPORTS

LIMITS = "nnshell_limits"  # least and largest integer; checked files have no such attribute

_PAIR = ("QuantizeLinear", "DequantizeLinear")
_MOVES = frozenset(
    {
        "Concat",
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "MaxPool",
        "Reshape",
        "Resize",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)


def read_codes(model: onnx.ModelProto, file_name: str) -> None:
    """Rewrite what works on integers in terms of real numbers. Raises ModelError."""
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        _Reader(model.graph).read(file_name)


class _Reader:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.constants = {tensor.name for tensor in graph.initializer}
        self.pairs: dict[str, onnx.NodeProto] = {}  # what made integers, by their tensor
        self.clipped: dict[str, str] = {}  # the tensor before a Clip, by the one after it
        self.values = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                self.values[node.output[0]] = node.attribute[0].t
                self.constants.add(node.output[0])

    def read(self, file_name: str) -> None:
        problems = []
        for node in list(self.graph.node):
            for index, name in enumerate(node.input):
                node.input[index] = self.clipped.get(name, name)
            maker = next((self.pairs[name] for name in node.input if name in self.pairs), None)
            if node.op_type == "QuantizeLinear":
                if node.input[0] not in self.constants:
                    self.pairs[node.output[0]] = node
            elif maker is not None and not self._moves(node, maker):
                reason = "it works on integers between QuantizeLinear and DequantizeLinear"
                hint = "put it after DequantizeLinear, or export the float model"
                problems.append(Problem(node.op_type, node.name or node.output[0], reason, hint))
        if problems:
            raise report(file_name, problems)

    def _moves(self, node: onnx.NodeProto, maker: onnx.NodeProto) -> bool:
        """Whether real numbers may take the place of the node's integers, as it now is."""
        if node.op_type == "DequantizeLinear":
            limits = [a for a in maker.attribute if a.name == LIMITS]
            node.attribute.extend(limits)
            return True
        if node.op_type == "Clip":
            return self._clips(node, maker)
        if node.op_type == "Pad" and not self._pads(node, maker):
            return False
        if node.op_type not in (*_MOVES, "Pad"):
            return node.op_type not in IMPORTS  # which is refused for itself
        self.pairs.update((name, maker) for name in node.output if name)
        return True

    def _clips(self, node: onnx.NodeProto, maker: onnx.NodeProto) -> bool:
        bounds = [self._number(name) for name in node.input[1:3]]
        if node.input[0] != maker.output[0] or len(bounds) != 2 or None in bounds:
            return False
        maker.attribute.append(
            helper.make_attribute(LIMITS, [int(b) for b in bounds if b is not None])
        )
        self.clipped[node.output[0]] = node.input[0]
        self.graph.node.remove(node)
        return True

    def _pads(self, node: onnx.NodeProto, maker: onnx.NodeProto) -> bool:
        """Give the border the real number that its integer stands for."""
        scale = self._number(maker.input[1])
        zero = self._number(maker.input[2]) if len(maker.input) > 2 and maker.input[2] else 0.0
        has_value = len(node.input) > 2 and node.input[2] != ""
        code = self._number(node.input[2]) if has_value else 0.0
        if scale is None or zero is None or code is None:
            return False
        name = f"{node.output[0]}__border"
        real = np.float32((code - zero) * scale)
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(real), name))
        inputs = [*node.input[:2], name, *node.input[3:]]
        del node.input[:]
        node.input.extend(inputs)
        return True

    def _number(self, name: str) -> float | None:
        tensor = self.values.get(name)
        if tensor is None or np.prod(tensor.dims, dtype=np.int64) != 1:
            return None
        value: NDArray[Any] = numpy_helper.to_array(tensor)
        return float(value.reshape(-1)[0])
