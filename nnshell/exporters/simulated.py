"""A quantized graph as float ONNX with a quantize-dequantize pair after every tensor.

It computes what the integers compute up to the rounding inside kernels, in float, so it runs at
the speed of the float graph whatever the number of bits. Fewer than 8 bits are a clip before
the int8 pair; tensors of FLOAT_BITS stay as they are.

Where a tensor is rounded: what only moves values (reshape, split, max pool) is on its input's grid
already, and a node before a rectifier that shares its record is rounded after the rectifier,
which gives the same and lets ONNX Runtime fuse the two. Filters use the weights' integers times
their scale, and what their multiplier really is: one of 5 bits can be 3 % off, as on the chip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from nnshell.exporters.means import LARGEST_TIE, LEAST_TIE, modelled_mean, tie_of
from nnshell.exporters.onnx import GraphWriter
from nnshell.exporters.plain import PlainForms
from nnshell.exporters.tables import modelled_activation
from nnshell.ir.graph import Graph, Node
from nnshell.ir.permutations import Perm, inverse
from nnshell.ir.qparams import FLOAT_BITS, INT8_BITS, NodeQuantization, QParams
from nnshell.ir.requests import Range
from nnshell.numeric.fixed_point import Multiplier
from nnshell.numeric.kernels.filters import FilterKernel
from nnshell.numeric.kernels.sums import SumKernel
from nnshell.ops.mul import MulKernel

_ROUNDED = ("int8", "int16")  # element types of activations that are simulated
_RELU = Range(0.0, inf)
_NUDGE = 1 - 2e-6  # the same for positive values, where nothing is added
_WIDEST = 200  # ratio of scales whose rescaled integers fit int16


def export_simulated(
    graph: Graph, outputs: Sequence[str] | None = None, *, integers: bool = False
) -> onnx.ModelProto:
    """The quantized graph as a QDQ model; ``outputs`` are as in ``export_onnx``.

    With ``integers`` weights are stored as int8 with a DequantizeLinear, as files have them; else
    as the floats that this gives, which is faster to run. Raises QuantizationError when the graph
    is not quantized.
    """
    graph.require_quantized()
    names = outputs if outputs is not None else [node.name for node in graph.outputs]
    keys = list(dict.fromkeys(names))
    return SimulatedWriter(graph, keys, integers).model(keys)


def is_rounded(record: QParams) -> bool:
    """Whether activations of the record are rounded, not left in float or as they are."""
    return record.dtype in _ROUNDED and record.bits != FLOAT_BITS


class SimulatedWriter(GraphWriter):
    """Writes nodes as ``GraphWriter`` does, and rounds what they read and make."""

    def __init__(self, graph: Graph, keys: Sequence[str], integers: bool) -> None:
        self._wanted = set(keys)
        self._integers = integers
        self._grids: dict[str, QParams] = {}  # of tensors that were rounded
        self._plain = PlainForms()
        super().__init__(graph)
        self.tensors.update((node.name, node.name) for node in graph.inputs)  # as they are given

    def _write_input(self, node: Node, index: int, values: Sequence[str]) -> str:
        tensor, record = super()._write_input(node, index, values), _of(node).output
        if values:
            return tensor
        if (
            record.bits == INT8_BITS and record.dtype == "int8"
        ):  # pixels at halves are frequent: (x - 127) / 128 has two
            tensor = self._lifted(tensor, record, record.first_scale, LEAST_TIE)
        return self._rounded(tensor, record)

    def _write_node(self, graph: Graph, node: Node, key: str, scope: str) -> Sequence[str]:
        if node.op.role in ("constant", "fusion"):
            return super()._write_node(graph, node, key, scope)
        value = self._inputs(node, scope)
        inputs = self._with_parameters(_of(node), list(value), key)
        if node.op.weights_order and inputs[1] != value[1]:
            inputs[1] = self._laid_out(inputs[1], inverse(node.op.weights_order))
        read = modelled_activation(self.build, node, inputs[0]) if inputs else None
        if read is not None:
            self._grids[read] = _of(node).output
            self._note_plain(read, lambda: self._written_plain(graph, node, inputs))
            return [read]
        results = node.op.to_onnx(self.build, inputs, graph.input_types(node), node.outputs)
        if node.op.role == "convert":  # ONNX Runtime makes one rounding of two in a row
            lowest = self.build.constant(np.finfo(np.float32).min, "lowest")
            whole, results = results, (self.build.node("Max", [results[0], lowest], hint="apart"),)
            self._plain.tensors[results[0]] = whole[0]
        if self._stays(graph, node, key) or self._is_on_grid(node, inputs):
            return results
        mean = modelled_mean(self.build, node, graph.input_types(node), results[0])
        if mean is not None:
            rounded = self._rounded(mean.tensor, _of(node).output, mean.step)
            self._note_plain(rounded, lambda: self._rounded(results[0], _of(node).output))
            return [rounded]
        step = _kernel_step(_of(node))
        if step is not None:
            record = _of(node).output
            reader = self._only_reader(graph, node, key)
            clipped = reader is not None and reader.op.clips_to == _RELU  # nothing below 0 is left
            tensor = results[0] if clipped else self._lifted(results[0], record, step)
            return [self._rounded(tensor, record, step)]
        records = _of(node).outputs
        return [self._rounded(name, record) for name, record in zip(results, records, strict=True)]

    # -- what the file stands for --------------------------------------------------------------

    def model(self, keys: Sequence[str]) -> onnx.ModelProto:
        """As in ``GraphWriter``; files say which operators they simulate step by step."""
        model = super().model(keys)
        if self._integers:
            self._plain.write(model, self.build)
        return model

    def _name_tensors(self, targets: Sequence[str]) -> None:
        before = dict(self.tensors)
        super()._name_tensors(targets)
        self._plain.rename({before[key]: name for key, name in self.tensors.items()})

    def _note_plain(self, simulated: str, write: Callable[[], str]) -> None:
        """What ``write`` adds to the graph is kept beside it, as what ``simulated`` stands for."""
        start = len(self.build.nodes)
        plain = write()
        self._plain.nodes += self.build.nodes[start:]
        self._plain.tensors[simulated] = plain
        del self.build.nodes[start:]

    def _written_plain(self, graph: Graph, node: Node, inputs: Sequence[str]) -> str:
        results = node.op.to_onnx(self.build, inputs, graph.input_types(node), node.outputs)
        return self._rounded(results[0], _of(node).output)

    def _stays(self, graph: Graph, node: Node, key: str) -> bool:
        """Whether the node's results are on their grid already, or will be after its reader."""
        if node.op.boundary or (node.op.keeps_record and node.op.order_preserving):
            return True
        reader = self._only_reader(graph, node, key)
        if reader is None or _kernel_step(_of(node)) is not None:
            return False
        return reader.op.pushes_range and _of(reader).output.same_record(_of(node).output)

    def _only_reader(self, graph: Graph, node: Node, key: str) -> Node | None:
        """What alone needs the node."""
        readers = graph.consumers(node.name)
        return readers[0][0] if len(readers) == 1 and key not in self._wanted else None

    def _is_on_grid(self, node: Node, inputs: Sequence[str]) -> bool:
        """Whether the node is a relu of what was rounded to the same grid."""
        grid = self._grids.get(inputs[0]) if node.op.clips_to == _RELU else None
        return grid is not None and grid.same_record(_of(node).output)

    def _rounded(self, tensor: str, record: QParams, step: float | None = None) -> str:
        """The tensor on its record's grid; ``step`` is what a kernel divides by for the scale."""
        if not is_rounded(record):
            return tensor
        scale = self.build.constant(np.float32(record.first_scale), "scale")
        if record.bits < INT8_BITS:
            bounds = [
                self.build.constant(
                    np.float32((q - record.zero_point) * record.first_scale), "bound"
                )
                for q in record.limits
            ]
            tensor = self.build.node("Clip", [tensor, *bounds], hint="clip")
        zero = self.build.constant(self._zero_point(record), "zero_point")
        value = scale if step is None else self.build.constant(np.float32(step), "step")
        integers = self.build.node("QuantizeLinear", [tensor, value, zero], hint="quantize")
        name = self.build.node("DequantizeLinear", [integers, scale, zero], hint="dequantize")
        self._grids[name] = record
        return name

    def _zero_point(self, record: QParams) -> NDArray[Any]:
        """In files int8 is written as uint8: ONNX Runtime 1.31 fails when it turns it into that."""
        if self._integers and record.dtype == "int8":
            return np.array(record.zero_point + 128, np.uint8)
        return np.array(record.zero_point, record.dtype)

    # -- constants -----------------------------------------------------------------------------

    def _with_parameters(
        self, quantization: NodeQuantization, inputs: list[str], key: str
    ) -> list[str]:
        """The inputs, constants among them replaced by what their integers stand for."""
        if isinstance(quantization.kernel, FilterKernel):
            return (
                self._filter(quantization, quantization.kernel, inputs, key)
                if quantization.constants
                else inputs
            )
        if isinstance(quantization.kernel, SumKernel) and _kernel_step(quantization) is not None:
            index = quantization.kernel.scaled_input
            if not quantization.constants or quantization.constants[index] is None:
                inputs[index] = self._rescaled(inputs[index], quantization, quantization.kernel)
        for index, values in enumerate(quantization.constants):
            if values is not None and quantization.inputs[index].bits != FLOAT_BITS:
                inputs[index] = self._constant(values, quantization.inputs[index], f"{key}_{index}")
        return inputs

    def _filter(
        self, quantization: NodeQuantization, kernel: FilterKernel, inputs: list[str], key: str
    ) -> list[str]:
        """Weights and bias as their integers mean, times the error of the multiplier.

        Zero points are part of the kernel's bias: that of the output moves with the error.
        """
        data, weights, units = quantization.inputs
        error = np.ones(1)
        if {data.bits, weights.bits, quantization.output.bits} == {INT8_BITS}:
            expected = units.scale / quantization.output.first_scale
            error = kernel.multiplier * np.exp2(-kernel.shift.astype(np.float64)) / expected
        if weights.bits == FLOAT_BITS:
            return inputs
        sums = kernel.weights.reshape(len(kernel.weights), -1).sum(axis=1, dtype=np.int64)
        real = (kernel.bias + data.zero_point * sums) * units.scale * error
        tie = tie_of(kernel.shift)
        moved = (quantization.output.zero_point - tie) * quantization.output.first_scale
        bias = self.build.constant((real - moved).astype(np.float32), f"{key}_bias")
        return [inputs[0], self._weights(kernel.weights, weights, error, f"{key}_weights"), bias]

    def _weights(
        self, integers: NDArray[Any], record: QParams, error: NDArray[np.float64], hint: str
    ) -> str:
        """In files the error is multiplied to what the integers mean.

        That also keeps ONNX Runtime from rewriting the filter in integers of its own, which would
        drop what is added to the bias for halves; it does not keep a factor of exactly 1.
        """
        axis = 0 if error.size > 1 or record.scale.size > 1 else None
        if not self._integers:
            scale = (record.scale * error).astype(np.float32)
            return self._constant(integers, replace(record, scale=scale, axis=axis), hint)
        factor = error.astype(np.float32).reshape(-1, *(1 for _ in integers.shape[1:]))
        factor = np.where(factor == 1, np.nextafter(np.float32(1), np.float32(2)), factor)
        first = replace(record, axis=axis)  # in the kernel the output channel is first
        operands = [self._constant(integers, first, hint), self.build.constant(factor, "error")]
        return self.build.node("Mul", operands, hint=f"{hint}_in_kernel")

    def _laid_out(self, weights: str, order: Perm) -> str:
        """Weights as the operator takes them, which is not with their output channel first."""
        value = self.build.constants.get(weights)
        if value is not None:
            return self.build.constant(np.ascontiguousarray(value.transpose(order)), "weights")
        return self.build.mark_batchless(self.build.node("Transpose", [weights], {"perm": order}))

    def _rescaled(self, tensor: str, quantization: NodeQuantization, kernel: SumKernel) -> str:
        """The input of a sum that is brought to the other's scale, which rounds it once more."""
        step = quantization.inputs[kernel.scaled_input].first_scale / _factor(kernel.input_scaling)
        other = quantization.inputs[1 - kernel.scaled_input].first_scale
        record = QParams(np.array([other]), 0, "int16")
        lifted = self._lifted(tensor, quantization.inputs[kernel.scaled_input], step)
        return self._rounded(lifted, record, step)

    def _lifted(self, tensor: str, record: QParams, step: float, share: float = LARGEST_TIE) -> str:
        """The tensor with its halves moved up, if it may be negative: others need no help."""
        if float(record.minimum.min()) >= 0 and share == LARGEST_TIE:
            return tensor
        tie = self.build.constant(np.float32(share * step), "tie")
        return self.build.node("Add", [tensor, tie], hint="lifted")

    def _constant(self, integers: NDArray[Any], record: QParams, hint: str) -> str:
        """Integers as a float constant, or as int8 with their scale."""
        if not self._integers or record.dtype != "int8":
            return self.build.constant(record.dequantize(integers), hint)
        scale = record.scale.astype(np.float32)
        axis = {} if scale.size == 1 or record.axis is None else {"axis": record.axis}
        zeros = np.full(scale.shape if axis else (), record.zero_point, np.int8)
        operands = [
            self.build.constant(integers.astype(np.int8), hint),
            self.build.constant(scale if axis else scale.reshape(()), f"{hint}_scale"),
            self.build.constant(zeros, f"{hint}_zero_point"),
        ]
        real = self.build.node("DequantizeLinear", operands, axis, hint=f"{hint}_real")
        return self.build.mark_batchless(real)


def _kernel_step(quantization: NodeQuantization) -> float | None:
    """What a sum or a product is divided by, as its multiplier says; None for other kernels."""
    kernel = quantization.kernel
    if any(record.bits != INT8_BITS for record in (*quantization.inputs, *quantization.outputs)):
        return None
    if isinstance(kernel, MulKernel):
        return (
            quantization.inputs[0].first_scale
            * quantization.inputs[1].first_scale
            / _factor(kernel.scaling)
        )
    if not isinstance(kernel, SumKernel) or any(
        record.zero_point for record in quantization.inputs
    ):
        return None
    small = quantization.inputs[1 - kernel.scaled_input].first_scale
    if quantization.inputs[kernel.scaled_input].first_scale > _WIDEST * small:
        return None
    return small / _factor(kernel.scaling)


def _factor(scaling: Multiplier) -> float:
    return float(scaling.multiplier[0]) * 2.0 ** -int(scaling.shift[0]) / _NUDGE


def _of(node: Node) -> NodeQuantization:
    assert node.quantization is not None, f"{node.name} is not quantized"
    return node.quantization
