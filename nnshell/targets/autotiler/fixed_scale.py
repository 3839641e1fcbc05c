"""Scales as the macros of model.h give them: an 8-bit mantissa and a shift."""

from __future__ import annotations

import math

import numpy as np

MANTISSA_BITS = 7


def mantissa_and_shift(scale: float) -> tuple[int, int]:
    """(QSCALE, QNORM) with ``scale ~ QSCALE * 2**-QNORM`` and QSCALE in 64..127.

    The mantissa is a float32 rounded half up. One that rounds to 128 is 64 with a shift one
    smaller (NNTool writes a shift one larger there, a value four times too small).
    """
    mantissa, exponent = math.frexp(scale)
    rounded = math.floor(float(np.float32(mantissa)) * (1 << MANTISSA_BITS) + 0.5)
    shift = MANTISSA_BITS - exponent
    if rounded == 1 << MANTISSA_BITS:
        return rounded // 2, shift - 1
    return rounded, shift
