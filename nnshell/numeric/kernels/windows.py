"""Sliding windows over integer feature maps (samples, channels, height, width)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.operator import IntArray
from nnshell.ir.work import Window


def pad_map(x: IntArray, window: Window, value: int) -> IntArray:
    """The feature map with the window's padding around it, filled with ``value``."""
    top, left, bottom, right = window.pads
    if not window.padded:
        return x
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


def taps(padded: NDArray[Any], window: Window) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """(row, column, what the window sees there at every output position) of a padded map."""
    rows = (
        1
        + (padded.shape[2] - window.dilations[0] * (window.kernel[0] - 1) - 1)
        // (window.strides[0])
    )
    columns = (
        1
        + (padded.shape[3] - window.dilations[1] * (window.kernel[1] - 1) - 1)
        // (window.strides[1])
    )
    for row in range(window.kernel[0]):
        top = row * window.dilations[0]
        bottom = top + (rows - 1) * window.strides[0] + 1
        for column in range(window.kernel[1]):
            left = column * window.dilations[1]
            right = left + (columns - 1) * window.strides[1] + 1
            yield (
                row,
                column,
                padded[:, :, top : bottom : window.strides[0], left : right : window.strides[1]],
            )
