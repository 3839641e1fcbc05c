"""Sigmoid and tanh of the SQ8 kernels: a table of 256 entries, read without interpolation.

Arguments are Q12 (12 fraction bits), results Q15. The table is TensorFlow Lite's public
``sigmoid_table_uint16``: entry k stands for sigmoid(k / 24) in Q16.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nnshell.numeric.fixed_point import IntArray

STEPS_PER_UNIT = 24
LAST_ENTRY = 255
LAST_ARGUMENT = 1 << 16  # a larger Q12 magnitude reads the last entry, as this one does
ONE_Q16 = 1 << 16
HALF_Q16 = 1 << 15

# Where the published table is one above the rounded value of sigmoid(k / 24).
_ONE_HIGHER = (
    *(4, 8, 12, 14, 15, 16, 17, 19, 20, 21, 22, 25, 27, 28, 29, 30, 31, 33, 34, 35, 37, 39),
    *(40, 41, 43, 44, 45, 46, 49, 50, 54, 62, 63, 64, 66, 82, 86, 93, 100, 103, 112, 116, 135, 255),
)


def _make_table() -> NDArray[np.int64]:
    steps = np.arange(LAST_ENTRY + 1)
    table = np.floor(ONE_Q16 / (1.0 + np.exp(-steps / STEPS_PER_UNIT)) + 0.5).astype(np.int64)
    table[list(_ONE_HIGHER)] += 1
    table.setflags(write=False)
    return table


SIGMOID_TABLE = _make_table()


def sigmoid_q15(argument: ArrayLike) -> IntArray:
    """sigmoid of a Q12 argument, in Q15 (halved from the table's Q16, rounding down)."""
    x = np.asarray(argument, np.int64)
    value = _look_up(np.abs(x), 9)
    result: IntArray = np.where(x > 0, value, ONE_Q16 - value) >> 1
    return result


def tanh_q15(argument: ArrayLike) -> IntArray:
    """tanh of a Q12 argument, in Q15: the sigmoid's table read at twice the argument."""
    x = np.asarray(argument, np.int64)
    value = _look_up(np.abs(x), 8)
    result: IntArray = np.where(x > 0, value - HALF_Q16, HALF_Q16 - value)
    return result


def _look_up(magnitude: IntArray, shift: int) -> IntArray:
    """Entry (3 * magnitude) >> shift: 24 entries per unit of a Q12 magnitude at shift 9."""
    index = np.minimum((3 * magnitude) >> shift, LAST_ENTRY)
    value: IntArray = SIGMOID_TABLE[index]
    return value
