"""Operators that compute each element alone, and those of two feature maps.

With 8-bit inputs a function of one element is a table of 256 results, taken from the operator's
own integer meaning. Wider inputs have their arithmetic in C.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.arithmetic import integers_of
from nnshell.ir.qparams import QParams
from nnshell.numeric.fixed_point import INT32_LIMITS, Multiplier
from nnshell.numeric.kernels.gates import GateKernel
from nnshell.numeric.kernels.leaky import LeakyKernel
from nnshell.numeric.kernels.lookup import INT8_ARGUMENT_SHIFT
from nnshell.numeric.kernels.rectifiers import RectifierKernel
from nnshell.numeric.kernels.sums import SumKernel
from nnshell.numeric.lookup import SIGMOID_TABLE
from nnshell.ops.div import QUOTIENT_BITS
from nnshell.support.errors import QuantizationError
from nnshell.targets.c.builder import Builder, Site, in_place, is_aligned, loop_fields
from nnshell.targets.c.forms.table import form, form_of_role
from nnshell.targets.c.program import Value

_LOWEST = {"int8": -128, "uint8": 0}
_LIMITS = {"int16": (-(1 << 15), (1 << 15) - 1), "uint16": (0, (1 << 16) - 1)}


def scaling_fields(scaling: Multiplier) -> dict[str, int]:
    """One multiplier and its shift."""
    return {"multiplier": int(scaling.multiplier[0]), "shift": int(scaling.shift[0])}


def output_fields(output: QParams) -> dict[str, int]:
    low, high = output.limits
    return {"output_zero": output.zero_point, "low": low, "high": high}


def _unary(
    build: Builder, site: Site, wide: Callable[[Builder, Site, Value, Value], Value]
) -> list[Value]:
    """A table where the input has 256 values, else what ``wide`` calls."""
    x = site.inputs[0]
    y = build.new(x.shape, x.order, site.dtype)
    if x.dtype not in _LOWEST:
        return [wide(build, site, x, y)]
    table = _table(build, site, x.dtype)
    integers = np.arange(256) + _LOWEST[x.dtype]
    if x.dtype == y.dtype and np.array_equal(table, integers):
        return [x]
    return [look_up(build, x, y, table)]


def look_up(build: Builder, x: Value, y: Value, table: NDArray[Any]) -> Value:
    """y = table[x - lowest]"""
    fields = {
        "count": x.size,
        "element_bytes": y.element_bytes,
        "lowest": _LOWEST[x.dtype],
        "table": table.astype(y.dtype),
    }
    return build.call("table", fields, [x], y, in_place=in_place(x, y))


def _table(build: Builder, site: Site, dtype: str) -> NDArray[np.int64]:
    """What the operator makes of each integer."""
    integers = (np.arange(256, dtype=np.int64) + _LOWEST[dtype]).reshape(1, 256)
    return _integer(build, site, integers).reshape(256)


def _integer(build: Builder, site: Site, x: NDArray[np.int64]) -> NDArray[np.int64]:
    return integers_of(site.op, site.quantization, [x], chip=build.chip)[0]


def _shared_fields(site: Site, x: Value, y: Value) -> dict[str, int]:
    return {
        "count": x.size,
        "input_type": x.element_type,
        "output_type": y.element_type,
        "input_zero": site.quantization.input.zero_point,
        **output_fields(site.quantization.output),
    }


@form("relu", "relu6", "relun", "clip")
def rectifier(build: Builder, site: Site) -> list[Value]:
    return _unary(build, site, _wide_rectifier)


def _wide_rectifier(build: Builder, site: Site, x: Value, y: Value) -> Value:
    kernel: RectifierKernel = site.kernel
    lowest, highest = INT32_LIMITS
    fields = {
        **_shared_fields(site, x, y),
        "lower": lowest if kernel.lower is None else kernel.lower,
        "upper": highest if kernel.upper is None else kernel.upper,
        "rescales": int(not kernel.same_record),
        **scaling_fields(kernel.scaling),
    }
    return build.call("rectifier", fields, [x], y, in_place=in_place(x, y))


@form_of_role("activation")
def function(build: Builder, site: Site) -> list[Value]:
    """Any function of one tensor that has no arithmetic of its own in C."""
    return _unary(build, site, _staircase)


@form("quantize")
def quantize(build: Builder, site: Site) -> list[Value]:
    return _unary(build, site, _staircase)


def _staircase(build: Builder, site: Site, x: Value, y: Value) -> Value:
    """A rising function of 16 bits: the inputs at which its result grows by one."""
    if x.dtype not in _LIMITS:
        raise QuantizationError(
            f"'{site.item.node.kind}' of {x.dtype} has no C form", where=f"node {build.layer}"
        )
    low, high = _LIMITS[x.dtype]
    integers = np.arange(low, high + 1, dtype=np.int64)
    results = _integer(build, site, integers[np.newaxis]).reshape(-1)
    grows = np.diff(results)
    if (grows < 0).any():
        raise QuantizationError(
            f"'{site.item.node.kind}' of {x.dtype} falls somewhere, which has no C form",
            where=f"node {build.layer}",
        )
    fields = {
        "count": x.size,
        "input_type": x.element_type,
        "output_type": y.element_type,
        "low": int(results[0]),
        "steps": int(grows.sum()),
        "thresholds": np.repeat(integers[1:], grows).astype(np.int32),
    }
    return build.call("staircase", fields, [x], y, in_place=in_place(x, y))


@form("leaky")
def leaky(build: Builder, site: Site) -> list[Value]:
    return _unary(build, site, _leaky_call)


@form("prelu")
def prelu(build: Builder, site: Site) -> list[Value]:
    x = site.inputs[0]
    y = build.new(x.shape, x.order, site.dtype)
    return [_leaky_call(build, site, x, y)]


def _leaky_call(build: Builder, site: Site, x: Value, y: Value) -> Value:
    """The slopes broadcast over the output."""
    kernel: LeakyKernel = site.kernel
    slopes = build.constant(kernel.slope.astype(np.int32), like=y)
    loops = build.broadcast([x, slopes], y)
    fields = {
        "loops": loop_fields(loops),
        **_shared_fields(site, x, y),
        **scaling_fields(kernel.scaling),
        "slopes": build.constants.pop(),
    }
    fields.pop("count")
    return build.call("leaky", fields, [x], y, in_place=in_place(x, y))


@form("hsigmoid", "hswish")
def gate(build: Builder, site: Site) -> list[Value]:
    return _unary(build, site, _wide_gate)


def _wide_gate(build: Builder, site: Site, x: Value, y: Value) -> Value:
    kernel: GateKernel = site.kernel
    fields = {
        **_shared_fields(site, x, y),
        "offset": kernel.offset,
        "upper": kernel.upper,
        "times_input": int(kernel.times_input),
        **scaling_fields(kernel.scaling),
    }
    return build.call("gate", fields, [x], y, in_place=in_place(x, y))


@form("sigmoid")
def sigmoid(build: Builder, site: Site) -> list[Value]:
    return _unary(build, site, lambda b, s, x, y: _wide_look_up(b, s, x, y, twice=False))


@form("tanh")
def tanh(build: Builder, site: Site) -> list[Value]:
    return _unary(build, site, lambda b, s, x, y: _wide_look_up(b, s, x, y, twice=True))


def _wide_look_up(build: Builder, site: Site, x: Value, y: Value, *, twice: bool) -> Value:
    wide = site.quantization.input.dtype == "int32"  # the argument is in Q12 already
    fields = {
        **_shared_fields(site, x, y),
        "argument_shift": 0 if wide else INT8_ARGUMENT_SHIFT,
        "twice": int(twice),
        "table": SIGMOID_TABLE.astype(np.uint16),
        **scaling_fields(site.kernel.scaling),
    }
    if wide:
        fields["input_zero"] = 0
    return build.call("look_up", fields, [x], y, in_place=in_place(x, y))


def _binary(build: Builder, site: Site) -> tuple[list[Value], Value, dict[str, Any]]:
    """Both operands, the output, and the fields that all binary kernels have."""
    y = build.result(site.types[0], site.dtype)
    operands = [operand(build, site, index, y) for index in (0, 1)]
    fields = {
        "loops": loop_fields(build.broadcast(operands, y)),
        "first_type": operands[0].element_type,
        "second_type": operands[1].element_type,
        "output_type": y.element_type,
    }
    return operands, y, fields


def operand(build: Builder, site: Site, index: int, like: Value) -> Value:
    """Input ``index``: an activation, or a constant stored in the output's order."""
    known = site.quantization.constants
    value = known[index] if known else None
    return site.inputs[index] if value is None else build.constant(value, like)


def _places(operands: list[Value], y: Value) -> tuple[int, ...]:
    return tuple(
        index for index, x in enumerate(operands) if x.buffer.place == "arena" and is_aligned(x, y)
    )


@form("add", "sub")
def total(build: Builder, site: Site) -> list[Value]:
    kernel: SumKernel = site.kernel
    operands, y, fields = _binary(build, site)
    low, high = site.quantization.output.limits
    fields |= {
        "scaled": kernel.scaled_input,
        "sign": kernel.sign,
        "input_multiplier": int(kernel.input_scaling.multiplier[0]),
        "input_shift": int(kernel.input_scaling.shift[0]),
        **scaling_fields(kernel.scaling),
        "bias": kernel.bias,
        "low": low,
        "high": high,
    }
    return [build.call("sum", fields, operands, y, in_place=_places(operands, y))]


@form("mul")
def product(build: Builder, site: Site) -> list[Value]:
    operands, y, fields = _binary(build, site)
    fields |= {**_zeros(site), **scaling_fields(site.kernel.scaling)}
    fields |= output_fields(site.quantization.output)
    return [build.call("product", fields, operands, y, in_place=_places(operands, y))]


def _zeros(site: Site) -> dict[str, int]:
    first, second = site.quantization.inputs
    return {"first_zero": first.zero_point, "second_zero": second.zero_point}


@form("div")
def quotient(build: Builder, site: Site) -> list[Value]:
    if site.kernel.signs is not None:
        return [_constant_quotient(build, site)]
    operands, y, fields = _binary(build, site)
    fields |= {**_zeros(site), **scaling_fields(site.kernel.scaling)}
    fields["shift"] += QUOTIENT_BITS
    fields |= output_fields(site.quantization.output)
    return [build.call("quotient", fields, operands, y, in_place=_places(operands, y))]


def _constant_quotient(build: Builder, site: Site) -> Value:
    """A signed multiplier and a shift for each element of the divisor."""
    scaling: Multiplier = site.kernel.scaling
    signs: NDArray[np.int64] = site.kernel.signs
    x = site.inputs[0]
    y = build.result(site.types[0], site.dtype)
    multipliers = scaling.multiplier.astype(np.int64) * signs.reshape(-1)
    stored = [
        build.constant(values.astype(np.int16).reshape(signs.shape), like=y)
        for values in (multipliers, scaling.shift.astype(np.int64))
    ]
    loops = build.broadcast([x, stored[0]], y)
    shifts, factors = build.constants.pop(), build.constants.pop()
    fields = {
        "loops": loop_fields(loops),
        "first_type": x.element_type,
        "output_type": y.element_type,
        "first_zero": site.quantization.input.zero_point,
        **output_fields(site.quantization.output),
        "factors": np.stack([factors.reshape(-1), shifts.reshape(-1)], axis=1),
    }
    return build.call("scaled", fields, [x], y, in_place=in_place(x, y))
