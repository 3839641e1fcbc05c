"""Generator calls of sums, matrix products and softmax."""

from __future__ import annotations

from math import prod

import numpy as np

from nnshell.numeric.fixed_point import derive_multiplier
from nnshell.numeric.kernels.sums import SumKernel
from nnshell.ops.matmul import MatMul, MatMulKernel
from nnshell.support.errors import GraphError
from nnshell.targets.autotiler.context import Context
from nnshell.targets.autotiler.infos import ACT_SCALE, IN_SCALE, OUT_SCALE, Record, put_activation
from nnshell.targets.autotiler.operators import activation_operator, three_axes
from nnshell.targets.autotiler.plan import Binding, Call, Kernel
from nnshell.targets.autotiler.unit import Unit

BIAS_BYTES, SCALE_BYTES = 4, 1
_SOFTMAX_FRACTION_BITS = 15
_SOFTMAX_BYTES = 2


def add(context: Context, unit: Unit) -> Kernel:
    """Sum of two tensors of one shape; the one with the larger scale is bound first."""
    kind = activation_operator(unit, context.settings)
    arguments = (*three_axes(unit.node.type.shape), "KOP_MATADD", kind)
    kernel = unit.integers.kernel
    assert isinstance(kernel, SumKernel)
    record = Record.empty()
    record.put_scaling(IN_SCALE, kernel.input_scaling)
    record.put_scaling(OUT_SCALE, kernel.scaling)
    if unit.activation is not None:
        put_activation(record, unit.activation)
    bindings = (
        *context.operands(unit, kernel.scaled_input, 1 - kernel.scaled_input),
        *context.writes(unit),
        context.made(unit, "Infos", record.array(), "int8"),
    )
    return context.kernel(unit, Call("CNN_MatAddAct_SQ8", arguments), bindings)


def padded_add(context: Context, unit: Unit) -> Kernel:
    """Sum of a tensor and one with fewer channels: in the others the first is only rescaled.

    The index tells the generator which operand is the full one. The record of the padding
    (IN1SCALE from the full operand to the output) follows the generator's description and was not
    compared with NNTool.
    """
    padding, kernel = unit.padding, unit.integers.kernel
    around = None if padding is None else padding.op.border()
    assert padding is not None and around is not None and isinstance(kernel, SumKernel)
    assert unit.node.body is not None
    refs = unit.main.inputs
    small = next(index for index, ref in enumerate(refs) if ref.node == padding.name)
    ports = [padding.inputs[0] if index == small else ref for index, ref in enumerate(refs)]
    outer = [unit.node.body[ref.node].op.port or 0 for ref in ports]
    first = kernel.scaled_input
    before, after = around.pads[0]
    channels, height, width = unit.node.type.shape
    kind = activation_operator(unit, context.settings)
    sizes = (channels, height, width, before, after, int(first == small))
    record, rest = Record.empty(), Record.empty()
    record.put_scaling(IN_SCALE, kernel.input_scaling)
    record.put_scaling(OUT_SCALE, kernel.scaling)
    full = unit.integers.inputs[1 - small].first_scale
    rest.put_scaling(IN_SCALE, derive_multiplier(full / unit.integers.output.first_scale))
    for entry in (record, rest):
        if unit.activation is not None:
            put_activation(entry, unit.activation)
    bindings = (
        *context.reads(unit, outer[first], outer[1 - first]),
        *context.writes(unit),
        context.made(unit, "Infos", record.array(), "int8"),
        context.made(unit, "InfosPad", rest.array(), "int8"),
    )
    call = Call("CNN_MatAddPaddedAct_SQ8", (*sizes, "KOP_MATADD", kind))
    return context.kernel(unit, call, bindings)


def matmul(context: Context, unit: Unit) -> Kernel:
    """Product of two matrices or stacks of them; the second one is bound first."""
    assert isinstance(unit.main.op, MatMul)
    batch, lines, inner, columns = _extents(unit)
    kernel = unit.integers.kernel
    assert isinstance(kernel, MatMulKernel)
    if kernel.scaling.multiplier.size > 1:
        raise GraphError(
            "a matrix product with one scale per column has no kernel",
            where=f"node {unit.node.name}",
            hint="quantize it per tensor: `aquant ... -d tensor`",
        )
    operator = "KOP_MATMUL_SCALE_SCALAR" + ("_TRANSPOSED" if unit.main.op.transpose_b else "")
    kind = activation_operator(unit, context.settings)
    sizes = (batch, inner, lines, columns, inner)
    arguments = (BIAS_BYTES, SCALE_BYTES, *sizes, 0, 0, 1, 1, operator, kind)
    record = Record.empty()
    record.put_scaling(OUT_SCALE, kernel.scaling)
    if unit.activation is not None:
        put_activation(record, unit.activation)
    bindings = (
        *context.reads(unit, 1, 0),
        context.made(unit, "Biases", np.zeros(lines, np.int32), "int32"),
        *context.writes(unit),
        context.made(unit, "Infos", record.array(), "int8"),
    )
    return context.kernel(unit, Call("CNN_BatchedMatMulAct_SQ8", arguments), bindings)


def _extents(unit: Unit) -> tuple[int, int, int, int]:
    """Products, lines of the first matrix, its columns, columns of the result."""
    first, second = (t.shape for t in unit.graph.input_types(unit.node)[:2])
    lines, inner = first[-2:]
    columns = unit.node.type.shape[-1]
    if prod(second[:-2]) == 1:  # one second matrix for all: their lines follow each other
        return 1, prod(first[:-2]) * lines, inner, columns
    if first[:-2] != second[:-2]:
        raise GraphError(
            f"a product of {unit.graph.input_types(unit.node)[0]} and"
            f" {unit.graph.input_types(unit.node)[1]} repeats a matrix, which no kernel does",
            where=f"node {unit.node.name}",
            hint="export the model with both operands at full size",
        )
    return prod(first[:-2]), lines, inner, columns


def softmax(context: Context, unit: Unit) -> Kernel:
    """Softmax over the last axis of one row or several; int16 results."""
    axis = unit.main.op.works_along
    assert axis is not None
    shape = unit.node.type.shape
    after = shape[axis + 1 :]
    if prod(after) != 1:
        raise GraphError(
            f"softmax along axis {axis} of {unit.node.type}: its kernel takes the last axis",
            where=f"node {unit.node.name}",
            hint="run `adjust`, or transpose the model's output",
        )
    length = shape[axis]
    rows = prod(shape) // length
    record = Record.empty()
    record.put(ACT_SCALE, _SOFTMAX_FRACTION_BITS + unit.integers.kernel.scale_exponent)
    bindings: tuple[Binding, ...] = (
        *context.reads(unit, 0),
        *context.writes(unit),
        context.made(unit, "Infos", record.array(), "int8"),
    )
    result = np.dtype(unit.output_record().dtype).itemsize
    controls = (("OUTPUT_DATASIZE", result),) if result != _SOFTMAX_BYTES else ()
    if rows == 1:
        call = Call("CNN_SoftMax_SQ8", (length, "KOP_SOFTMAX"), controls=controls)
    else:
        call = Call("CNN_SoftMax2D_SQ8", (rows, length, "KOP_SOFTMAX"), controls=controls)
    return context.kernel(unit, call, bindings)
