"""Products of matrices in C."""

from __future__ import annotations

import numpy as np

from nnshell.targets.c.builder import Builder, Site, loop_fields
from nnshell.targets.c.forms.elementwise import operand, output_fields
from nnshell.targets.c.forms.table import form
from nnshell.targets.c.program import Value


@form("matmul")
def matmul(build: Builder, site: Site) -> list[Value]:
    """Leading axes broadcast; rows, columns and what is summed lie as the operands have them."""
    shape = site.types[0].shape
    y = build.new(shape, range(len(shape)), site.dtype)
    first, second = (build.plain(operand(build, site, index, y)) for index in (0, 1))
    a, b = _steps(first), _steps(second)
    if site.op.transpose_b:
        b[-1], b[-2] = b[-2], b[-1]
    leading = [_aligned(steps[:-2], len(shape) - 2) for steps in (a, b)]
    scaling = site.kernel.scaling
    fields = {
        "loops": loop_fields(build.stack(shape[:-2], leading)),
        "first_type": first.element_type,
        "second_type": second.element_type,
        "output_type": y.element_type,
        "rows": shape[-2],
        "inner": first.shape[-1],
        "columns": shape[-1],
        "first_row": a[-2],
        "first_step": a[-1],
        "second_step": b[-2],
        "second_column": b[-1],
        "first_zero": site.quantization.inputs[0].zero_point,
        "second_zero": site.quantization.inputs[1].zero_point,
        **output_fields(site.quantization.output),
        "per_column": int(scaling.multiplier.size > 1),
        "multipliers": scaling.multiplier.astype(np.uint8).reshape(-1),
        "shifts": scaling.shift.astype(np.int8).reshape(-1),
    }
    return [build.call("matmul", fields, [first, second], y)]


def _steps(value: Value) -> list[int]:
    return list(value.steps)


def _aligned(steps: list[int], rank: int) -> list[int]:
    return [0] * (rank - len(steps)) + steps
