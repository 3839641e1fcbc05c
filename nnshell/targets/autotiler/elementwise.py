"""Which elementwise nodes the AutoTiler has a generator for, and kernels for all others."""

from __future__ import annotations

import numpy as np

from nnshell.ir.arithmetic import integers_of
from nnshell.numeric.kernels.gates import GateKernel
from nnshell.numeric.kernels.leaky import LeakyKernel
from nnshell.numeric.kernels.sums import SumKernel
from nnshell.ops.div import DivKernel
from nnshell.ops.mul import MulKernel
from nnshell.support.errors import GraphError
from nnshell.targets import arithmetic
from nnshell.targets.autotiler import matrices, pools
from nnshell.targets.autotiler.context import Context
from nnshell.targets.autotiler.expressions import expression
from nnshell.targets.autotiler.operators import has_operator, rectifies
from nnshell.targets.autotiler.plan import Kernel
from nnshell.targets.autotiler.unit import Unit, constant_operand

_LOWEST = -128
_LARGEST_BYTE = 127


def activation(context: Context, unit: Unit) -> Kernel:
    """The AutoTiler's activation where it computes what the simulation does, else a table."""
    if has_operator(unit.node) and _has_kernel(unit):
        return pools.activation(context, unit)
    return by_table(context, unit)


def _has_kernel(unit: Unit) -> bool:
    """The generators know no input zero point but as a rectifier's lower limit."""
    source, result = unit.input_record(), unit.output_record()
    if source.dtype != "int8" or result.dtype != "int8":
        return False
    if rectifies(unit.node):
        return source.same_record(result) or source.zero_point == result.zero_point == 0
    kernel = unit.integers.kernel
    if isinstance(kernel, GateKernel) and max(kernel.offset, kernel.upper) > _LARGEST_BYTE:
        return False
    return source.zero_point == 0


def by_table(context: Context, unit: Unit) -> Kernel:
    """One result for each of the 256 integers, computed by the operator itself."""
    source = unit.input_record()
    if source.dtype != "int8":
        raise GraphError(
            f"no kernel applies '{unit.node.kind}' to {source.dtype}",
            where=f"node {unit.node.name}",
        )
    integers = np.arange(_LOWEST, -_LOWEST, dtype=np.int64).reshape(1, -1)
    results = integers_of(unit.main.op, unit.integers, [integers])[0].reshape(-1)
    dtype = unit.output_record().dtype
    return expression(context, unit, arithmetic.table(), (0,), [("Table", results, dtype)])


def add(context: Context, unit: Unit) -> Kernel:
    """The AutoTiler's sum, for operands of one size and without zero points."""
    kernel = unit.integers.kernel
    assert isinstance(kernel, SumKernel)
    if unit.padding is not None:
        return matrices.padded_add(context, unit)
    types = unit.graph.input_types(unit.node)[:2]
    large = all(
        t.size == unit.node.type.size or constant_operand(unit, index) is not None
        for index, t in enumerate(types)
    )
    if large and kernel.bias == 0 and kernel.sign > 0:
        return matrices.add(context, unit)
    return total(context, unit)


def total(context: Context, unit: Unit) -> Kernel:
    """Sum or difference with repeated operands or a zero point."""
    _refuse_fused(unit)
    kernel = unit.integers.kernel
    assert isinstance(kernel, SumKernel)
    output = unit.integers.output
    body = arithmetic.total(
        kernel.scaled_input,
        kernel.sign,
        kernel.input_scaling,
        kernel.scaling,
        kernel.bias,
        output,
    )
    return expression(context, unit, body, (0, 1))


def product(context: Context, unit: Unit) -> Kernel:
    _refuse_fused(unit)
    kernel, records = unit.integers.kernel, unit.integers.inputs
    assert isinstance(kernel, MulKernel)
    body = arithmetic.product(kernel.scaling, records[0], records[1], unit.integers.output)
    return expression(context, unit, body, (0, 1))


def quotient(context: Context, unit: Unit) -> Kernel:
    _refuse_fused(unit)
    kernel, records = unit.integers.kernel, unit.integers.inputs
    assert isinstance(kernel, DivKernel)
    output = unit.integers.output
    if kernel.signs is None:
        body = arithmetic.quotient(kernel.scaling, records[0], records[1], output)
        return expression(context, unit, body, (0, 1))
    shape = unit.graph.input_types(unit.node)[1].shape
    factors = kernel.scaling.multiplier.astype(np.int16) * kernel.signs.reshape(-1)
    constants = [
        ("Factor", factors.reshape(shape), "int16"),
        ("Shift", kernel.scaling.shift.reshape(shape), "int8"),
    ]
    body = arithmetic.constant_quotient(records[0], output)
    return expression(context, unit, body, (0,), constants)


def extremum(context: Context, unit: Unit) -> Kernel:
    """The larger or smaller integer: all have one record."""
    _refuse_fused(unit)
    body = arithmetic.extremum(">" if unit.main.kind == "maximum" else "<")
    return expression(context, unit, body, (0, 1))


def parametric_rectifier(context: Context, unit: Unit) -> Kernel:
    _refuse_fused(unit)
    kernel = unit.integers.kernel
    assert isinstance(kernel, LeakyKernel)
    limits = np.iinfo(np.int16)
    slope = np.asarray(kernel.slope)
    if slope.min() < limits.min or slope.max() > limits.max:
        raise GraphError("a prelu slope beyond 256", where=f"node {unit.node.name}")
    body = arithmetic.leaky(kernel.scaling, unit.integers.input, unit.integers.output)
    return expression(context, unit, body, (0,), [("Slope", slope, "int16")])


def _refuse_fused(unit: Unit) -> None:
    if unit.fused:
        raise GraphError(
            f"'{unit.main.kind}' with a fused activation has no kernel",
            where=f"node {unit.node.name}",
            hint="leave out the fusion of elementwise operators and activations",
        )
