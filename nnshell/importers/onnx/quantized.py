"""Operators on integers written out: dequantize, the operator on real numbers, quantize.

    QLinearConv(x, ..., y)  =  QuantizeLinear(Conv(DequantizeLinear(x), ...))

Both forms of quantized models are one then. An operator whose scales the network computes stays
what it is, and is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from nnshell.importers.onnx.external import array_of

MICROSOFT = "com.microsoft"
_DOMAINS = ("", "ai.onnx", MICROSOFT)

_TIE = 1e-3  # of a step

Weights = MutableMapping[str, onnx.TensorProto]
Float32Array = NDArray[np.float32]


def write_out_quantized(model: onnx.ModelProto, weights: Weights, path: Path) -> None:
    """Rewrite the nodes of the model from ``path``; ``weights`` are its tensors apart from it."""
    nodes = list(model.graph.node)
    if not any(node.op_type in _FORMS and node.domain in _DOMAINS for node in nodes):
        return
    writer = _Writer(model, weights, path)
    for node in nodes:
        form = _FORMS.get(node.op_type) if node.domain in _DOMAINS else None
        if form is None or not form(writer, node):
            writer.nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(writer.nodes)


def drop_ties(model: onnx.ModelProto) -> None:
    """Leave out what is only added to break ties of rounding: far less than a step, then quantized.

    Models that simulate integers add it so that a half is rounded as their kernels round it.
    """
    small = {t.name: _number(t) for t in model.graph.initializer if _is_number(t)}
    scales = {
        node.input[0]: small[node.input[1]]
        for node in model.graph.node
        if node.op_type == "QuantizeLinear" and node.input[1] in small
    }
    ties = {
        node.output[0]: node.input[0]
        for node in model.graph.node
        if node.op_type == "Add"
        and node.output[0] in scales
        and node.input[1] in small
        and abs(float(small[node.input[1]].item())) < _TIE * float(scales[node.output[0]].item())
    }
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] in ties:
            node.input[0] = ties[node.input[0]]


def _number(tensor: onnx.TensorProto) -> NDArray[Any]:
    """Not a number where the tensor's data do not fit its shape."""
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError):
        return np.array([np.nan], np.float32)


def _is_number(tensor: onnx.TensorProto) -> bool:
    return tensor.data_type == onnx.TensorProto.FLOAT and list(tensor.dims) in ([], [1])


def can_be_written_out(node: onnx.NodeProto) -> bool:
    """Whether the node is one of the quantized operators that have such a form."""
    return node.op_type in _FORMS and node.domain in _DOMAINS


class _Writer:
    """Nodes in place of a quantized one, and the constants they need."""

    def __init__(self, model: onnx.ModelProto, weights: Weights, path: Path) -> None:
        self.graph, self.path = model.graph, path
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self._small = {tensor.name: tensor for tensor in self.graph.initializer}

    def scale(self, name: str) -> Float32Array | None:
        """A constant scale."""
        tensor = self._small.get(name) or self.weights.get(name)
        if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT:
            return None
        return array_of(tensor, self.path).astype(np.float32, copy=False).reshape(-1)

    def known(self, *names: str) -> bool:
        return all(self.scale(name) is not None for name in names)

    def real(self, node: onnx.NodeProto, first: int, axis: int | None = None) -> str:
        """The real numbers after inputs ``first``, its scale and its zero point."""
        operands = [name for name in node.input[first : first + 3] if name]
        result = f"{node.output[0]}_real_{first}"
        self._dequantize(operands, result, axis)
        return result

    def _dequantize(self, operands: Sequence[str], result: str, axis: int | None) -> None:
        scale = self.scale(operands[1])
        many = axis is not None and scale is not None and scale.size > 1
        node = helper.make_node("DequantizeLinear", operands, [result], f"{result}_dq")
        if many:
            node.attribute.append(helper.make_attribute("axis", axis))
        self.nodes.append(node)

    def bias(self, node: onnx.NodeProto, index: int, scale: Float32Array) -> str:
        """An int32 bias in units of ``scale`` as real numbers, under the bias's own name."""
        name = str(node.input[index])
        integers, step = f"{name}_integers", f"{name}_scale_{len(self.nodes)}"
        for tensor in (self._small.get(name), self.weights.get(name)):
            if tensor is not None and tensor.name == name:
                self._rename(name, integers, tensor)
        value = scale if scale.size > 1 else scale.reshape(())
        self.graph.initializer.append(numpy_helper.from_array(value, step))
        self._small[step] = self.graph.initializer[-1]
        self._dequantize([integers, step], name, 0)
        return name

    def _rename(self, name: str, new: str, tensor: onnx.TensorProto) -> None:
        tensor.name = new
        if name in self.weights:
            self.weights[new] = self.weights.pop(name)
        else:
            self._small[new] = self._small.pop(name)

    def shared(self, name: str) -> bool:
        """Whether a constant has more than one reader, or none that could be renamed."""
        count = sum(list(node.input).count(name) for node in self.graph.node)
        return count != 1 or (name not in self._small and name not in self.weights)

    def finish(
        self, node: onnx.NodeProto, op: str, inputs: Sequence[str], ends: Sequence[str]
    ) -> bool:
        """The operator on real numbers, called as the quantized one, and what quantizes it."""
        real = f"{node.output[0]}_real" if ends else node.output[0]
        result = helper.make_node(op, inputs, [real], node.name)
        dropped = {"channels_last", "opset"}
        result.attribute.extend(a for a in node.attribute if a.name not in dropped)
        self.nodes.append(result)
        if ends:
            operands = [real, *(name for name in ends if name)]
            name = f"{node.output[0]}_q"
            self.nodes.append(helper.make_node("QuantizeLinear", operands, node.output, name))
        return True


Form = Callable[[_Writer, onnx.NodeProto], bool]


def _conv(writer: _Writer, node: onnx.NodeProto) -> bool:
    if len(node.input) < 8:
        return False
    source, filters = writer.scale(node.input[1]), writer.scale(node.input[4])
    biased = len(node.input) > 8 and bool(node.input[8])
    if source is None or filters is None or (biased and writer.shared(node.input[8])):
        return False
    inputs = [writer.real(node, 0), writer.real(node, 3, 0)]
    if biased:
        inputs.append(writer.bias(node, 8, source * filters))
    return writer.finish(node, "Conv", inputs, node.input[6:8])


def _matmul(writer: _Writer, node: onnx.NodeProto) -> bool:
    if len(node.input) < 8:
        return False
    if not writer.known(node.input[1], node.input[4]):
        return False
    inputs = [writer.real(node, 0), writer.real(node, 3, 1)]
    return writer.finish(node, "MatMul", inputs, node.input[6:8])


def _gemm(writer: _Writer, node: onnx.NodeProto) -> bool:
    names = [*node.input, *[""] * (9 - len(node.input))]
    value, filters = writer.scale(names[1]), writer.scale(names[4])
    if value is None or filters is None:
        return False
    if names[6] and writer.shared(names[6]):
        return False
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    turned = bool(attributes.get("transB", 0))
    inputs = [writer.real(node, 0), writer.real(node, 3, 0 if turned else 1)]
    if names[6]:
        alpha = np.float32(attributes.get("alpha", 1.0))
        inputs.append(writer.bias(node, 6, value * filters * alpha))
    return writer.finish(node, "Gemm", inputs, names[7:9] if names[7] else ())


def _binary(op: str) -> Form:
    def write(writer: _Writer, node: onnx.NodeProto) -> bool:
        if len(node.input) < 7 or not writer.known(node.input[1], node.input[4]):
            return False
        inputs = [writer.real(node, 0), writer.real(node, 3)]
        return writer.finish(node, op, inputs, node.input[6:8])

    return write


def _unary(op: str) -> Form:
    def write(writer: _Writer, node: onnx.NodeProto) -> bool:
        last = any(a.name == "channels_last" and a.i for a in node.attribute)
        if len(node.input) < 4 or last or not writer.known(node.input[1]):
            return False
        return writer.finish(node, op, [writer.real(node, 0)], node.input[3:5])

    return write


def _concat(writer: _Writer, node: onnx.NodeProto) -> bool:
    parts = range(2, len(node.input), 3)
    if len(node.input) < 5 or not writer.known(*(node.input[i + 1] for i in parts)):
        return False
    inputs = [writer.real(node, index) for index in parts]
    return writer.finish(node, "Concat", inputs, node.input[:2])


_FORMS: dict[str, Form] = {
    "QGemm": _gemm,
    "QLinearAdd": _binary("Add"),
    "QLinearAveragePool": _unary("AveragePool"),
    "QLinearConcat": _concat,
    "QLinearConv": _conv,
    "QLinearGlobalAveragePool": _unary("GlobalAveragePool"),
    "QLinearLeakyRelu": _unary("LeakyRelu"),
    "QLinearMatMul": _matmul,
    "QLinearMul": _binary("Mul"),
    "QLinearSigmoid": _unary("Sigmoid"),
    "QLinearSoftmax": _unary("Softmax"),
}
